// Package snapshottest holds checks that every driver of snapshots must pass, those of its optional abilities too.
//
// A check returns an error instead of taking a testing.T, so that a host can try the storage of a cluster before it trusts it. Checks take nothing for immediate: they
// wait for what storage does in its own time.
//
// # Errors
//
// A check's error says what was expected and what was found, and what the check could not remove.
//
// # Concurrency
//
// Checks have names of their own for all they make and may run at the same time, on one volume.
package snapshottest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/davit-project/davit/snapshot"
)

// Harness is a driver and what the checks need around it.
type Harness struct {
	// Driver to check. Required.
	Driver snapshot.Driver
	// Volume is a volume that the driver can take snapshots of. Required.
	Volume snapshot.Ref
	// OtherNamespace is where the checks of Importer put the second snapshot of one of the storage. Default: the volume's.
	OtherNamespace string
	// Write replaces the content of Volume and returns once a snapshot taken then has it. Required for a Restorer; only one check calls it.
	Write func(ctx context.Context, content string) error
	// Read returns the content of a volume that a check restored, and leaves nothing that uses it. Required for a Restorer; only one check calls it.
	Read func(ctx context.Context, volume snapshot.Ref) (string, error)
	// Class of the snapshots. Default "": the default class.
	Class string
	// StorageClass of restored volumes. Default "": the default class.
	StorageClass string
	// Interval between looks. Default 250ms.
	Interval time.Duration
	// Timeout of each wait for the storage. Default 2m.
	Timeout time.Duration
}

// Check is one property of drivers. Its Run returns an error when the driver does not have it; it removes what it made.
type Check struct {
	// Name of the property.
	Name string
	// Run checks it.
	Run func(ctx context.Context) error
}

// Checks returns the checks for the abilities that the driver has.
func Checks(h Harness) []Check {
	h.Interval, h.Timeout = cmp.Or(h.Interval, 250*time.Millisecond), cmp.Or(h.Timeout, 2*time.Minute)
	h.OtherNamespace = cmp.Or(h.OtherNamespace, h.Volume.Namespace)
	checks := snapshotChecks()
	if _, ok := h.Driver.(snapshot.Checker); ok {
		checks = append(checks, checkerChecks()...)
	}
	if _, ok := h.Driver.(snapshot.Lister); ok {
		checks = append(checks, listerChecks()...)
	}
	_, imports := h.Driver.(snapshot.Importer)
	if imports {
		checks = append(checks, importerChecks()...)
	}
	if _, ok := h.Driver.(snapshot.Contents); ok {
		checks = append(checks, contentsChecks()...)
		if imports {
			checks = append(checks, retainChecks()...)
		}
	}
	if _, ok := h.Driver.(snapshot.Restorer); ok {
		checks = append(checks, restorerChecks()...)
	}
	list := make([]Check, len(checks))
	for i, c := range checks {
		list[i] = Check{Name: c.name, Run: func(ctx context.Context) error { return c.start(ctx, h) }}
	}
	return list
}

// Run runs all checks, one after the other, and returns their errors, joined, each with the name of its check.
func Run(ctx context.Context, h Harness) error {
	var faults []error
	for _, c := range Checks(h) {
		if err := c.Run(ctx); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	return errors.Join(faults...)
}

type check struct {
	name string
	run  func(ctx context.Context, r *run) error
}

// start runs the check and then removes what it made, also if it failed.
func (c check) start(ctx context.Context, h Harness) error {
	r := &run{Harness: h, id: "davit-check-" + strings.ToLower(rand.Text())[:10]}
	err := c.run(ctx, r)
	for i := len(r.undo) - 1; i >= 0; i-- {
		if undone := r.undo[i](context.WithoutCancel(ctx)); undone != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", undone))
		}
	}
	return err
}

// run is one run of a check.
type run struct {
	Harness
	id   string
	undo []func(ctx context.Context) error
}

// request asks for a snapshot of the volume.
func (r *run) request(name string) snapshot.Request {
	return snapshot.Request{
		Ref: r.ref(name), Volume: r.Volume.Name, Class: r.Class, Token: r.id, Labels: map[string]string{"davit-check": r.id},
	}
}

func (r *run) ref(name string) snapshot.Ref {
	return snapshot.Ref{Namespace: r.Volume.Namespace, Name: r.id + "-" + name}
}

// create asks for a snapshot that is removed after the check.
func (r *run) create(ctx context.Context, req snapshot.Request) error {
	r.undo = append(r.undo, func(ctx context.Context) error { return r.remove(ctx, req.Ref, snapshot.Delete) })
	if err := r.Driver.Create(ctx, req); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return nil
}

// ready makes snapshot a and waits until it is ready.
func (r *run) ready(ctx context.Context) (snapshot.Status, error) {
	req := r.request("a")
	if err := r.create(ctx, req); err != nil {
		return snapshot.Status{}, err
	}
	return r.untilReady(ctx, req.Ref)
}

func (r *run) untilReady(ctx context.Context, ref snapshot.Ref) (st snapshot.Status, err error) {
	err = r.until(ctx, fmt.Sprintf("snapshot %q is ready", ref), func(ctx context.Context) (bool, error) {
		st, err = r.Driver.Get(ctx, ref)
		return st.Ready, err
	})
	return st, err
}

// remove deletes a snapshot and waits until it is gone.
func (r *run) remove(ctx context.Context, ref snapshot.Ref, policy snapshot.Policy) error {
	if err := r.Driver.Delete(ctx, ref, "", policy); err != nil {
		return fmt.Errorf("delete snapshot %q: %w", ref, err)
	}
	return r.until(ctx, fmt.Sprintf("snapshot %q is gone", ref), func(ctx context.Context) (bool, error) {
		_, err := r.Driver.Get(ctx, ref)
		if errors.Is(err, snapshot.ErrNotFound) {
			return true, nil
		}
		return false, err
	})
}

// until looks until something is so.
func (r *run) until(ctx context.Context, what string, look func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	for {
		done, err := look(ctx)
		if err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		case <-time.After(r.Interval):
		}
	}
}

// absent checks that there is no snapshot of that name.
func (r *run) absent(ctx context.Context, ref snapshot.Ref) error {
	_, err := r.Driver.Get(ctx, ref)
	return want(snapshot.ErrNotFound, err, "get of absent snapshot %q", ref)
}

// want checks that err is target.
func want(target, err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	switch {
	case errors.Is(err, target):
		return nil
	case err == nil:
		return fmt.Errorf("%s: want an error like %q, got none", what, target.Error())
	default:
		return fmt.Errorf("%s: want an error like %q, got: %w", what, target.Error(), err)
	}
}
