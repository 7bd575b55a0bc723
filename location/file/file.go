// Package file opens locations of type file: a folder of this machine, or a volume mounted there.
//
// An object is a plain file below the folder, named by its key. Files have mode 0600 and folders 0700: a dump is as secret
// as the database it comes from. A write goes to a file under .davit/tmp, is flushed to the disk and then renamed; what
// a process that died left there is removed by the next write on its machine, on another one after a day. Nothing outside the folder is ever read or written,
// whatever symbolic links are in it; List does not follow links at all, and leaves out what clients of NFS and FUSE keep of a removed file that is still open.
//
// It does not use gocloud's fileblob, whose lists lose objects when a page ends (a folder "a" is visited before "a-b",
// but its keys sort after it), skip folders that cannot be read without an error, follow links out of the folder, and whose
// writes do not reach the disk before they are renamed.
//
// # Errors
//
// A missing folder is an error for everything but a write, which makes it: a volume that is not mounted must not look like
// an empty location. One that is removed while it is in use is an error for a write too.
//
// # Concurrency
//
// A bucket is safe for concurrent use, by several processes too, and by several machines on a network file system: what one removes or replaces while another
// looks for it is looked for again. But such a system may show an object of another machine late, as long as it trusts its own cache.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/location"
)

var _ location.Opener = Open

// Open opens the folder loc.Bucket, which must be an absolute path. It need not exist; a write makes it.
// Content types are not kept, and metadata is refused.
func Open(_ context.Context, loc *location.Location) (*blob.Bucket, error) {
	if !filepath.IsAbs(loc.Bucket) {
		return nil, fmt.Errorf("%w: the folder of a file location must be an absolute path, not %q", location.ErrProfile, loc.Bucket)
	}
	dir := filepath.Clean(loc.Bucket)
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%w: %q is no folder", location.ErrProfile, dir)
	}
	return blob.NewBucket(&bucket{dir: dir}), nil
}

// Errors of this package that have a code of their own.
var (
	errNoFolder    = error(noFolder{})
	errKey         = errors.New("the key is no clean relative path")
	errUnsupported = errors.New("a file location does not support this")
	errExists      = location.ErrExists
)

// noFolder is a location.ErrNoBucket.
type noFolder struct{}

func (noFolder) Error() string {
	return "the folder of the location does not exist; is its volume mounted?"
}
func (noFolder) Is(target error) bool { return target == location.ErrNoBucket }

// bucket is a driver over a folder.
type bucket struct {
	dir string

	mu   sync.Mutex
	root folder
}

var _ driver.Bucket = (*bucket)(nil)

// open returns the folder. It is opened once, so that a folder that is exchanged later is not mixed with this one.
func (b *bucket) open(create bool) (folder, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.root != nil {
		return b.root, nil
	}
	root, err := os.OpenRoot(b.dir)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := os.MkdirAll(b.dir, 0o700); err != nil {
			return nil, err
		}
		root, err = os.OpenRoot(b.dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (%q)", errNoFolder, b.dir)
	}
	if err != nil {
		return nil, err
	}
	b.root = steadied(rooted{root})
	return b.root, nil
}

// at returns the folder and checks the key.
func (b *bucket) at(key string, create bool) (folder, error) {
	if !fs.ValidPath(key) || key == "." {
		return nil, fmt.Errorf("%w: %q", errKey, key)
	}
	return b.open(create)
}

func (b *bucket) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.root == nil {
		return nil
	}
	return b.root.Close()
}

func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, errNoFolder), errors.Is(err, errExists):
		return gcerrors.FailedPrecondition
	case errors.Is(err, errKey):
		return gcerrors.InvalidArgument
	case errors.Is(err, errUnsupported):
		return gcerrors.Unimplemented
	case errors.Is(err, fs.ErrNotExist):
		return gcerrors.NotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return gcerrors.PermissionDenied
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return gcerrors.ResourceExhausted
	default:
		return gcerrors.Unknown
	}
}

func (b *bucket) As(i any) bool {
	_, ok := i.(*location.NoMetadata)
	return ok
}

func (b *bucket) ErrorAs(error, any) bool { return false }

func (b *bucket) Attributes(_ context.Context, key string) (*driver.Attributes, error) {
	root, err := b.at(key, false)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(key)
	if err != nil {
		return nil, notFound(key, err)
	}
	if err := regular(key, info); err != nil {
		return nil, err
	}
	return &driver.Attributes{
		ContentType: contentType,
		ModTime:     info.ModTime(),
		Size:        info.Size(),
		ETag:        fmt.Sprintf("%q", fmt.Sprintf("%x-%x", info.ModTime().UnixNano(), info.Size())),
	}, nil
}

func (b *bucket) Delete(_ context.Context, key string) error {
	root, err := b.at(key, false)
	if err != nil {
		return err
	}
	info, err := root.Lstat(key)
	if err != nil {
		return notFound(key, err)
	}
	if info.IsDir() {
		return notFound(key, fs.ErrNotExist)
	}
	if err := root.Remove(key); err != nil {
		if info, failed := root.Lstat(key); failed == nil && info.IsDir() { // the object has just gone, and others are below its key
			err = fs.ErrNotExist
		}
		return notFound(key, err)
	}
	prune(root, path.Dir(key))
	return nil
}

func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", fmt.Errorf("%w: signed URLs", errUnsupported)
}

const contentType = "application/octet-stream"

// regular refuses what is no object: a folder is absent, a device or pipe an error.
func regular(key string, info fs.FileInfo) error {
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return notFound(key, fs.ErrNotExist)
	default:
		return fmt.Errorf("%q is no regular file but %s", key, info.Mode().Type())
	}
}
