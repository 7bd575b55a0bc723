package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// manifest is one file of objects.
type manifest struct {
	file string
	data []byte
}

// readManifests reads files, and the YAML and JSON files that lie in folders.
func (p *program) readManifests(paths []string) ([]manifest, error) {
	var all []manifest
	var errs []error
	for _, path := range paths {
		files, err := manifestFiles(path)
		errs = append(errs, err)
		for _, file := range files {
			data, err := p.readFile("a manifest (--local)", file)
			errs = append(errs, err)
			all = append(all, manifest{file, data})
		}
	}
	return all, errors.Join(errs...)
}

func manifestFiles(path string) ([]string, error) {
	if !isFolder(path) {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read a folder of manifests: %w", err)
	}
	var files []string
	for _, entry := range entries {
		if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(entry.Name())) && !entry.IsDir() {
			files = append(files, filepath.Join(path, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no manifests (*.yaml, *.yml, *.json) in folder %q", path)
	}
	return files, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
