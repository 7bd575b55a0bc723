// Package volume holds the functions that snapshot volumes through the Container Storage Interface (CSI), over a [snapshot.Snapshotter]: CreateCSISnapshot,
// CreateCSISnapshotStatic, CreateCSISnapshotGroup, AwaitCSISnapshots, RestoreCSISnapshot, DeleteCSISnapshot and DeleteCSISnapshotContent.
//
// What a function creates has a name that is the same on every attempt of its phase, carries the labels of the run and the phase's token: a host that comes
// after one that died finds it. A function that fails or is cancelled removes what it made; what it could not remove is in its error.
//
// The functions that Kanister removed ([Declared]) are known by their arguments alone, so that blueprints that call them can be linted.
//
// # Errors
//
// Those of package snapshot and of cluster/session pass through; [snapshot.ErrInvalid], [snapshot.ErrExists], [snapshot.ErrNoClass] and
// [snapshot.ErrUnsupported] become permanent. A function that is only declared fails with [function.ErrDeclared].
//
// # Concurrency
//
// The functions keep no state; one value serves any number of runs at once.
package volume

import (
	"context"
	"errors"
	"fmt"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/snapshot"
)

// Deps is what the functions work on. The zero value is enough to lint and document blueprints; a function that is run
// without what it needs fails with an error that says so.
type Deps struct {
	// Snapshots takes the snapshots.
	Snapshots *snapshot.Snapshotter
	// Exec is for CreateCSISnapshotGroup with a command that holds the application.
	Exec cluster.Executor
	// Without says why there are no Snapshots, where the host knows that there are none: a run that calls one of the functions is refused before anything is touched. Default nil.
	Without error
}

// Functions returns the functions of this package that run.
func Functions(d Deps) []function.Func {
	all := []function.Func{
		createCSISnapshot(d), createCSISnapshotStatic(d), createCSISnapshotGroup(d), awaitCSISnapshots(d),
		restoreCSISnapshot(d), deleteCSISnapshot(d), deleteCSISnapshotContent(d),
	}
	if d.Without != nil {
		for i := range all {
			all[i] = all[i].Withdraw(d.Without)
		}
	}
	return all
}

// snapshots returns the Snapshotter, which reports to the call what it waits for.
func (d Deps) snapshots(ctx context.Context, call *function.Call) (*snapshot.Snapshotter, error) {
	if d.Snapshots == nil {
		return nil, function.Permanent(errors.New("the host program gave no snapshot.Snapshotter to this function"))
	}
	return d.Snapshots.Observed(func(s snapshot.Status) {
		call.Report(ctx, function.Progress{Note: fmt.Sprintf("snapshot %s: %s", s.Ref, progress(s))})
	}), nil
}

// shownProblem is how much of what the storage reports a progress note shows, in bytes.
const shownProblem = 256

// progress says in a few words what is waited for.
func progress(s snapshot.Status) string {
	switch {
	case s.Problem != "" && !s.Ready:
		return "the storage reports " + oneLine(s.Problem, shownProblem)
	case s.Deleting:
		return "being deleted"
	case s.CutAt.IsZero():
		return "waiting until it is cut"
	case !s.Ready:
		return "cut, waiting until it can be restored"
	default:
		return "can be restored"
	}
}

// forGood marks errors that trying again cannot mend.
func forGood(err error) error {
	for _, lasting := range []error{snapshot.ErrInvalid, snapshot.ErrExists, snapshot.ErrNoClass, snapshot.ErrUnsupported, cluster.ErrInvalid, cluster.ErrAmbiguous} {
		if errors.Is(err, lasting) {
			return function.Permanent(err)
		}
	}
	return err
}

// token is what a phase puts on all it makes.
func token(call *function.Call) string { return call.Name("") }
