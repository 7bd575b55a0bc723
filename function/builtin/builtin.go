// Package builtin lists every built-in function. It is the only place that names them all; hosts that want fewer take them from
// the packages that hold them.
//
// # Concurrency
//
// The functions keep no state; one value serves any number of runs at once.
package builtin

import (
	"context"
	"slices"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/function/rds"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/location"
)

// Deps is what the functions work on. The zero value is enough to lint and document blueprints; functions that are run need
// what their packages say.
type Deps struct {
	// Kube is the cluster.
	Kube kube.Deps
	// Open opens the bucket of a profile's JSON.
	Open func(ctx context.Context, profile []byte) (*location.Bucket, error)
}

// All returns every function, those that are only declared included.
func All(d Deps) []function.Func {
	return slices.Concat(
		kube.Functions(d.Kube),
		[]function.Func{data.LocationDelete(d.Open)}, data.Declared(),
		volume.Declared(),
		rds.Declared(),
	)
}
