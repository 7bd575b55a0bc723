//go:build unix

package localcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// tryLock locks the file for this open file alone; nil without error when somebody else holds it or has just removed it. Closing the file unlocks
// it unless a child inherited it.
func tryLock(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close() //nolint:errcheck // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fmt.Errorf("lock %q: %w", path, err)
	}
	if !names(path, f) { // its folder was removed meanwhile: the lock of a file without a name keeps nobody out
		f.Close() //nolint:errcheck // nothing was written
		return nil, nil
	}
	return f, nil
}

// names tells whether the path still is that of the open file.
func names(path string, f *os.File) bool {
	a, err := os.Stat(path)
	if err != nil {
		return false
	}
	b, err := f.Stat()
	return err == nil && os.SameFile(a, b)
}

// locked tells whether somebody holds the lock of the file.
func locked(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	switch err := flock(f, unix.LOCK_SH|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("probe lock %q: %w", path, err)
	}
	// A child that is being forked may hold a copy of the file, so closing it is not enough.
	return false, flock(f, unix.LOCK_UN)
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// withLock runs do while it holds the named lock of the folder.
func (c *Cluster) withLock(ctx context.Context, name string, do func() error) error {
	path := filepath.Join(c.dir, "locks", name)
	for p := newPoll(); ; {
		f, err := tryLock(path, os.O_CREATE)
		if err != nil {
			return err
		}
		if f != nil {
			defer f.Close()              //nolint:errcheck // nothing was written
			defer flock(f, unix.LOCK_UN) //nolint:errcheck // closing unlocks too
			return do()
		}
		if err := p.wait(ctx); err != nil {
			return fmt.Errorf("wait for lock %q: %w", path, err)
		}
	}
}

// poll waits longer from time to time: 2 ms to 40 ms.
type poll struct{ next time.Duration }

func newPoll() *poll { return &poll{2 * time.Millisecond} }

func (p *poll) reset() { p.next = 2 * time.Millisecond }

// wait returns the context's cause when it ends first.
func (p *poll) wait(ctx context.Context) error {
	t := time.NewTimer(p.next)
	defer t.Stop()
	p.next = min(p.next*3/2, 40*time.Millisecond)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
