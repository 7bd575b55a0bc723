// Package builtin lists every built-in function. It is the only place that names them all; hosts that want fewer take them from
// the packages that hold them.
//
// # Concurrency
//
// The functions keep no state; one value serves any number of runs at once.
package builtin

import (
	"slices"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/rds"
	"github.com/davit-project/davit/function/volume"
)

// Deps is what the functions work on. The zero value is enough to lint and document blueprints; functions that are run need
// what their packages say.
type Deps struct{}

// All returns every function, those that are only declared included.
func All(Deps) []function.Func {
	return slices.Concat(data.Declared(), volume.Declared(), rds.Declared())
}
