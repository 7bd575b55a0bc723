package file

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	// tempDir is where unfinished writes are; its first part is the name that the package location reserves.
	tempDir = ".davit/tmp"
	// foreignAge is how long a file there must have been left alone before it is taken for abandoned although another machine may be writing it.
	foreignAge = 24 * time.Hour
)

var errSwept = errors.New("somebody has removed the unfinished file")

// createTemp makes a file that only this writer has, locked as long as the writer lives.
func createTemp(root folder) (*os.File, string, error) {
	own := machine()
	for range tries {
		if err := makeFolder(root, tempDir); err != nil {
			return nil, "", err
		}
		var id [16]byte
		_, _ = rand.Read(id[:]) // it never fails
		name := path.Join(tempDir, own+hex.EncodeToString(id[:]))
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if absent(err) || errors.Is(err, fs.ErrExist) { // another writer has just tidied the folder away; or the answer to the request was lost
			continue
		}
		if err != nil {
			return nil, "", err
		}
		mine := lock(f)
		if mine {
			mine, err = same(root, name, f)
		}
		if mine {
			sweep(root, f, own)
			return f, name, nil
		}
		_ = f.Close()
		_ = root.Remove(name)
		if err != nil {
			return nil, "", err
		}
	}
	return nil, "", fmt.Errorf("others keep removing %q", tempDir)
}

// sweep removes what dead writers left: files that nobody has locked. But on many a network file system a lock is not seen by other machines; what may be of one of them must
// be old, by the clock that gave the file of this writer its time. Failures do no harm.
func sweep(root folder, mine *os.File, own string) {
	now, err := mine.Stat()
	if err != nil {
		return
	}
	dir, err := openFolder(root, tempDir)
	if err != nil {
		return
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(1000) // what is beyond that is left to the next write
	for _, n := range names {
		name := path.Join(tempDir, n)
		f, err := root.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		here := own != "" && strings.HasPrefix(n, own)
		info, err := f.Stat()
		if err == nil && (here || now.ModTime().Sub(info.ModTime()) > foreignAge) && abandoned(f) {
			_ = root.Remove(name)
		}
		_ = f.Close()
	}
}

// machine begins the names of this machine's files: it tells the kernels apart, each of which knows its own locks. It is empty where the kernel has no name.
func machine() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(id) < 36 {
		return ""
	}
	return strings.ReplaceAll(string(id[:36]), "-", "") + "-"
}

// same tells whether the name is that file.
func same(root folder, name string, f *os.File) (bool, error) {
	a, err := root.Lstat(name)
	if absent(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	b, err := f.Stat()
	return err == nil && os.SameFile(a, b), err
}

// removedNames are those that clients of NFS and FUSE give to a file that is removed while a process has it open; they remove it when it is closed.
var removedNames = regexp.MustCompile(`^(\.nfs[0-9a-f]{24}|\.fuse_hidden[0-9a-f]{16})$`)

// leftOpen tells whether the file is no object any more, though a process may still read it.
func leftOpen(key string) bool { return removedNames.MatchString(path.Base(key)) }
