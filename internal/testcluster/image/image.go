//go:build unix

// Package image makes container images out of Debian packages and files of this machine: without a registry, a container engine, or installing anything.
//
// Packages are resolved, downloaded and verified by apt, with the machine's own sources, and streamed into one layer. Their maintainer scripts do not run: what
// those would have made (users, alternatives, folders) is given as files. An image follows from what it is made of: the same packages and files give the same bytes.
//
// # Errors
//
// An error names the package or file. Where apt has no lists, or they are too old to download what they name, they are brought up to date once, which needs root.
//
// # Concurrency
//
// Builds with one cache folder wait for each other, also those of other processes.
package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// CacheName is the folder, in the user's cache folder, of what is built and downloaded for test clusters. It holds davit, built from the checkout.
const CacheName = "davit-testcluster"

// Spec is what an image is made of.
type Spec struct {
	// Name is the image's reference, with a tag: "localhost/postgres:15".
	Name string
	// Packages of Debian, with everything they depend on, but for what only maintainer scripts use. Nil for none.
	Packages []string
	// Without names packages that are left out although others depend on them, and what only they depend on. Nil for none.
	Without []string
	// Suite is that of Debian which the packages are of, such as "trixie", at the place the machine's own are from. Default: the machine's sources.
	Suite string
	// Files win over those of packages. Folders above them are made.
	Files []File
	// User is a user id, or user and group ids: "999:999". Default root.
	User string
	// Env holds "NAME=value". PATH has a default.
	Env []string
	// Entrypoint and Cmd are command and arguments; not shell lines. Default none.
	Entrypoint, Cmd []string
	// WorkingDir is where commands run. Default "/".
	WorkingDir string
}

// File is a file, link or folder of an image. Source, Data, Link and Dir exclude each other; none of them is an empty file.
type File struct {
	// Path in the image, absolute.
	Path string
	// Mode holds permissions, setuid, setgid and sticky. Default 0755 for folders and for files with a Source, 0644 for Data.
	Mode fs.FileMode
	// Source is a file of this machine; its content is taken.
	Source string
	// Data is the content.
	Data []byte
	// Link is the target of a symbolic link.
	Link string
	// Dir makes a folder.
	Dir bool
	// UID and GID own it. Default root.
	UID, GID int
}

// Build returns the path of an archive in the OCI layout, which `ctr images import` takes. It is below the cache folder, where it is found again as long as
// what it is made of stays the same; an archive that was damaged or removed is made again.
func Build(ctx context.Context, spec Spec, cache string) (archive string, err error) {
	c, err := openCache(ctx, cache)
	if err != nil {
		return "", err
	}
	defer c.close()
	files, err := check(spec)
	if err != nil {
		return "", fmt.Errorf("image %q: %w", spec.Name, err)
	}
	packages, err := c.fetch(ctx, spec)
	if err != nil {
		return "", fmt.Errorf("packages of image %q: %w", spec.Name, err)
	}
	name, err := archiveName(spec, packages, files)
	if err != nil {
		return "", fmt.Errorf("image %q: %w", spec.Name, err)
	}
	if archive = filepath.Join(c.dir, name); intact(archive) {
		return archive, nil
	}
	if err := c.build(ctx, archive, &recipe{spec, packages, files}); err != nil {
		return "", fmt.Errorf("build image %q: %w", spec.Name, err)
	}
	return archive, c.prune(archive)
}

// Fetch downloads what Build and Unpack need, so that they work where there is no network.
func Fetch(ctx context.Context, spec Spec, cache string) error {
	c, err := openCache(ctx, cache)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.fetch(ctx, spec); err != nil {
		return fmt.Errorf("packages of image %q: %w", spec.Name, err)
	}
	return nil
}

// Unpack puts the files of the spec's packages, and nothing else of it, below a folder: another Debian, to change the root to.
func Unpack(ctx context.Context, spec Spec, cache, dir string) error {
	c, err := openCache(ctx, cache)
	if err != nil {
		return err
	}
	defer c.close()
	packages, err := c.fetch(ctx, spec)
	if err != nil {
		return fmt.Errorf("packages of %q: %w", spec.Name, err)
	}
	for _, name := range usrFolders {
		err := os.MkdirAll(filepath.Join(dir, "usr", name), 0o755) //nolint:gosec // all may read what is in packages
		if err = errors.Join(err, os.Symlink(filepath.Join("usr", name), filepath.Join(dir, name))); err != nil {
			return err
		}
	}
	for _, d := range packages {
		if _, err := run(ctx, "dpkg-deb", "--extract", c.path(d), dir); err != nil {
			return err
		}
	}
	return nil
}

// recipe is a spec whose packages and files are known and have been checked.
type recipe struct {
	Spec
	packages []deb
	files    []File
}

// build writes the layer beside the archive first: the archive's index holds its hash.
func (c *cache) build(ctx context.Context, archive string, r *recipe) (err error) {
	temp, err := os.MkdirTemp(c.dir, ".build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	layer, err := createBlob(filepath.Join(temp, "layer"))
	if err != nil {
		return err
	}
	err = writeLayer(layer, r.files, r.packages, func(d deb) (tarStream, error) { return c.open(ctx, d) })
	if err = errors.Join(err, layer.Close()); err != nil {
		return err
	}
	out, err := createBlob(filepath.Join(temp, "archive"))
	if err != nil {
		return err
	}
	err = writeArchive(out, r.Spec, layer)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return out.install(archive)
}
