package repository

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// DumpOptions of a tar stream. Nil and zero are ready to use.
type DumpOptions struct {
	// GNU writes GNU's format, which small programs such as busybox's tar read too: whole seconds, no extended attributes. Default: PAX.
	GNU bool
	// SetID keeps set-uid bits, set-gid bits of files and file capabilities, Devices device nodes. Default: they are left out, as Restore does.
	SetID, Devices bool
}

// DumpTar writes the folder at path in the snapshot as a tar stream: what is in it, with paths relative to it, folders before their contents; no entry for the folder itself. Owners
// are numbers; sockets are left out. A file whose content is missing is left out and reported in the error, the others follow; content that turns out to be damaged ends the
// stream, without the mark of its end. Path may be a file's: its content is written, as Dump does.
func (r *Repository) DumpTar(ctx context.Context, id, path string, w io.Writer, opts *DumpOptions) error {
	return r.dump(ctx, id, path, w, opts)
}

func (r *Repository) dumpFolder(ctx context.Context, n *format.Node, w io.Writer, opts *DumpOptions) error {
	d := &tarDump{r: r, out: tar.NewWriter(w), first: map[tarKey]*tarLink{}, problems: &outcome{}}
	if opts != nil {
		d.opts = *opts
	}
	err := r.inOrder(ctx, func(a *ahead) error { return d.produce(a, n) }, d.use)
	if err == nil {
		err = d.out.Close()
	}
	return errors.Join(err, d.problems.err())
}

// tarDump writes a tar stream. Produce and use run beside each other: only problems is shared.
type tarDump struct {
	r        *Repository
	opts     DumpOptions
	out      *tar.Writer
	first    map[tarKey]*tarLink
	problems *outcome
}

type tarKey struct{ device, inode uint64 }

// tarLink is a file with several names.
type tarLink struct {
	name    string
	content format.ID
	left    uint64
}

// produce walks the folder.
func (d *tarDump) produce(a *ahead, n *format.Node) error {
	w := &walker{r: d.r, visit: func(p string, n *format.Node) error {
		switch n.Type {
		case format.TypeSocket:
			return nil
		case format.TypeDevice, format.TypeChar:
			if !d.opts.Devices {
				return nil
			}
		case format.TypeFile:
			return d.file(a, p, n)
		}
		return a.begin(bare(n), p)
	}}
	return w.node(a.ctx, "/", n, 0)
}

// bare is the node without its content.
func bare(n *format.Node) *format.Node {
	b := *n
	b.Content = nil
	return &b
}

func (d *tarDump) file(a *ahead, p string, n *format.Node) error {
	b := bare(n)
	if link := d.linkOf(p, n); link != "" {
		// What LinkTarget of a file means is only known here: the name it is a link of.
		b.LinkTarget = link
		return a.begin(b, p)
	}
	size, err := d.r.contentSize(n)
	if err != nil {
		d.problems.fail(shortPath(p), err)
		return nil
	}
	if size != clampSize(n.Size) {
		d.problems.fail(shortPath(p), fmt.Errorf("%w: its content has %d bytes, and the snapshot says %d: it is written as the content is", ErrDamaged, size, n.Size))
	}
	b.Size, b.LinkTarget = uint64(size), "" //nolint:gosec // it is not negative
	if err := a.begin(b, p); err != nil {
		return err
	}
	return a.content(n)
}

// linkOf is the name of the first of a file's names, for the others, as long as they have the same content.
func (d *tarDump) linkOf(p string, n *format.Node) string {
	if n.Links < 2 || n.Inode == 0 {
		return ""
	}
	key := tarKey{n.DeviceID, n.Inode}
	link := d.first[key]
	if link == nil {
		if _, err := d.r.contentSize(n); err == nil {
			d.first[key] = &tarLink{p, contentID(n), n.Links - 1}
		}
		return ""
	}
	if link.left--; link.left == 0 {
		delete(d.first, key)
	}
	if link.content != contentID(n) {
		return ""
	}
	return link.name
}

// use writes a header, or content.
func (d *tarDump) use(item *aheadItem) error {
	if item.node == nil {
		_, err := d.out.Write(item.content)
		return err
	}
	h := d.header(item.node, strings.TrimPrefix(item.path, "/"))
	if err := d.out.WriteHeader(h); err != nil {
		return fmt.Errorf("%q: %w", shortPath(item.path), err)
	}
	return nil
}

func (d *tarDump) header(n *format.Node, name string) *tar.Header {
	h := &tar.Header{
		Name: name, Mode: tarMode(n, d.opts.SetID), Uid: int(n.UID), Gid: int(n.GID), ModTime: tarTime(n.ModTime), Format: tar.FormatPAX,
	}
	switch n.Type {
	case format.TypeDir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case format.TypeSymlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, n.LinkTarget
	case format.TypeFifo:
		h.Typeflag = tar.TypeFifo
	case format.TypeDevice, format.TypeChar:
		h.Typeflag = tar.TypeBlock
		if n.Type == format.TypeChar {
			h.Typeflag = tar.TypeChar
		}
		// Major and minor as Linux combines them.
		h.Devmajor = int64(n.Device>>8&0xfff | n.Device>>32&^0xfff) //nolint:gosec // numbers of devices are short
		h.Devminor = int64(n.Device&0xff | n.Device>>12&0xffffff00) //nolint:gosec // as above
	default:
		h.Typeflag, h.Size = tar.TypeReg, clampSize(n.Size)
		if n.LinkTarget != "" {
			h.Typeflag, h.Size, h.Linkname = tar.TypeLink, 0, strings.TrimPrefix(n.LinkTarget, "/")
		}
	}
	if d.opts.GNU {
		h.Format, h.ModTime = tar.FormatGNU, h.ModTime.Truncate(time.Second)
		return h
	}
	for _, x := range n.Xattrs {
		if x.Name == "" || strings.ContainsAny(x.Name, "=\x00") || x.Name == capabilityXattr && !d.opts.SetID {
			continue
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+x.Name] = string(x.Value)
	}
	return h
}

// capabilityXattr is the attribute that makes a program as mighty as a set-uid bit does.
const capabilityXattr = "security.capability"

// tarTime keeps times that no format can hold from spoiling the stream.
func tarTime(t time.Time) time.Time {
	if t.Unix() < 0 || t.Year() > 9999 {
		return time.Unix(0, 0)
	}
	return t
}

func tarMode(n *format.Node, setID bool) int64 {
	mode := int64(n.Mode & fs.ModePerm)
	if n.Mode&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	if n.Mode&fs.ModeSetgid != 0 && (setID || n.Type == format.TypeDir) {
		mode |= 0o2000
	}
	if n.Mode&fs.ModeSetuid != 0 && setID {
		mode |= 0o4000
	}
	return mode
}
