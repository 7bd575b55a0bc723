package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
)

// registry holds every function, to lint and to describe.
func registry() (*function.Registry, error) {
	return function.NewRegistry(builtin.All(builtin.Deps{})...)
}

// opened is a cluster and what runs on it.
type opened struct {
	registry *function.Registry
	source   engine.Source
	sweep    engine.Sweeper
}

func (*opened) close() error { return nil }

func (s *session) open(ctx context.Context, log *slog.Logger) (*opened, error) {
	return nil, errors.New("no cluster is built in yet")
}
