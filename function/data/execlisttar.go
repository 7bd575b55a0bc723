package data

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/davit-project/davit/location/repository"
)

// packScript packs the whole folder. $1 is the folder.
const packScript = `cd "${DAVIT_ROOT-}$1" || exit 3
export LC_ALL=C
exec tar -cf - .`

// listTar lists the folder by a tar stream of all of it, of which only the headers are kept: for containers without find or stat. There is no telling then what has changed, so that
// every file is read.
func (s *execSource) listTar(ctx context.Context, now int64) error {
	r := s.start(packScript, s.folder)
	defer r.stop()
	l := newListing("")
	l.now = now
	err := l.readTar(newArchives(r))
	if err == nil {
		err = r.settle(tarComplaints...)
	}
	if err == nil {
		l.ended = true
		err = l.finish()
	}
	if err != nil {
		return s.failed(ctx, r, err)
	}
	s.root = l.root
	return nil
}

func (l *listing) readTar(a *archives) error {
	links := map[string]*listed{}
	for {
		h, err := a.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(h.Name, "/")
		e := &listed{
			mode: h.FileInfo().Mode(), uid: uint32(h.Uid), gid: uint32(h.Gid), links: 1, size: h.Size, //nolint:gosec // what is no such number is nobody's
			user: l.word(h.Uname), group: l.word(h.Gname), mtime: h.ModTime.Unix(), ctime: l.now, fresh: true, target: h.Linkname,
			rdev: deviceOf(uint32(h.Devmajor), uint32(h.Devminor)), //nolint:gosec // as above
		}
		switch h.Typeflag {
		case tar.TypeReg:
			links[name] = e
		case tar.TypeLink:
			first := links[h.Linkname]
			if first == nil {
				return fmt.Errorf("%w: %.100q is a link to %.100q, which is not before it", errTar, h.Name, h.Linkname)
			}
			first.links = 2
			linked := *first
			e = &linked
		case tar.TypeDir, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		default:
			return fmt.Errorf("%w: %.100q is an entry of type %q", errTar, h.Name, h.Typeflag)
		}
		if err := l.place(name, e); err != nil {
			return fmt.Errorf("%w: %w", repository.ErrSource, err)
		}
	}
}
