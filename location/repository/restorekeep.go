//go:build linux || darwin || freebsd || netbsd || openbsd

package repository

import (
	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// keep tells whether a file that is there stays, and gives it the metadata that it lacks. What has other names elsewhere is only kept if nothing of it must be changed: the
// other names may lie outside of the target.
func (p *planner) keep(f *outFolder, n *format.Node, size int64, group *linkGroup) (bool, error) {
	if p.opts.Overwrite == OverwriteAlways {
		return false, nil
	}
	dir, err := p.folders.acquire(f)
	if err != nil {
		return false, err
	}
	defer p.folders.release(f)
	if f.fresh {
		return false, nil
	}
	have, err := statAt(dir, n.Name)
	if err != nil || !have.present {
		return false, err
	}
	if p.opts.Overwrite == OverwriteNever {
		p.kept(have, group)
		return true, nil
	}
	if !have.regular || have.size != size || p.opts.Overwrite == OverwriteChanged && !have.mtime.Equal(n.ModTime) {
		return false, nil
	}
	fits := have.mtime.Equal(n.ModTime) && have.mode == unixMode(n, p.opts.SetID) && (!p.owners || have.uid == n.UID && have.gid == n.GID)
	if have.nlink > 1 && (!fits || len(n.Xattrs) > 0) {
		return false, nil
	}
	if fits && len(n.Xattrs) == 0 && p.opts.Overwrite == OverwriteChanged {
		p.kept(have, group)
		return true, nil
	}
	return p.keepOpened(dir, n, group)
}

// keepOpened opens the file, to compare its content and to give it its metadata.
func (p *planner) keepOpened(dir int, n *format.Node, group *linkGroup) (bool, error) {
	fd, err := openAt(dir, n.Name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		// It cannot be read, or is something else now: it is replaced.
		return false, nil
	}
	defer func() { _ = closeFD(fd) }()
	have, err := statFD(fd)
	if err != nil || !have.regular {
		return false, err
	}
	if p.opts.Overwrite == OverwriteDifferent {
		if same, err := p.sameContent(fd, n); err != nil || !same {
			return false, err
		}
	}
	if have.nlink == 1 {
		failures := p.setMeta(fd, n, have)
		if !have.mtime.Equal(n.ModTime) {
			failures = append(failures, setTimes(dir, n.Name, n)...)
		}
		if len(failures) > 0 {
			// A file of its own gets it, or says why not.
			return false, nil
		}
	}
	p.kept(have, group)
	return true, nil
}

// kept counts a file that stays.
func (p *planner) kept(have fileStat, group *linkGroup) {
	p.out.count(func(s *RestoreSummary) {
		s.Unchanged++
		s.UnchangedBytes += have.size
	})
	if group != nil {
		group.dev, group.ino = have.dev, have.ino
	}
}
