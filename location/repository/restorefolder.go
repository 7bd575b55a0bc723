//go:build linux || darwin || freebsd || netbsd || openbsd

package repository

import (
	"container/list"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// slot is an open file or folder that may be closed while nobody uses it.
type slot struct {
	fd, users int
	idle      *list.Element
}

// fdCache keeps files open, a bounded number of those that are not in use.
type fdCache struct {
	mu   sync.Mutex
	idle *list.List
	most int
}

func newFDCache(most int) *fdCache { return &fdCache{idle: list.New(), most: most} }

// pin returns the open file, which stays open until unpin. Open is called with the lock held if it is closed.
func (c *fdCache) pin(s *slot, open func() (int, error)) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pinLocked(s, open)
}

func (c *fdCache) pinLocked(s *slot, open func() (int, error)) (int, error) {
	if s.fd < 0 {
		fd, err := open()
		if err != nil {
			return -1, err
		}
		s.fd = fd
	}
	if s.idle != nil {
		c.idle.Remove(s.idle)
		s.idle = nil
	}
	s.users++
	return s.fd, nil
}

func (c *fdCache) unpin(s *slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unpinLocked(s)
}

func (c *fdCache) unpinLocked(s *slot) {
	if s.users--; s.users > 0 {
		return
	}
	s.idle = c.idle.PushFront(s)
	if c.idle.Len() > c.most {
		old := c.idle.Remove(c.idle.Back()).(*slot)
		old.idle = nil
		_ = closeFD(old.fd)
		old.fd = -1
	}
}

// drop closes what nobody uses any more.
func (c *fdCache) drop(s *slot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.idle != nil {
		c.idle.Remove(s.idle)
		s.idle = nil
	}
	fd := s.fd
	s.fd = -1
	return closeFD(fd)
}

// closeAll closes what is not in use.
func (c *fdCache) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.idle.Len() > 0 {
		s := c.idle.Remove(c.idle.Front()).(*slot)
		_ = closeFD(s.fd)
		s.fd, s.idle = -1, nil
	}
}

// outFolder is a folder in the target. It is made when something is put into it, at the latest when everything in it is done, and gets its metadata then.
type outFolder struct {
	parent *outFolder
	name   string
	// node has the metadata; nil leaves what is there.
	node *format.Node
	// wanted folders are made even if nothing is in them.
	wanted bool
	// pending counts what is not done yet in it: files and folders, and the plan of it.
	pending atomic.Int64
	// reported is set once a failure to make it was reported.
	reported atomic.Bool

	// The rest is guarded by the lock of the cache. Exists means that it was made or found, fresh that it was made: nothing is in it that is not ours.
	slot
	exists, fresh bool
	failure       error
	mount         *mount
}

// path in the target, for messages.
func (f *outFolder) path(name string) string {
	var parts []string
	if name != "" {
		parts = append(parts, name)
	}
	for g := f; g != nil && g.parent != nil; g = g.parent {
		parts = append(parts, g.name)
	}
	slices.Reverse(parts)
	return shortPath(strings.Join(parts, "/"))
}

// outFolders opens folders.
type outFolders struct {
	*fdCache
	// replace allows that something else than a folder is removed where one must be.
	replace bool
	euid    uint32
	mounts  *mounts
}

// acquire opens the folder, and makes it if need be; release must follow.
func (fs *outFolders) acquire(f *outFolder) (int, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var chain []*outFolder
	for g := f; g.fd < 0 && g.failure == nil; g = g.parent {
		chain = append(chain, g)
	}
	if len(chain) == 0 {
		return fs.one(f)
	}
	if above := chain[len(chain)-1].parent; above != nil {
		if _, err := fs.one(above); err != nil {
			return -1, err
		}
	}
	for _, g := range slices.Backward(chain) {
		fd, err := fs.one(g)
		if g.parent != nil {
			fs.unpinLocked(&g.parent.slot)
		}
		if err != nil {
			return -1, err
		}
		if g == f {
			return fd, nil
		}
	}
	return -1, errors.ErrUnsupported // never: the chain ends with f
}

// release lets the folder be closed.
func (fs *outFolders) release(f *outFolder) { fs.unpin(&f.slot) }

// one pins a folder whose parent is pinned.
func (fs *outFolders) one(f *outFolder) (int, error) {
	if f.failure != nil {
		return -1, f.failure
	}
	fd, err := fs.pinLocked(&f.slot, func() (int, error) { return fs.open(f) })
	if err != nil {
		f.failure = err
	}
	return fd, err
}

var errInTheWay = errors.New("something is in the way")

// open opens a folder whose parent is open; the first time it is made if it is absent, and takes the place of what is no folder.
func (fs *outFolders) open(f *outFolder) (int, error) {
	parent := f.parent.fd
	if f.exists {
		return openFolderAt(parent, f.name)
	}
	fresh, err := makeFolder(parent, f.name)
	if err != nil {
		return -1, err
	}
	fd, err := openFolderAt(parent, f.name)
	if err != nil && notFolder(err) {
		if !fs.replace {
			return -1, fmt.Errorf("%w of a folder, and is not to be overwritten", errInTheWay)
		}
		if err := retry(func() error { return unix.Unlinkat(parent, f.name, 0) }); err != nil {
			return -1, fmt.Errorf("remove what is in the way of a folder: %w", err)
		}
		if fresh, err = makeFolder(parent, f.name); err == nil {
			fd, err = openFolderAt(parent, f.name)
		}
	}
	if err != nil {
		return -1, err
	}
	f.mount = f.parent.mount
	if fresh {
		dropACL(fd)
	} else if err := fs.found(f, fd); err != nil {
		_ = closeFD(fd)
		return -1, err
	}
	f.exists, f.fresh = true, fresh
	return fd, nil
}

func makeFolder(parent int, name string) (bool, error) {
	err := retry(func() error { return unix.Mkdirat(parent, name, 0o700) })
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	return err == nil, err
}

// found prepares a folder that was there: it may be of another file system, and closed even to its owner.
func (fs *outFolders) found(f *outFolder, fd int) error {
	st, err := statFD(fd)
	if err != nil {
		return err
	}
	if fs.euid != 0 && st.uid == fs.euid && st.mode&0o700 != 0o700 {
		if err := retry(func() error { return unix.Fchmod(fd, st.mode|0o700) }); err != nil {
			return err
		}
	}
	f.mount, err = fs.mounts.of(f, fd, f.mount)
	return err
}
