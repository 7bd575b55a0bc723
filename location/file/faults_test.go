package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/location"
)

// faulty is a folder in which something happens before, and after, each operation. An error of after replaces what the operation has said.
type faulty struct {
	folder
	before func(op, name string) error
	after  func(op, name string) error
}

func (f *faulty) around(op, name string, do func() error) error {
	if f.before != nil {
		if err := f.before(op, name); err != nil {
			return err
		}
	}
	err := do()
	if err == nil && f.after != nil {
		err = f.after(op, name)
	}
	return err
}

func (f *faulty) Stat(name string) (info fs.FileInfo, err error) {
	err = f.around("stat", name, func() error { info, err = f.folder.Stat(name); return err })
	return info, err
}

func (f *faulty) Lstat(name string) (info fs.FileInfo, err error) {
	err = f.around("lstat", name, func() error { info, err = f.folder.Lstat(name); return err })
	return info, err
}

func (f *faulty) OpenFile(name string, flag int, perm fs.FileMode) (file *os.File, err error) {
	err = f.around("open", name, func() error { file, err = f.folder.OpenFile(name, flag, perm); return err })
	return file, err
}

func (f *faulty) MkdirAll(name string, perm fs.FileMode) error {
	return f.around("mkdir", name, func() error { return f.folder.MkdirAll(name, perm) })
}

func (f *faulty) Remove(name string) error {
	return f.around("remove", name, func() error { return f.folder.Remove(name) })
}

func (f *faulty) Rmdir(name string) error {
	return f.around("rmdir", name, func() error { return f.folder.Rmdir(name) })
}

func (f *faulty) Link(from, to string) error {
	return f.around("link", to, func() error { return f.folder.Link(from, to) })
}

func (f *faulty) Rename(from, to string) error {
	return f.around("rename", to, func() error { return f.folder.Rename(from, to) })
}

// over is a bucket over the folder, with what goes wrong there.
func over(t *testing.T, dir string, f *faulty) *blob.Bucket {
	t.Helper()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	f.folder = rooted{root}
	b := blob.NewBucket(&bucket{dir: dir, root: steadied(f)})
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func has(t *testing.T, dir, key, content string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, key))
	require.NoError(t, err)
	require.Equal(t, content, string(got))
}

func keys(t *testing.T, b *blob.Bucket) []string {
	t.Helper()
	all := []string{}
	it := b.List(nil)
	for {
		o, err := it.Next(t.Context())
		if err != nil {
			require.ErrorContains(t, err, "EOF")
			return all
		}
		all = append(all, o.Key)
	}
}

// A folder that one deletes empty is removed by another, and a third writes an object of its name.
func TestAnObjectInThePlaceOfAFolder(t *testing.T) {
	dir := t.TempDir()
	b := over(t, dir, &faulty{before: func(op, name string) error {
		if op != "rmdir" || name != "a" {
			return nil
		}
		if err := os.Remove(filepath.Join(dir, "a")); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "a"), []byte("precious"), 0o600)
	}})
	require.NoError(t, b.WriteAll(t.Context(), "a/b", []byte("x"), nil))
	require.NoError(t, b.Delete(t.Context(), "a/b"))
	has(t, dir, "a", "precious")
}

// An object is deleted by two, and meanwhile there are objects below its key.
func TestDeleteOfWhatIsAFolderBynow(t *testing.T) {
	dir := t.TempDir()
	b := over(t, dir, &faulty{before: func(op, name string) error {
		if op != "remove" || name != "a" {
			return nil
		}
		if err := os.Remove(filepath.Join(dir, "a")); err != nil {
			return err
		}
		return errors.Join(os.Mkdir(filepath.Join(dir, "a"), 0o700), os.WriteFile(filepath.Join(dir, "a/b"), []byte("precious"), 0o600))
	}})
	require.NoError(t, b.WriteAll(t.Context(), "a", []byte("x"), nil))
	require.Equal(t, gcerrors.NotFound, gcerrors.Code(b.Delete(t.Context(), "a")))
	has(t, dir, "a/b", "precious")
}

// What a network file system says of a folder that another machine has exchanged is tried again, and is never taken for an absent object.
func TestStaleFolders(t *testing.T) {
	for _, op := range []string{"stat", "lstat", "open", "mkdir", "remove", "rmdir", "link", "rename"} {
		for _, lasts := range []bool{false, true} {
			dir := t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(dir, "a"), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "a/b"), []byte("there"), 0o600))
			met := map[string]bool{}
			b := over(t, dir, &faulty{before: func(o, name string) error {
				if o != op || !lasts && met[name] {
					return nil
				}
				met[name] = true
				return &fs.PathError{Op: o, Path: name, Err: syscall.ESTALE}
			}})
			content, err := b.ReadAll(t.Context(), "a/b")
			_, errAttrs := b.Attributes(t.Context(), "a/b")
			_, errList := b.List(nil).Next(t.Context())
			errWrite := b.WriteAll(t.Context(), "c/d", []byte("new"), nil)
			errCreate := b.WriteAll(t.Context(), "c/e", []byte("new"), &blob.WriterOptions{IfNotExist: true})
			errDelete := b.Delete(t.Context(), "a/b")
			all := []error{err, errAttrs, errList, errWrite, errCreate, errDelete}
			for i, err := range all {
				if !lasts {
					require.NoError(t, err, "%s %d", op, i)
				} else if err != nil {
					require.ErrorIs(t, err, syscall.ESTALE, "%s %d", op, i)
					require.NotEqual(t, gcerrors.NotFound, gcerrors.Code(err), "%s %d", op, i)
				}
			}
			if lasts && op != "rmdir" { // which only tidies
				require.Error(t, errors.Join(all...), op)
			}
			if !lasts {
				require.Equal(t, "there", string(content))
				require.Equal(t, []string{"c/d", "c/e"}, keys(t, b))
			}
		}
	}
}

