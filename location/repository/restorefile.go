//go:build linux || darwin || freebsd || netbsd || openbsd

package repository

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// outFile is a file that is being restored.
type outFile struct {
	dir *outFolder
	// node is the file's, without its content.
	node *format.Node
	size int64
	// left counts the chunks that are to come, and the plan of it.
	left  atomic.Int64
	group *linkGroup

	mu      sync.Mutex
	failure error

	// The rest is guarded by the lock of the cache: the file in the stage of its folder's file system.
	slot
	mount *mount
	temp  string
}

// fail keeps the first reason why the file cannot be restored.
func (f *outFile) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failure == nil {
		f.failure = err
	}
}

func (f *outFile) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failure
}

func (f *outFile) broken() bool { return f.failed() != nil }

// openFile opens the file in the stage, and makes it the first time.
func (x *restorer) openFile(f *outFile) (int, error) {
	if f.temp != "" {
		return openAt(f.mount.stage, f.temp, unix.O_WRONLY, 0)
	}
	if _, err := x.folders.acquire(f.dir); err != nil {
		return -1, err
	}
	m := f.dir.mount
	x.folders.release(f.dir)
	name := m.temp()
	fd, err := openAt(m.stage, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err == nil {
		f.mount, f.temp = m, name
	}
	return fd, err
}

// write puts content into the file; a failure is the file's, unless it ends the restore.
func (x *restorer) write(f *outFile, content []byte, off int64) error {
	if f.broken() {
		// It is reported when the last chunk has come.
		return nil
	}
	fd, err := x.files.pin(&f.slot, func() (int, error) { return x.openFile(f) })
	if err == nil {
		err = x.writeTo(fd, f, content, off)
		x.files.unpin(&f.slot)
	}
	if err == nil {
		return nil
	}
	if hopeless(err) {
		return fmt.Errorf("write %q: %w", f.dir.path(f.node.Name), err)
	}
	f.fail(err)
	return nil
}

func (x *restorer) writeTo(fd int, f *outFile, content []byte, off int64) error {
	end := off + int64(len(content))
	if x.opts.Dense {
		return writeAt(fd, content, off)
	}
	last := off
	for from, to := nextData(content, off, 0); from < to; from, to = nextData(content, off, to) {
		if err := writeAt(fd, content[from:to], off+int64(from)); err != nil {
			return err
		}
		last = off + int64(to)
	}
	if end == f.size && last < end {
		return retry(func() error { return unix.Ftruncate(fd, f.size) })
	}
	return nil
}

const (
	// block is the unit of holes, minHole how long a hole in the middle of a chunk must be.
	block   = 4096
	minHole = 4 * block
)

// nextData finds the next piece of the content, from at on, that must be written: what lies between holes. The content's place in the file is off, where blocks are counted from.
func nextData(content []byte, off int64, at int) (from, to int) {
	from = at + zeros(content[at:], off+int64(at))
	for to = from; to < len(content); {
		to = blockEnd(to, off, len(content))
		hole := zeros(content[to:], off+int64(to))
		if hole >= minHole || to+hole == len(content) {
			return from, to
		}
		to += hole
	}
	return from, to
}

// zeros is how many bytes at the beginning are in blocks of zeros; a piece of a block at either end counts as one.
func zeros(content []byte, off int64) int {
	n := 0
	for n < len(content) {
		end := blockEnd(n, off, len(content))
		if !isZero(content[n:end]) {
			break
		}
		n = end
	}
	return n
}

// blockEnd is where the block ends that at is in.
func blockEnd(at int, off int64, size int) int {
	return min(size, at+block-int((off+int64(at))%block))
}

func isZero(piece []byte) bool { return bytes.Equal(piece, zeroBlock[:len(piece)]) }

var zeroBlock [block]byte // never written

// chunkDone counts a chunk, or the plan, of the file, and finishes it after the last.
func (x *restorer) chunkDone(f *outFile) error {
	if f.left.Add(-1) > 0 {
		return nil
	}
	failures := x.finishFile(f)
	fatal := x.report(f.dir.path(f.node.Name), failures)
	x.meter.add(1, 0)
	if err := x.linked(f); err != nil {
		fatal = errors.Join(fatal, err)
	}
	return errors.Join(fatal, x.finishFolder(f.dir))
}

// finishFile gives the file its metadata and its name, or removes it if it has failed.
func (x *restorer) finishFile(f *outFile) []error {
	if err := f.failed(); err != nil {
		return append([]error{err}, x.discard(f)...)
	}
	fd, err := x.files.pin(&f.slot, func() (int, error) { return x.openFile(f) })
	if err != nil {
		f.fail(err)
		return append([]error{err}, x.discard(f)...)
	}
	st, err := statFD(fd)
	failures := x.setMeta(fd, f.node, st)
	if !x.opts.NoSync {
		if f.size >= 1<<20 {
			startSync(fd)
		}
		if err := syncFile(fd); err != nil {
			failures = append(failures, err)
		}
	}
	failures = append(failures, setTimes(f.mount.stage, f.temp, f.node)...)
	x.files.unpin(&f.slot)
	if closeErr := x.files.drop(&f.slot); err == nil {
		err = closeErr
	}
	if err == nil {
		err = x.place(f.mount, f.temp, f.dir, f.node.Name)
	}
	if err != nil {
		f.fail(err)
		return append(append(failures, err), x.discard(f)...)
	}
	if f.group != nil {
		f.group.dev, f.group.ino = st.dev, st.ino
	}
	x.out.count(func(s *RestoreSummary) { s.Files++; s.Bytes += f.size })
	return failures
}

// discard removes the file from the stage.
func (x *restorer) discard(f *outFile) []error {
	_ = x.files.drop(&f.slot) // what was written is of no use
	if f.temp == "" {
		return nil
	}
	if err := f.mount.discard(f.temp); err != nil {
		return []error{fmt.Errorf("remove what is not complete: %w", err)}
	}
	return nil
}

// place renames what is complete in the stage to its name in the folder. An empty folder that has it gives way, another only with Delete.
func (x *restorer) place(m *mount, temp string, dir *outFolder, name string) error {
	fd, err := x.folders.acquire(dir)
	if err != nil {
		return err
	}
	defer x.folders.release(dir)
	rename := func() error {
		return retry(func() error { return unix.Renameat(m.stage, temp, fd, name) })
	}
	err = rename()
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	if x.opts.Delete {
		err = removeAll(fd, name, 0)
	} else if err = retry(func() error { return unix.Unlinkat(fd, name, unix.AT_REMOVEDIR) }); err != nil {
		err = fmt.Errorf("%w: a folder that is not empty (%w): remove it, or restore with Delete", errInTheWay, err)
	}
	if err != nil {
		return err
	}
	return rename()
}
