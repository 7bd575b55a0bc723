//go:build unix

package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// built is the time of everything in an image.
var built = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// unread are folders of packages for people and translators.
var unread = []string{"usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/lintian/", "usr/share/bug/"}

// tarStream is the file system of a package. Close reports what went wrong with the program that made it.
type tarStream = io.ReadCloser

// layer writes each path once.
type layer struct {
	out  *tar.Writer
	seen map[string]bool
	// own are the paths of the spec's files, which packages do not write.
	own map[string]bool
}

// writeLayer writes folders and links to /usr, the packages, and the other files.
func writeLayer(w io.Writer, files []File, packages []deb, open func(deb) (tarStream, error)) error {
	l := &layer{out: tar.NewWriter(w), seen: map[string]bool{}, own: map[string]bool{}}
	for _, f := range files {
		l.own[f.Path] = true
	}
	for _, name := range usrFolders {
		if err := l.entry(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "usr/" + name, Mode: 0o777}, nil); err != nil {
			return err
		}
	}
	for _, f := range files {
		if f.Dir {
			if err := l.file(f); err != nil {
				return err
			}
		}
	}
	for _, d := range packages {
		if err := l.unpack(d, open); err != nil {
			return fmt.Errorf("package %q: %w", d.file, err)
		}
	}
	for _, f := range files {
		if !f.Dir {
			if err := l.file(f); err != nil {
				return fmt.Errorf("file %q: %w", f.Path, err)
			}
		}
	}
	return l.out.Close()
}

// entry writes a header and what r has, after the folders above it.
func (l *layer) entry(h *tar.Header, r io.Reader) error {
	if l.seen[h.Name] {
		return nil
	}
	if dir := path.Dir(h.Name); dir != "." && !l.seen[dir] {
		if err := l.entry(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, nil); err != nil {
			return err
		}
	}
	l.seen[h.Name] = true
	clean := &tar.Header{
		Typeflag: h.Typeflag, Name: h.Name, Linkname: h.Linkname, Size: h.Size, Mode: h.Mode, Uid: h.Uid, Gid: h.Gid, ModTime: built,
	}
	if h.Typeflag == tar.TypeDir {
		clean.Name += "/"
	}
	if err := l.out.WriteHeader(clean); err != nil {
		return err
	}
	if r == nil {
		return nil
	}
	_, err := io.CopyN(l.out, r, h.Size)
	return err
}

// unpack copies the file system of a package.
func (l *layer) unpack(d deb, open func(deb) (tarStream, error)) error {
	stream, err := open(d)
	if err != nil {
		return err
	}
	in := tar.NewReader(stream)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, stream) // what pads the archive
			return errors.Join(err, stream.Close())
		}
		if err == nil {
			err = l.packaged(h, in)
		}
		if err != nil {
			return errors.Join(err, stream.Close())
		}
	}
}

func (l *layer) packaged(h *tar.Header, in *tar.Reader) error {
	shipped := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	name := merged(shipped)
	if shipped == "" || l.own[name] {
		return nil
	}
	for _, dir := range unread {
		if strings.HasPrefix(name, dir) {
			return nil
		}
	}
	h.Name = name
	switch h.Typeflag {
	case tar.TypeReg:
		return l.entry(h, in)
	case tar.TypeDir:
		return l.entry(h, nil)
	case tar.TypeSymlink:
		// A link that leads upwards leads elsewhere once it has moved.
		if name != shipped && strings.HasPrefix(h.Linkname, "../") {
			h.Linkname = "/" + merged(strings.TrimPrefix(path.Join("/", path.Dir(shipped), h.Linkname), "/"))
		}
		return l.entry(h, nil)
	case tar.TypeLink:
		h.Linkname = merged(strings.TrimPrefix(path.Clean("/"+h.Linkname), "/"))
		return l.entry(h, nil)
	default:
		return fmt.Errorf("%q is neither file, folder nor link", h.Name)
	}
}

// file writes a file of the spec.
func (l *layer) file(f File) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: tarMode(f.Mode), Uid: f.UID, Gid: f.GID, Size: int64(len(f.Data))}
	switch {
	case f.Dir:
		h.Typeflag = tar.TypeDir
		return l.entry(h, nil)
	case f.Link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
		return l.entry(h, nil)
	case f.Source == "":
		return l.entry(h, strings.NewReader(string(f.Data)))
	}
	in, err := os.Open(f.Source)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	info, err := in.Stat()
	if err != nil {
		return err
	}
	h.Size = info.Size()
	return l.entry(h, in)
}

// tarMode takes both spellings of setuid, setgid and sticky: fs.ModeSticky|0o777 and 0o1777.
func tarMode(m fs.FileMode) int64 {
	mode := int64(m & 0o7777)
	for bit, value := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			mode |= value
		}
	}
	return mode
}
