// Package memsnap is storage in memory that takes snapshots, for tests: it is slow, fails and hangs as it is told.
//
// # Errors
//
// As package snapshot says. A context that has ended is its error.
//
// # Concurrency
//
// A Driver is safe for concurrent use.
package memsnap

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/davit-project/davit/snapshot"
)

// Name is the name of the storage's driver, in Status.Driver and for ImportRequest.Driver.
const Name = "memory"

// VolumeSize is the size of the volumes that AddVolume makes, and the RestoreSize of their snapshots.
const VolumeSize = "1Gi"

// Options of a Driver. Nil and zero are ready to use.
type Options struct {
	// CutAfter is the time from the request until the content is fixed, and ReadyAfter from then, or from an import, until the snapshot is ready. Default 0.
	CutAfter, ReadyAfter time.Duration
	// OneByOne makes the storage begin with the next snapshot once the one before is cut.
	OneByOne bool
	// BindAfter is the time from the request for a volume until it is bound. Default 0.
	BindAfter time.Duration
	// DeleteAfter is the time from the request until a snapshot or a volume is gone; its content goes after the same time once more. Default 0.
	DeleteAfter time.Duration
	// WaitForPod keeps restored volumes Waiting until Read or Write first uses them.
	WaitForPod bool
	// Classes there are; the first is the default. Default "memory".
	Classes []string
	// Policy of the classes. Default Delete.
	Policy snapshot.Policy
	// StaleContents makes a content stay whose policy becomes Delete as late as with its snapshot's removal; DeleteContent removes it.
	StaleContents bool
	// Call, when it is set, is called at the beginning and at the end of every method of a driver, and decides that it fails. It may wait, and panic.
	Call func(ctx context.Context, c Call) error
}

// Call is a moment of a driver's method.
type Call struct {
	// Method such as "Create".
	Method string
	// Ref of the snapshot or volume; only a Name for a content, only a Namespace for List.
	Ref snapshot.Ref
	// After tells that what was asked for is done; an error now is an answer that was lost.
	After bool
}

// Driver is the storage.
type Driver struct {
	opts Options

	mu        sync.Mutex
	counter   int
	made      int // counts the snapshots that were ever asked for
	busyUntil time.Time
	volumes   map[snapshot.Ref]*volume
	snapshots map[snapshot.Ref]*object
	contents  map[string]*content
	stored    map[string]*stored
	problems  map[snapshot.Ref]string
}

var _ interface {
	snapshot.Driver
	snapshot.Checker
	snapshot.Importer
	snapshot.Restorer
	snapshot.Contents
	snapshot.Lister
} = (*Driver)(nil)

// New returns storage without volumes.
func New(opts *Options) *Driver {
	d := &Driver{
		volumes: map[snapshot.Ref]*volume{}, snapshots: map[snapshot.Ref]*object{}, contents: map[string]*content{}, stored: map[string]*stored{}, problems: map[snapshot.Ref]string{},
	}
	if opts != nil {
		d.opts = *opts
	}
	if len(d.opts.Classes) == 0 {
		d.opts.Classes = []string{"memory"}
	}
	if d.opts.Policy == "" {
		d.opts.Policy = snapshot.Delete
	}
	return d
}

// AddVolume makes a volume of VolumeSize, or replaces one.
func (d *Driver) AddVolume(ref snapshot.Ref, content string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	d.volumes[ref] = &volume{content: content, size: VolumeSize, bound: true}
}

// RemoveVolume removes a volume at once, whoever made it.
func (d *Driver) RemoveVolume(ref snapshot.Ref) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	delete(d.volumes, ref)
}

// Write replaces the content of a volume, as a pod does that uses it.
func (d *Driver) Write(ref snapshot.Ref, content string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, err := d.use(ref)
	if err == nil {
		v.content = content
	}
	return err
}

// Read returns the content of a volume, as a pod does that uses it.
func (d *Driver) Read(ref snapshot.Ref) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, err := d.use(ref)
	if err != nil {
		return "", err
	}
	return v.content, nil
}

// SetProblem makes the storage report a problem about a snapshot of this name, whether it is there or not. It makes no progress until the problem is set to "".
func (d *Driver) SetProblem(ref snapshot.Ref, problem string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	d.problems[ref] = problem
	if o := d.snapshots[ref]; o != nil && problem == "" {
		o.cutAt = d.plan()
	}
}

// Stored returns the handles of the snapshots in the storage, whether there are objects for them or not.
func (d *Driver) Stored() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	return sortedKeys(d.stored)
}

// Contents returns the names of the content objects, those that are being deleted too.
func (d *Driver) Contents() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	return sortedKeys(d.contents)
}

// Snapshots returns the names of the snapshot objects, those that are being deleted too.
func (d *Driver) Snapshots() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	return names(d.snapshots)
}

// Volumes returns the names of the volumes, those that are being deleted too.
func (d *Driver) Volumes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	return names(d.volumes)
}

func names[T any](m map[snapshot.Ref]T) []string {
	list := []string{}
	for ref := range m {
		list = append(list, ref.String())
	}
	slices.Sort(list)
	return list
}

// begin counts as the beginning of a method. The caller holds no lock.
func (d *Driver) begin(ctx context.Context, method string, ref snapshot.Ref) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return d.moment(ctx, Call{Method: method, Ref: ref})
}

func (d *Driver) moment(ctx context.Context, c Call) error {
	if d.opts.Call == nil {
		return nil
	}
	return d.opts.Call(ctx, c)
}

// do runs a method: the option's Call around f, which holds the lock.
func (d *Driver) do(ctx context.Context, method string, ref snapshot.Ref, f func() error) error {
	if err := d.begin(ctx, method, ref); err != nil {
		return err
	}
	if err := d.locked(f); err != nil {
		return err
	}
	return d.moment(ctx, Call{Method: method, Ref: ref, After: true})
}

func (d *Driver) locked(f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	return f()
}

// uid is that of a new snapshot.
func (d *Driver) uid() string {
	d.made++
	return fmt.Sprintf("uid-%d", d.made)
}

// next numbers what is made.
func (d *Driver) next(kind string) string {
	d.counter++
	return fmt.Sprintf("%s-%d", kind, d.counter)
}
