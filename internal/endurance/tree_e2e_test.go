//go:build e2e

package endurance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// tree is a folder that changes at random.
type tree struct {
	dir string
	r   *rand.Rand
}

// mutate makes, changes and removes files.
func (t *tree) mutate() error {
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return err
	}
	for range 1 + t.r.IntN(20) {
		if err := t.step(); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) step() error {
	dir := filepath.Join(t.dir, fmt.Sprintf("dir%d", t.r.IntN(6)), fmt.Sprintf("sub%d", t.r.IntN(3)))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	name := filepath.Join(dir, fmt.Sprintf("file\xff%d", t.r.IntN(20)))
	switch t.r.IntN(8) {
	case 0:
		return os.RemoveAll(name)
	case 1:
		_ = os.Remove(name)
		return os.Symlink("target "+fmt.Sprint(t.r.Uint32()), name)
	case 2:
		_ = os.Remove(name + "-link")
		info, err := os.Lstat(name)
		if err == nil && info.Mode().IsRegular() {
			return os.Link(name, name+"-link")
		}
		return nil
	case 3:
		return t.big()
	case 4:
		return os.RemoveAll(dir)
	default:
		_ = os.Remove(name)
		content := make([]byte, t.r.IntN(30000))
		for i := range content {
			content[i] = byte(t.r.IntN(1 + t.r.IntN(255)))
		}
		if err := os.WriteFile(name, content, fs.FileMode(0o600+t.r.IntN(8))); err != nil {
			return err
		}
		return os.Chtimes(name, time.Time{}, time.Unix(int64(t.r.IntN(1<<31)), int64(t.r.IntN(1e9))))
	}
}

// big changes some pages of a file of some MiB.
func (t *tree) big() error {
	f, err := os.OpenFile(filepath.Join(t.dir, "database"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	page := make([]byte, 4096)
	for range 1 + t.r.IntN(50) {
		for i := range page {
			page[i] = byte(t.r.Uint32())
		}
		if _, err := f.WriteAt(page, int64(t.r.IntN(4000))*4096); err != nil {
			return err
		}
	}
	return nil
}

// fingerprint is the hash of names, types, modes, owners, times and contents of everything below dir.
func fingerprint(dir string) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sys := info.Sys().(*syscall.Stat_t)
		rel, _ := filepath.Rel(dir, name)
		fmt.Fprintf(sum, "%q %s %d %d ", rel, info.Mode(), sys.Uid, sys.Gid)
		switch {
		case info.Mode().IsRegular():
			fmt.Fprintf(sum, "%d %d %d ", info.Size(), info.ModTime().UnixNano(), sys.Nlink)
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := io.Copy(sum, f); err != nil {
				return err
			}
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(sum, "%q", to)
		default:
			fmt.Fprintf(sum, "%d", info.ModTime().UnixNano())
		}
		fmt.Fprintln(sum)
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}
