package rds

import (
	"context"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/location"
)

// Deps is what the functions work on. The zero value is enough to lint and document blueprints; a function that is run
// without what it needs fails with an error that names it.
type Deps struct {
	// Pods runs the pods that dump and restore.
	Pods cluster.PodRunner
	// Open opens the bucket of a profile's JSON, in the host program. The functions close it.
	Open func(ctx context.Context, profile []byte) (*location.Bucket, error)
	// DumpImage is the image of the pods that dump and restore, where the phase names none. Default none: the phase must name one.
	DumpImage string
}

// deps are Deps with their defaults.
type deps struct{ Deps }
