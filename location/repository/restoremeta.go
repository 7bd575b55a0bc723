//go:build linux || darwin || freebsd || netbsd || openbsd

package repository

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// warning is a failure that is none.
type warning struct{ error }

func (w warning) Unwrap() error { return w.error }

// report sorts failures into warnings and errors of the entry; it returns those that end the restore.
func (x *restorer) report(path string, failures []error) error {
	for _, err := range failures {
		var w warning
		switch {
		case errors.As(err, &w):
			x.out.warn(path, err)
		case hopeless(err):
			return fmt.Errorf("%q: %w", path, err)
		default:
			x.out.fail(path, err)
		}
	}
	return nil
}

// ownerFailed is an error for root, who may do it, and a warning for others.
func (x *restorer) ownerFailed(n *format.Node, err error) error {
	err = fmt.Errorf("set the owner %d and the group %d: %w", n.UID, n.GID, err)
	if x.euid != 0 {
		return warning{err}
	}
	return err
}

func (x *restorer) xattrFailed(name string, err error) error {
	err = fmt.Errorf("set the attribute %q: %w", name, err)
	if x.euid != 0 || softXattr(name, err) {
		return warning{err}
	}
	return err
}

// xattrs are those that are restored.
func (x *restorer) xattrs(n *format.Node) []format.Xattr {
	if x.opts.SetID {
		return n.Xattrs
	}
	for i, a := range n.Xattrs {
		if a.Name == capabilityXattr {
			x.out.count(func(s *RestoreSummary) { s.LeftOutSetIDs++ })
			return append(n.Xattrs[:i:i], n.Xattrs[i+1:]...)
		}
	}
	return n.Xattrs
}

// mode is the one that is set; bits that are left out are counted.
func (x *restorer) mode(n *format.Node) uint32 {
	mode := unixMode(n, x.opts.SetID)
	if n.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 && unixMode(n, true) != mode {
		x.out.count(func(s *RestoreSummary) { s.LeftOutSetIDs++ })
	}
	return mode
}

// setMeta gives an open file or folder everything but its times: the owner first, since a change of it clears set-uid bits and capabilities; the mode last, since it may lock
// the others out.
func (x *restorer) setMeta(fd int, n *format.Node, have fileStat) []error {
	var failures []error
	if x.owners && (have.uid != n.UID || have.gid != n.GID) {
		if err := retry(func() error { return unix.Fchown(fd, int(n.UID), int(n.GID)) }); err != nil {
			failures = append(failures, x.ownerFailed(n, err))
		}
		have.mode = ^uint32(0)
	}
	for _, a := range x.xattrs(n) {
		if err := setXattr(fd, a); err != nil {
			failures = append(failures, x.xattrFailed(a.Name, err))
		}
		have.mode = ^uint32(0)
	}
	if mode := x.mode(n); mode != have.mode {
		if err := retry(func() error { return unix.Fchmod(fd, mode) }); err != nil {
			failures = append(failures, fmt.Errorf("set the mode %#o: %w", mode, err))
		}
	}
	return failures
}

// setStagedMeta is setMeta, with the times, of what cannot be opened: a link or a special file in a stage.
func (x *restorer) setStagedMeta(m *mount, name string, n *format.Node) []error {
	var failures []error
	if x.owners {
		if err := retry(func() error { return unix.Fchownat(m.stage, name, int(n.UID), int(n.GID), unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
			failures = append(failures, x.ownerFailed(n, err))
		}
	}
	for _, a := range x.xattrs(n) {
		if err := setLinkXattr(m.stage, name, a); err != nil {
			failures = append(failures, x.xattrFailed(a.Name, err))
		}
	}
	if n.Type != format.TypeSymlink {
		mode := x.mode(n)
		if err := retry(func() error { return unix.Fchmodat(m.stage, name, mode, 0) }); err != nil {
			failures = append(failures, fmt.Errorf("set the mode %#o: %w", mode, err))
		}
	}
	return append(failures, setTimes(m.stage, name, n)...)
}

// setTimes sets the times of what has that name in the folder, of a link itself.
func setTimes(dir int, name string, n *format.Node) []error {
	if err := retry(func() error { return unix.UtimesNanoAt(dir, name, timesOf(n), unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return []error{fmt.Errorf("set the times: %w", err)}
	}
	return nil
}

// finishFolder gives the folder its metadata once everything in it is done, and then those above it for which that was the last.
func (x *restorer) finishFolder(f *outFolder) error {
	for ; f != nil && f.pending.Add(-1) == 0; f = f.parent {
		if err := x.folderMeta(f); err != nil {
			return err
		}
	}
	return nil
}

func (x *restorer) folderMeta(f *outFolder) error {
	if f.parent == nil && f.node == nil || !f.wanted && !x.exists(f) {
		return nil
	}
	fd, err := x.folders.acquire(f)
	if err != nil {
		// Whoever wanted to put something into it has reported it; else it is reported here.
		if f.reported.CompareAndSwap(false, true) {
			return x.report(f.path(""), []error{err})
		}
		return nil
	}
	var failures []error
	if f.node != nil {
		have, err := statFD(fd)
		if err != nil {
			failures = append(failures, err)
		}
		// The times before the mode, which may close the folder to its owner.
		failures = append(failures, setTimes(fd, ".", f.node)...)
		failures = append(failures, x.setMeta(fd, f.node, have)...)
	}
	x.folders.release(f)
	if f.parent != nil {
		_ = x.folders.drop(&f.slot) // it was only read
		x.out.count(func(s *RestoreSummary) { s.Folders++ })
	}
	return x.report(f.path(""), failures)
}

// exists tells whether the folder was made or found.
func (x *restorer) exists(f *outFolder) bool {
	x.folders.mu.Lock()
	defer x.folders.mu.Unlock()
	return f.exists
}
