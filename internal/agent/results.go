package agent

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/davit-project/davit/cluster"
)

// How often the file of results is tried while another process writes to it, and the pause between two tries.
const (
	lockTries = 200
	lockPause = 10 * time.Millisecond
)

var errLocked = errors.New("another process holds it")

// addResult appends the line to the file of results, whole or not at all: it is left out where the file would get larger than
// what is kept of it. No path is no error.
func addResult(path, line string) (err error) {
	if path == "" || len(line) > cluster.ResultsSize {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|notBlocking, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // ends the lock
	if err := lock(f); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%q is no plain file", path)
	}
	size := info.Size()
	if last := make([]byte, 1); size > 0 {
		if _, err := f.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' { // somebody else's half line
			line = "\n" + line
		}
	}
	if size+int64(len(line)) > cluster.ResultsSize {
		return nil
	}
	if _, err := f.WriteString(line); err != nil {
		return errors.Join(err, f.Truncate(size))
	}
	return nil
}

// lock keeps other processes of the agent out of the file. It gives up on one that holds it for long.
func lock(f *os.File) error {
	for range lockTries {
		held, err := tryLock(f)
		if held || err != nil {
			return err
		}
		time.Sleep(lockPause)
	}
	return fmt.Errorf("lock %q: %w", f.Name(), errLocked)
}
