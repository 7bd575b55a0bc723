package main

import (
	"fmt"
	"io"
	"os"

	"github.com/davit-project/davit/blueprint"
)

// maxFile bounds what is read of a document, in bytes. Kubernetes stores objects of about 1.5 MiB at most.
const maxFile = 16 << 20

// parseFile reads and parses a file; - is standard input. What it is for is part of errors.
func (p *program) parseFile(what, name string) (*blueprint.File, error) {
	data, err := p.readFile(what, name)
	if err != nil {
		return nil, err
	}
	return blueprint.Parse(name, data), nil
}

func (p *program) readFile(what, name string) (data []byte, err error) {
	in := p.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", what, err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	data, err = io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read %s: %q is larger than %d MiB", what, name, maxFile>>20)
	}
	return data, nil
}
