package repository

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// Source is what a backup reads: a tree of files, on a file system (LocalSource) or elsewhere. All it gives is taken as it is; names may be any bytes but slash and zero.
//
// Errors: what matches fs.ErrNotExist has vanished, which Summary.Vanished counts; what matches ErrSource ends the backup; any other error of a file or folder leaves
// that one out and makes the backup incomplete, see ErrIncomplete.
//
// Several goroutines use a Source at once, and several files are open at once; of a Planner, one file is open at a time, while folders are listed.
type Source interface {
	// Paths are what the source holds: clean absolute paths with slashes, none of them below another. "/" is the root itself. Snapshots are found by them.
	Paths() []string
	// Entry describes the file or folder at one of Paths, or at a folder above one. One above that is not known is fs.ErrNotExist: it becomes a folder of root with mode
	// 0755 and the times of what is below.
	Entry(ctx context.Context, path string) (*Entry, error)
	// Folder opens the folder at one of Paths, which Entry has described.
	Folder(ctx context.Context, path string) (Folder, error)
	// Open opens the file at one of Paths, which Entry has described.
	Open(ctx context.Context, path string) (io.ReadCloser, error)
}

// Folder is an open folder of a Source.
type Folder interface {
	// Entries describes what is in the folder, in any order. It is called once, first. Entries that cannot be described are in the error, joined, beside the others.
	Entries(ctx context.Context) ([]*Entry, error)
	// Folder opens the folder of that name.
	Folder(ctx context.Context, name string) (Folder, error)
	// Open opens the file of that name. What it returns is read to its end, or to the first error, and closed; it may be a SparseReader or a ChangeReader. Only files whose
	// content the repository does not have are opened.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// Close is called once, after everything that was opened in the folder is closed.
	Close() error
}

// Planner is a Source whose files come one after the other, such as those of a tar stream. The backup opens them in the order of a walk that sorts each folder by
// the bytes of its names and enters a folder where its name stands; it opens the next one after it has closed the one before.
type Planner interface {
	Source
	// Plan is called once, before the first Open, with the paths of the files that will be opened, in that order. Making them opens the folders of the source and lists
	// them; the backup itself does so once more. A file may be left unopened after all if the backup fails. An error ends the backup.
	Plan(ctx context.Context, files func(yield func(path string, e *Entry) bool) error) error
}

// Scanner is a Source that can tell beforehand how much there is, for Progress.
type Scanner interface {
	Source
	// Scan calls add with numbers of files and bytes, as it finds them. Its errors are ignored.
	Scan(ctx context.Context, add func(files, bytes int64)) error
}

// SparseReader is a file that knows where its holes are.
type SparseReader interface {
	io.ReadCloser
	// Hole skips the hole at the position of the next read and returns its length in bytes, or 0 if there is data, or nothing is known. A hole may end the file.
	Hole() (int64, error)
}

// ChangeReader is a file that knows whether it was changed while it was read.
type ChangeReader interface {
	io.ReadCloser
	// Changed is asked after the end was read: whether size or times are others than when it was opened.
	Changed() bool
}

// ErrSource is what a Source wraps in its errors when it is broken as a whole, as when the connection to where it reads from is lost.
var ErrSource = errors.New("what is backed up cannot be read any more")

// Entry describes a file, folder, link or anything else in a tree.
type Entry struct {
	// Name is a single name, as the file system has it: any bytes.
	Name string
	// Mode has the type and the permissions, set-uid, set-gid and sticky bits among them.
	Mode fs.FileMode
	// ModTime, AccessTime and ChangeTime (of the inode) have nanoseconds where the source does. A zero ChangeTime or Inode is unknown. Backups store ModTime as AccessTime.
	ModTime, AccessTime, ChangeTime time.Time
	UID, GID                        uint32
	// User and Group are the names of UID and GID, if known.
	User, Group string
	// Inode and DeviceID tell which files are links to one and the same, of which there are Links.
	Inode, DeviceID, Links uint64
	// Size is that of a file, in bytes; a backup stores as many as it reads.
	Size int64
	// Target is that of a symbolic link.
	Target string
	// Device is the number of a device, major and minor as Linux combines them.
	Device uint64
	// Xattrs are the extended attributes.
	Xattrs []Xattr
}

// Xattr is an extended attribute.
type Xattr struct {
	Name  string
	Value []byte
}

// Type is "file", "dir", "symlink", "dev", "chardev", "fifo" or "socket", or empty for what is none of them.
func (e *Entry) Type() string {
	switch e.Mode.Type() {
	case 0:
		return format.TypeFile
	case fs.ModeDir:
		return format.TypeDir
	case fs.ModeSymlink:
		return format.TypeSymlink
	case fs.ModeDevice:
		return format.TypeDevice
	case fs.ModeDevice | fs.ModeCharDevice:
		return format.TypeChar
	case fs.ModeNamedPipe:
		return format.TypeFifo
	case fs.ModeSocket:
		return format.TypeSocket
	}
	return ""
}

// node is what a tree stores of the entry. Access times and the numbers of devices change without the tree having changed: the former are not stored, the latter only where
// they tell which names are one file.
func (e *Entry) node() *format.Node {
	n := &format.Node{
		Name: e.Name, Type: e.Type(), Mode: e.Mode, ModTime: e.ModTime, AccessTime: e.ModTime, ChangeTime: e.ChangeTime,
		UID: e.UID, GID: e.GID, User: e.User, Group: e.Group, Inode: e.Inode,
	}
	if n.Type != format.TypeDir {
		n.Links = e.Links
		if e.Links > 1 {
			n.DeviceID = e.DeviceID
		}
	}
	switch n.Type {
	case format.TypeSymlink:
		n.LinkTarget = e.Target
	case format.TypeDevice, format.TypeChar:
		n.Device = e.Device
	}
	for _, x := range e.Xattrs {
		n.Xattrs = append(n.Xattrs, format.Xattr(x))
	}
	return n
}

// entryOf is the entry that a tree has stored.
func entryOf(n *format.Node) Entry {
	e := Entry{
		Name: n.Name, Mode: n.Mode, ModTime: n.ModTime, AccessTime: n.AccessTime, ChangeTime: n.ChangeTime, UID: n.UID, GID: n.GID, User: n.User, Group: n.Group,
		Inode: n.Inode, DeviceID: n.DeviceID, Links: n.Links, Size: int64(n.Size), Target: n.LinkTarget, Device: n.Device, //nolint:gosec // a size beyond int64 is nobody's
	}
	for _, x := range n.Xattrs {
		e.Xattrs = append(e.Xattrs, Xattr(x))
	}
	return e
}
