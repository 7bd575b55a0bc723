// Package rds holds the functions that snapshot, restore, export and delete databases of Amazon RDS: instances, and clusters of Aurora.
//
// Everything a function makes has a name that follows from the phase, and the run's labels as tags beside one of the phase's own. An attempt after a crash finds
// by both what the one before it made, and carries on; an object of that name without that tag is somebody else's, and an error.
//
// # Errors
//
// What RDS answers keeps its code: "InvalidDBInstanceState: ...". What trying again cannot mend is permanent. [ErrWait] means that a wait took too long,
// [ErrState] that an object is in a state it does not leave by itself. No error holds a credential.
//
// # Concurrency
//
// The functions keep no state; one value serves any number of runs at once.
package rds

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/location"
)

// Deps is what the functions work on. The zero value is enough to lint and document blueprints, and to snapshot, restore and delete; a function that is run
// without what it needs fails with an error that names it.
type Deps struct {
	// NewClient makes a client of RDS. Default NewClient without options.
	NewClient func(ctx context.Context, access Access) (Client, error)
	// Pods runs the pods that dump and restore.
	Pods cluster.PodRunner
	// Open opens the bucket of a profile's JSON, in the host program. The functions close it.
	Open func(ctx context.Context, profile []byte) (*location.Bucket, error)
	// DumpImage is the image of the pods that dump and restore, where the phase names none. Default none: the phase must name one.
	DumpImage string
	// DumpCA holds the certificates, in PEM, of the authorities that sign those of database servers: AWS publishes them for RDS. With them a server and its name are verified.
	// Default none: connections are encrypted, and nobody knows with whom.
	DumpCA []byte
	// Waits are the limits of waiting.
	Waits Waits
}

// Waits are how long RDS may take for one step. A phase's own timeout ends all of them.
type Waits struct {
	// Instance is for an instance to become available or to be gone. Default 20 minutes.
	Instance time.Duration
	// Snapshot is for the snapshot of an instance. Default 20 minutes.
	Snapshot time.Duration
	// Cluster is for a cluster of Aurora, each of its members and its snapshots. Default 1 hour.
	Cluster time.Duration
	// Appear is how long what was just made may stay unknown to RDS. Default 2 minutes.
	Appear time.Duration
	// CleanUp is for what is removed once the phase has been stopped. It must be shorter than the time in which the host wants a stopped function back. Default 20 seconds.
	CleanUp time.Duration
	// Interval is the time between two looks. Default 10 seconds.
	Interval time.Duration
}

func (w Waits) withDefaults() Waits {
	return Waits{
		Instance: cmp.Or(w.Instance, 20*time.Minute), Snapshot: cmp.Or(w.Snapshot, 20*time.Minute), Cluster: cmp.Or(w.Cluster, time.Hour),
		Appear: cmp.Or(w.Appear, 2*time.Minute), CleanUp: cmp.Or(w.CleanUp, 20*time.Second), Interval: cmp.Or(w.Interval, 10*time.Second),
	}
}

// deps are Deps with their defaults.
type deps struct {
	Deps
	// write and read are dump and restoreDump; tests put something else there.
	write, read func(context.Context, *function.Call, dumpRequest) error
}

// Functions returns the functions of this package.
func Functions(d Deps) []function.Func { return newDeps(d).functions() }

func newDeps(d Deps) *deps {
	if d.NewClient == nil {
		d.NewClient = func(ctx context.Context, access Access) (Client, error) { return NewClient(ctx, access, nil) }
	}
	d.Waits = d.Waits.withDefaults()
	ready := &deps{Deps: d}
	ready.write, ready.read = ready.dump, ready.restoreDump
	return ready
}

func (d *deps) functions() []function.Func {
	return []function.Func{createRDSSnapshot(d), exportRDSSnapshotToLocation(d), restoreRDSSnapshot(d), deleteRDSSnapshot(d)}
}

// Errors of waiting.
var (
	// ErrWait means that an object was not in the state waited for within the limit.
	ErrWait = errors.New("it took too long")
	// ErrState means that an object is in a state that it does not leave by itself, or that does not allow what was asked.
	ErrState = errors.New("state does not allow it")
)

// wrong is a permanent error: what is asked for cannot be done as it is.
func wrong(format string, args ...any) error { return function.Permanent(fmt.Errorf(format, args...)) }
