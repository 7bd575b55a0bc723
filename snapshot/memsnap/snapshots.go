package memsnap

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/davit-project/davit/snapshot"
)

// Check is part of snapshot.Checker.
func (d *Driver) Check(ctx context.Context, req snapshot.Request) error {
	return d.do(ctx, "Check", req.Ref, func() error { return d.check(req) })
}

func (d *Driver) check(req snapshot.Request) error {
	if err := required(req.Ref, req.Token); err != nil {
		return err
	}
	if d.volumes[volumeOf(req)] == nil {
		return fmt.Errorf("volume %q: %w", volumeOf(req), snapshot.ErrNotFound)
	}
	return d.hasClass(req.Class)
}

// Create is part of snapshot.Driver.
func (d *Driver) Create(ctx context.Context, req snapshot.Request) error {
	return d.do(ctx, "Create", req.Ref, func() error {
		if err := required(req.Ref, req.Token); err != nil {
			return err
		}
		if o := d.snapshots[req.Ref]; o != nil {
			return mine(req.Ref, o, req.Token)
		}
		if err := d.check(req); err != nil {
			return err
		}
		d.snapshots[req.Ref] = &object{
			uid: d.uid(), volume: volumeOf(req), class: cmp.Or(req.Class, d.opts.Classes[0]), token: req.Token, labels: maps.Clone(req.Labels), cutAt: d.plan(),
		}
		return nil
	})
}

// Import is part of snapshot.Importer.
func (d *Driver) Import(ctx context.Context, req snapshot.ImportRequest) error {
	return d.do(ctx, "Import", req.Ref, func() error {
		if err := required(req.Ref, req.Token); err != nil {
			return err
		}
		if o := d.snapshots[req.Ref]; o != nil {
			if err := mine(req.Ref, o, req.Token); err != nil || o.handle == req.Handle {
				return err
			}
			return fmt.Errorf("snapshot %q: %w, imported from handle %q", req.Ref, snapshot.ErrExists, o.handle)
		}
		if req.Driver != Name || req.Handle == "" {
			return fmt.Errorf("import %q of driver %q: %w", req.Handle, req.Driver, snapshot.ErrInvalid)
		}
		if err := d.hasClass(req.Class); err != nil {
			return err
		}
		o := &object{
			uid: d.uid(), class: cmp.Or(req.Class, d.opts.Classes[0]), token: req.Token, labels: maps.Clone(req.Labels), cutAt: time.Now(), handle: req.Handle, content: d.next("content"),
		}
		d.snapshots[req.Ref] = o
		d.contents[o.content] = &content{handle: req.Handle, policy: cmp.Or(req.Policy, d.opts.Policy)}
		return nil
	})
}

// Get is part of snapshot.Driver.
func (d *Driver) Get(ctx context.Context, ref snapshot.Ref) (st snapshot.Status, err error) {
	err = d.do(ctx, "Get", ref, func() error {
		o := d.snapshots[ref]
		if o == nil {
			return fmt.Errorf("snapshot %q: %w", ref, snapshot.ErrNotFound)
		}
		st = d.status(ref, o)
		return nil
	})
	return st, err
}

// Delete is part of snapshot.Driver.
func (d *Driver) Delete(ctx context.Context, ref snapshot.Ref, uid string, policy snapshot.Policy) error {
	return d.do(ctx, "Delete", ref, func() error {
		o := d.snapshots[ref]
		if o == nil || uid != "" && o.uid != uid {
			return nil
		}
		if c := d.contents[o.content]; c != nil && policy != "" {
			o.stale = d.opts.StaleContents && c.policy != policy
			c.policy = policy
		}
		if o.deleted.IsZero() {
			o.deleted = time.Now()
		}
		d.advance()
		return nil
	})
}

// Confirm is part of snapshot.Driver.
func (d *Driver) Confirm(ctx context.Context, ref snapshot.Ref, uid string) error {
	return d.do(ctx, "Confirm", ref, func() error {
		o := d.snapshots[ref]
		switch {
		case o == nil:
			return fmt.Errorf("snapshot %q: %w", ref, snapshot.ErrNotFound)
		case o.uid != uid:
			return fmt.Errorf("snapshot %q: %w: it is another one, %q, not %q", ref, snapshot.ErrExists, o.uid, uid)
		}
		o.confirmed = true
		return nil
	})
}

// DeleteContent is part of snapshot.Contents.
func (d *Driver) DeleteContent(ctx context.Context, name string) error {
	return d.do(ctx, "DeleteContent", snapshot.Ref{Name: name}, func() error {
		for ref, o := range d.snapshots {
			if o.content == name {
				return fmt.Errorf("content %q of snapshot %q, which still exists: %w", name, ref, snapshot.ErrInvalid)
			}
		}
		if c := d.contents[name]; c != nil && c.deleted.IsZero() {
			c.deleted = time.Now()
			d.advance()
		}
		return nil
	})
}

// HasContent is part of snapshot.Contents.
func (d *Driver) HasContent(ctx context.Context, name string) (has bool, err error) {
	err = d.do(ctx, "HasContent", snapshot.Ref{Name: name}, func() error {
		_, has = d.contents[name]
		return nil
	})
	return has, err
}

// List is part of snapshot.Lister.
func (d *Driver) List(ctx context.Context, namespace string, labels map[string]string) (list []snapshot.Status, err error) {
	err = d.do(ctx, "List", snapshot.Ref{Namespace: namespace}, func() error {
		for ref, o := range d.snapshots {
			if ref.Namespace == namespace && carries(o.labels, labels) {
				list = append(list, d.status(ref, o))
			}
		}
		slices.SortFunc(list, func(a, b snapshot.Status) int { return strings.Compare(a.Name, b.Name) })
		return nil
	})
	return list, err
}

func carries(has, want map[string]string) bool {
	for name, value := range want {
		if got, ok := has[name]; !ok || got != value {
			return false
		}
	}
	return true
}

func (d *Driver) hasClass(class string) error {
	if class != "" && !slices.Contains(d.opts.Classes, class) {
		return fmt.Errorf("class %q: %w", class, snapshot.ErrNoClass)
	}
	return nil
}

// mine is nil for a snapshot of this token.
func mine(ref snapshot.Ref, o *object, token string) error {
	if o.token != token {
		return fmt.Errorf("snapshot %q: %w", ref, snapshot.ErrExists)
	}
	return nil
}

func required(ref snapshot.Ref, token string) error {
	if ref.Namespace == "" || ref.Name == "" || token == "" {
		return fmt.Errorf("snapshot %q: %w: namespace, name and token are required", ref, snapshot.ErrInvalid)
	}
	return nil
}

func volumeOf(req snapshot.Request) snapshot.Ref {
	return snapshot.Ref{Namespace: req.Namespace, Name: req.Volume}
}
