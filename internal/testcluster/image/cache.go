//go:build unix

package image

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// format is part of every archive's name: raise it when the same spec is to give another image.
const format = "1"

// unused is how long an archive lies unused before one that takes its place removes it.
const unused = time.Hour

// cache is a folder that one build at a time works in.
type cache struct {
	dir  string
	lock *os.File
}

// openCache waits for the builds of others.
func openCache(ctx context.Context, dir string) (*cache, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "debs", "partial"), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return &cache{dir, lock}, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock the cache %q: %w", dir, err), lock.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for the cache %q: %w", dir, context.Cause(ctx)), lock.Close())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// close lets the next build in.
func (c *cache) close() { _ = c.lock.Close() }

// archiveName names an archive after everything that it is made of.
func archiveName(spec Spec, packages []deb, files []File) (string, error) {
	h := sha256.New()
	for i, f := range files {
		sum := ""
		if f.Source != "" {
			var err error
			if sum, err = sumFile(f.Source); err != nil {
				return "", err
			}
			f.Source = "" // the content counts, not where it is
		}
		fmt.Fprintf(h, "%d %s %+v\n", i, sum, f)
	}
	for _, d := range packages {
		fmt.Fprintf(h, "%s %s\n", d.file, d.sum)
	}
	spec.Files, spec.Packages, spec.Without = nil, nil, nil
	text, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s %s\n", format, text)
	return stem(spec.Name) + hex.EncodeToString(h.Sum(nil))[:32] + ".tar", nil
}

// stem is what the names of all archives of an image begin with.
func stem(name string) string {
	return strings.NewReplacer("/", "_", ":", "_").Replace(name) + "-"
}

// sumSuffix names the file beside an archive that holds its SHA-256. It is written last.
const sumSuffix = ".sha256"

// intact tells whether an archive is there as it was written, and keeps it from being removed soon.
func intact(archive string) bool {
	want, err := os.ReadFile(archive + sumSuffix)
	if err != nil {
		return false
	}
	sum, err := sumFile(archive)
	now := time.Now()
	return err == nil && sum == string(want) && os.Chtimes(archive, now, now) == nil
}

// prune removes what the archive has taken the place of.
func (c *cache) prune(archive string) error {
	name := filepath.Base(archive)
	siblings, err := filepath.Glob(filepath.Join(c.dir, name[:strings.LastIndexByte(name, '-')+1]+"*.tar"))
	if err != nil {
		return err
	}
	var errs []error
	for _, old := range siblings {
		info, err := os.Stat(old)
		if err == nil && old != archive && time.Since(info.ModTime()) > unused {
			errs = append(errs, os.Remove(old))
			if err := os.Remove(old + sumSuffix); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// blob is a file whose hash and size are known once it is written.
type blob struct {
	file *os.File
	buf  *bufio.Writer
	hash hash.Hash
	size int64
}

func createBlob(name string) (*blob, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &blob{file: f, buf: bufio.NewWriterSize(f, 1<<20), hash: sha256.New()}, nil
}

func (b *blob) Write(p []byte) (int, error) {
	n, err := b.buf.Write(p)
	b.hash.Write(p[:n])
	b.size += int64(n)
	return n, err
}

// Close makes the file complete.
func (b *blob) Close() error { return errors.Join(b.buf.Flush(), b.file.Close()) }

func (b *blob) digest() string { return "sha256:" + hex.EncodeToString(b.hash.Sum(nil)) }

// copyTo gives f the content.
func (b *blob) copyTo(f func(io.Reader) error) error {
	in, err := os.Open(b.file.Name())
	if err != nil {
		return err
	}
	return errors.Join(f(in), in.Close())
}

// install moves the file to its name, then says that it is there.
func (b *blob) install(name string) error {
	if err := os.Rename(b.file.Name(), name); err != nil {
		return err
	}
	return os.WriteFile(name+sumSuffix, []byte(hex.EncodeToString(b.hash.Sum(nil))), 0o600)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// sumFile returns the SHA-256 of a file.
func sumFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}
