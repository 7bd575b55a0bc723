package main

import (
	"context"
	"errors"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/template"
)

// unreachable is the source of objects where no cluster is open.
type unreachable struct{}

var _ engine.Source = unreachable{}

var errUnreachable = errors.New("no cluster is open")

func (unreachable) Subject(context.Context, template.ObjectReference, *template.Params) error {
	return errUnreachable
}

func (unreachable) Secret(context.Context, string, string) (template.Secret, error) {
	return template.Secret{}, errUnreachable
}

func (unreachable) ConfigMap(context.Context, string, string) (template.ConfigMap, error) {
	return template.ConfigMap{}, errUnreachable
}

func (unreachable) Profile(context.Context, string, string) (*template.Profile, error) {
	return nil, errUnreachable
}
