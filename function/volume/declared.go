package volume

import "github.com/davit-project/davit/function"

// Declared returns the functions that Kanister removed. They are known by their schemas alone: blueprints that call them are linted and
// documented, running one fails with function.ErrDeclared.
func Declared() []function.Func {
	return []function.Func{createVolumeSnapshot(), waitForSnapshotCompletion(), createVolumeFromSnapshot(), deleteVolumeSnapshot()}
}