// A request whose answer is lost is made once more by a network file system, and then fails because it had worked.
func TestLostAnswers(t *testing.T) {
	dir := t.TempDir()
	b := over(t, dir, &faulty{after: func(op, _ string) error {
		switch op {
		case "link":
			return fs.ErrExist
		case "rename":
			return fs.ErrNotExist
		}
		return nil
	}})
	create := &blob.WriterOptions{IfNotExist: true}
	require.NoError(t, b.WriteAll(t.Context(), "a/b", []byte("one"), create))
	require.NoError(t, b.WriteAll(t.Context(), "a/c", []byte("two"), nil))
	has(t, dir, "a/b", "one")
	has(t, dir, "a/c", "two")
	require.ErrorIs(t, b.WriteAll(t.Context(), "a/b", []byte("other"), create), location.ErrExists)
	has(t, dir, "a/b", "one")
	require.NoDirExists(t, filepath.Join(dir, ".davit"))
}

// That there is no such object would be no answer to a write.
func TestUnfinishedFileThatIsRemoved(t *testing.T) {
	dir := t.TempDir()
	b := over(t, dir, &faulty{before: func(op, _ string) error {
		if op == "rename" || op == "link" {
			return os.RemoveAll(filepath.Join(dir, tempDir))
		}
		return nil
	}})
	for _, exclusive := range []bool{false, true} {
		err := b.WriteAll(t.Context(), "a/b", []byte("x"), &blob.WriterOptions{IfNotExist: exclusive})
		require.ErrorContains(t, err, "has removed the unfinished file")
		require.NotEqual(t, gcerrors.NotFound, gcerrors.Code(err))
	}
	require.Empty(t, keys(t, b))
}

// A folder that is removed while it is in use is no empty location, nor one without the object.
func TestRemovedLocation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "location")
	require.NoError(t, os.Mkdir(dir, 0o700))
	b := over(t, dir, &faulty{})
	require.NoError(t, b.WriteAll(t.Context(), "a/b", []byte("x"), nil))
	require.NoError(t, os.RemoveAll(dir))
	_, errRead := b.ReadAll(t.Context(), "a/b")
	_, errAttrs := b.Attributes(t.Context(), "b")
	_, errList := b.List(nil).Next(t.Context())
	_, errBelow := b.List(&blob.ListOptions{Prefix: "a/"}).Next(t.Context())
	errDelete := b.Delete(t.Context(), "a/b")
	errWrite := b.WriteAll(t.Context(), "a/b", []byte("x"), nil)
	for i, err := range []error{errRead, errAttrs, errList, errBelow, errDelete, errWrite} {
		require.ErrorIs(t, err, location.ErrNoBucket, i)
		require.Equal(t, gcerrors.FailedPrecondition, gcerrors.Code(err), i)
	}
}

// uncounted is a file system that does not count the names of a folder.
type uncounted struct{ folder }

type uncountedInfo struct{ fs.FileInfo }

func (uncountedInfo) Sys() any { return &syscall.Stat_t{} }

func (u uncounted) Stat(name string) (fs.FileInfo, error) {
	info, err := u.folder.Stat(name)
	return uncountedInfo{info}, err
}

func TestFolderWithoutLinkCount(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	b := blob.NewBucket(&bucket{dir: dir, root: steadied(uncounted{rooted{root}})})
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	_, err = b.ReadAll(t.Context(), "a/b")
	require.Equal(t, gcerrors.NotFound, gcerrors.Code(err))
	require.NoError(t, b.WriteAll(t.Context(), "a/b", []byte("x"), nil))
	require.Equal(t, []string{"a/b"}, keys(t, b))
}

// What clients of NFS and FUSE leave of a file that is deleted while somebody reads it is no object.
func TestRemovedFilesThatAreStillOpen(t *testing.T) {
	dir := t.TempDir()
	b := over(t, dir, &faulty{})
	for _, name := range []string{".nfs00000000000005e200000001", ".fuse_hidden0000002a00000001"} {
		require.NoError(t, b.WriteAll(t.Context(), "a/b", []byte("x"), nil))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a", name), []byte("deleted"), 0o600))
		require.Equal(t, []string{"a/b"}, keys(t, b))
		require.NoError(t, b.Delete(t.Context(), "a/b"))
		require.Empty(t, keys(t, b))
		err := b.WriteAll(t.Context(), "a/"+name, []byte("x"), nil)
		require.Equal(t, gcerrors.InvalidArgument, gcerrors.Code(err), "it would not be listed")
	}
	require.NoError(t, b.WriteAll(t.Context(), "a/.nfs-notes", []byte("x"), nil))
	require.Equal(t, []string{"a/.nfs-notes"}, keys(t, b))
}

// On this machine a lock tells the dead from the living, at once.
func TestDeadWriterOfThisMachine(t *testing.T) {
	own := machine()
	require.Len(t, own, 33)
	dir := t.TempDir()
	dead, living, foreign := filepath.Join(dir, tempDir, own+"dead"), filepath.Join(dir, tempDir, own+"living"), filepath.Join(dir, tempDir, "foreign")
	require.NoError(t, os.MkdirAll(filepath.Dir(dead), 0o700))
	for _, name := range []string{dead, living, foreign} {
		require.NoError(t, os.WriteFile(name, nil, 0o600))
	}
	f, err := os.OpenFile(living, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	require.True(t, lock(f))
	require.NoError(t, over(t, dir, &faulty{}).WriteAll(t.Context(), "a", nil, nil))
	require.NoFileExists(t, dead)
	require.FileExists(t, living)
	require.FileExists(t, foreign)
}
