package mover

import (
	"fmt"
	"os"

	"github.com/davit-project/davit/location/repository"
)

// source reads a folder of this machine that stands for one of the request.
func (e Env) source(folder string) (repository.Source, error) {
	at, err := e.real(folder)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(at); err != nil {
		return nil, fmt.Errorf("look for %q: %w", folder, err)
	} else if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is neither a folder nor a file", folder)
	}
	return repository.NewLocalSource(&repository.LocalOptions{As: []string{folder}}, at)
}
