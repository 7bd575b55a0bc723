//go:build !unix

package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/davit-project/davit/template"
)

// local is never opened here.
type local struct{ binding }

func (s *session) openLocal(context.Context, *slog.Logger) (*local, error) {
	return nil, errors.New("--local needs Linux or macOS")
}

func (*local) settle(context.Context, []template.ObjectReference, *slog.Logger) {}
