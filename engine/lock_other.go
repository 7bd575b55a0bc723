//go:build !unix

package engine

import "os"

// lockFile does nothing where there is no advisory lock: the host sees to it that one process executes a run.
func lockFile(*os.File) error { return nil }
