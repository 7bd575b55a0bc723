// Package volume holds the functions that snapshot volumes through the Container Storage Interface (CSI).
//
// All of them ([Declared]) are declared and not built in yet: their arguments, outputs and static checks are complete, so that
// blueprints can be linted, but running one fails.
//
// # Errors
//
// A function that is only declared fails with [function.ErrDeclared], which is permanent.
//
// # Concurrency
//
// The functions keep no state; one value serves any number of runs at once.
package volume

import "github.com/davit-project/davit/function"

// Declared returns the functions of this package that are known by their schemas alone: blueprints that call them are linted and
// documented, running one fails with function.ErrDeclared.
func Declared() []function.Func {
	return []function.Func{
		createCSISnapshot(), createCSISnapshotStatic(), restoreCSISnapshot(),
		deleteCSISnapshot(), deleteCSISnapshotContent(),
		createVolumeSnapshot(), waitForSnapshotCompletion(), createVolumeFromSnapshot(), deleteVolumeSnapshot(),
	}
}
