package file

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gocloud.dev/blob/driver"
)

const (
	// pageSize bounds the memory of a list.
	pageSize = 4096
	// dirChunk is how many names are read of a folder at a time.
	dirChunk = 512
)

// ListPaged walks the folder and keeps the smallest keys after the token, so that memory does not grow with the number
// of objects. A page costs one walk over what can still be part of it.
func (b *bucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	root, err := b.open(false)
	if err != nil {
		return nil, err
	}
	if opts.BeforeList != nil {
		if err := opts.BeforeList(func(any) bool { return false }); err != nil {
			return nil, err
		}
	}
	l := &lister{ctx: ctx, root: root, prefix: opts.Prefix, delimiter: opts.Delimiter, token: string(opts.PageToken), size: opts.PageSize}
	if l.size <= 0 {
		l.size = pageSize
	}
	if err := l.walk(l.start()); err != nil {
		return nil, err
	}
	page := &driver.ListPage{Objects: l.found}
	if l.more {
		page.NextPageToken = []byte(l.found[len(l.found)-1].Key)
	}
	return page, nil
}

type lister struct {
	ctx                      context.Context
	root                     folder
	prefix, delimiter, token string
	size                     int
	// found is sorted; more tells that keys beyond its last one were seen.
	found []*driver.ListObject
	more  bool
}

// start is the deepest folder that holds everything with the prefix.
func (l *lister) start() string {
	dir, _ := path.Split(l.prefix)
	if dir = strings.TrimSuffix(dir, "/"); dir == "" {
		return "."
	}
	return dir
}

// walk visits what is in the folder, if there is one. When it is removed with its last file while it is read, another may be in its place.
func (l *lister) walk(dir string) error {
	if !fs.ValidPath(dir) {
		return nil // no file can have such a key
	}
	var last error
	for range tries {
		exchanged, err := l.read(dir)
		if !exchanged {
			return err
		}
		last = err
	}
	if absent(last) {
		return nil // it was empty each time it was removed
	}
	return fmt.Errorf("%q is exchanged for another folder again and again: %w", dir, last)
}

// read visits the folder; exchanged tells that it was removed meanwhile.
func (l *lister) read(dir string) (exchanged bool, err error) {
	info, err := l.root.Lstat(dir)
	if absent(err) || err == nil && !info.IsDir() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	f, err := openFolder(l.root, dir)
	if err != nil {
		return absent(err), err
	}
	defer func() { _ = f.Close() }()
	for {
		if err := l.ctx.Err(); err != nil {
			return false, err
		}
		entries, err := f.ReadDir(dirChunk)
		for _, e := range entries {
			if err := l.visit(dir, e); err != nil {
				return false, err
			}
		}
		switch {
		case err == io.EOF:
			return false, nil
		case absent(err) && dir == ".":
			return false, fmt.Errorf("%w (it was removed while it was listed)", errNoFolder)
		case err != nil:
			return absent(err) || stale(err), err
		}
	}
}

func (l *lister) visit(dir string, e fs.DirEntry) error {
	key := e.Name()
	if dir != "." {
		key = dir + "/" + key
	}
	switch {
	case e.IsDir():
		if !l.wants(key + "/") {
			return nil
		}
		return l.walk(key)
	case !e.Type().IsRegular() || !strings.HasPrefix(key, l.prefix) || leftOpen(key):
		return nil
	}
	info, err := e.Info() // known: the folder was opened in a root
	if err != nil {
		return err
	}
	l.keep(l.object(key, info))
	return nil
}

// wants tells whether keys that begin with dir can be part of the page.
func (l *lister) wants(dir string) bool {
	if !strings.HasPrefix(dir, l.prefix) && !strings.HasPrefix(l.prefix, dir) {
		return false
	}
	if l.token > dir && !strings.HasPrefix(l.token, dir) {
		return false
	}
	if len(l.found) == l.size && dir > l.found[len(l.found)-1].Key {
		// Nothing of it fits, but there may be something; an empty next page does no harm.
		l.more = true
		return false
	}
	return true
}

func (l *lister) object(key string, info fs.FileInfo) *driver.ListObject {
	if l.delimiter != "" {
		if i := strings.Index(key[len(l.prefix):], l.delimiter); i >= 0 {
			return &driver.ListObject{Key: key[:len(l.prefix)+i+len(l.delimiter)], IsDir: true}
		}
	}
	return &driver.ListObject{Key: key, ModTime: info.ModTime(), Size: info.Size()}
}

// keep puts the object into its place unless it is on an earlier page or beyond this one.
func (l *lister) keep(o *driver.ListObject) {
	if l.token != "" && o.Key <= l.token {
		return
	}
	i, there := slices.BinarySearchFunc(l.found, o.Key, func(o *driver.ListObject, key string) int { return strings.Compare(o.Key, key) })
	if there {
		return
	}
	if i == l.size {
		l.more = true
		return
	}
	l.found = slices.Insert(l.found, i, o)
	if len(l.found) > l.size {
		l.found = l.found[:l.size]
		l.more = true
	}
}
