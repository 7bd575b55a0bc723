package repository

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// dir is a folder that is being backed up. What is in it is done in any order; whoever does the last of it stores its tree.
type dir struct {
	up *dir
	// slot is its place in up.
	slot   int
	path   string
	folder Folder
	// old is the tree that the parent has.
	old *format.ID
	// nodes are sorted by name; a nil one is left out, or in the tree already.
	nodes []*format.Node
	tree  treeText
	// pending counts what is not done, and the walk itself.
	pending atomic.Int64
}

func (d *dir) child(name string) string { return strings.TrimSuffix(d.path, "/") + "/" + name }

// run stores the trees and all they refer to.
func (b *backup) run(ctx context.Context) error {
	ctx, b.cancel = context.WithCancelCause(ctx)
	defer b.cancel(nil)
	b.meter = newMeter(b.opts.Progress)
	defer b.meter.finish()
	scan := b.scan(ctx)
	defer scan.Wait()
	defer b.cancel(nil)
	root, err := openTop(ctx, b.src)
	if err != nil {
		return err
	}
	var old *format.ID
	if b.parent != nil {
		id, err := format.ParseID(b.parent.Tree)
		if err != nil {
			return errors.Join(err, root.Close())
		}
		old = &id
	}
	if p, ok := b.src.(Planner); ok {
		if err := b.plan(ctx, p, old); err != nil {
			return errors.Join(err, root.Close())
		}
	}
	workers := b.startWorkers(ctx)
	b.walk(ctx, &dir{path: "/", folder: root, old: old})
	<-b.root
	close(b.files)
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if t, ok := root.(*top); ok && t.found == 0 {
		return errors.Join(errNothing, b.sum.Failed.First[0].Err)
	}
	b.meter.settle()
	return nil
}

var errNothing = errors.New("there is nothing to back up")

// scan finds out how much there is, beside the backup.
func (b *backup) scan(ctx context.Context) *sync.WaitGroup {
	var done sync.WaitGroup
	s, ok := b.src.(Scanner)
	switch {
	case b.meter == nil:
	case ok:
		done.Go(func() { _ = s.Scan(ctx, b.meter.total) })
	case b.parent != nil && b.parent.Summary != nil:
		b.meter.total(b.parent.Summary.TotalFiles, b.parent.Summary.TotalBytes)
	}
	return &done
}

// walk goes through a folder that is open, and ends it.
func (b *backup) walk(ctx context.Context, d *dir) {
	d.pending.Store(1)
	defer b.done(ctx, d)
	entries, err := d.folder.Entries(ctx)
	b.problems(d.path, err)
	known := b.known(ctx, d.old)
	slices.SortFunc(entries, func(a, b *Entry) int { return strings.Compare(a.Name, b.Name) })
	d.nodes = make([]*format.Node, len(entries))
	d.tree.begin(entries)
	last := ""
	for i, e := range entries {
		if ctx.Err() != nil {
			return
		}
		entries[i] = nil
		if e.Name == last || !goodName(e.Name) {
			b.problem(d.child(e.Name), errName)
			b.ready(d, i)
			continue
		}
		last = e.Name
		b.entry(ctx, d, i, e, known.find(e.Name))
	}
}

var errName = errors.New("the name is no name of a file, or came twice")

func goodName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// entry does an entry of a folder, or has it done.
func (b *backup) entry(ctx context.Context, d *dir, i int, e *Entry, old *format.Node) {
	n := e.node()
	switch n.Type {
	case "", format.TypeSocket:
		b.ready(d, i)
	case format.TypeFile:
		d.nodes[i] = n
		if b.unchanged(e, old) {
			n.Content, n.Size = old.Content, old.Size
			b.count(&b.sum.FilesUnmodified, n.Size)
			b.meter.add(1, int64(n.Size)) //nolint:gosec // more is nobody's
			b.ready(d, i)
			return
		}
		d.pending.Add(1)
		if old != nil && old.Type != format.TypeFile {
			old = nil
		}
		f := &reading{dir: d, slot: i, size: e.Size, old: old}
		select {
		case b.files <- f:
		case <-ctx.Done():
			b.done(ctx, d)
		}
	case format.TypeDir:
		sub := &dir{up: d, slot: i, path: d.child(e.Name)}
		var err error
		if sub.folder, err = d.folder.Folder(ctx, e.Name); err != nil {
			b.problem(sub.path, err)
			b.ready(d, i)
			return
		}
		if old != nil {
			sub.old = old.Subtree
		}
		d.nodes[i] = n
		d.pending.Add(1)
		b.walk(ctx, sub)
	default:
		d.nodes[i] = n
		b.ready(d, i)
	}
}

// ready says that the node is as it will be, or left out.
func (b *backup) ready(d *dir, i int) {
	if err := d.tree.ready(d.nodes, i); err != nil {
		b.fail(err)
	}
}

// unchanged tells whether the parent's file is the same, as far as can be told without reading it, and still stored.
func (b *backup) unchanged(e *Entry, old *format.Node) bool {
	if old == nil || old.Type != format.TypeFile || int64(old.Size) != e.Size || !old.ModTime.Equal(e.ModTime) { //nolint:gosec // more is nobody's
		return false
	}
	if !b.opts.IgnoreCtime && !e.ChangeTime.IsZero() && !old.ChangeTime.IsZero() && !e.ChangeTime.Equal(old.ChangeTime) {
		return false
	}
	if !b.opts.IgnoreInode && e.Inode != 0 && old.Inode != 0 && e.Inode != old.Inode {
		return false
	}
	if b.maybeLater(e) {
		return false
	}
	for _, id := range old.Content {
		if !b.r.idx.has(format.Handle{ID: id}) {
			return false
		}
	}
	return true
}

// maybeLater tells whether the file may have been changed once more after the parent had read it, at what its clock takes for the same moment.
func (b *backup) maybeLater(e *Entry) bool {
	at, tick := e.ChangeTime, 20*time.Millisecond
	if at.IsZero() {
		at = e.ModTime
	}
	if at.Nanosecond() == 0 {
		tick = time.Second
	}
	return at.After(b.since.Add(-tick))
}

// count counts a file of that size.
func (b *backup) count(what *int64, size uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*what++
	b.sum.TotalBytes += int64(size) //nolint:gosec // more is nobody's
}

// done says that something in the folder is done, and with the last of it the folder, which is something in the one above.
func (b *backup) done(ctx context.Context, d *dir) {
	for d.pending.Add(-1) == 0 {
		if err := d.folder.Close(); err != nil {
			b.r.log.DebugContext(ctx, "close a folder", "folder", d.path, "error", err)
		}
		if ctx.Err() == nil {
			b.saveTree(ctx, d)
		}
		d.nodes, d.tree = nil, treeText{}
		if d.up == nil {
			close(b.root)
			return
		}
		d = d.up
	}
}

// saveTree stores the tree of a folder, of which everything is done.
func (b *backup) saveTree(ctx context.Context, d *dir) {
	s, err := b.w.save(ctx, format.TreeBlob, d.tree.end())
	if err != nil {
		b.fail(err)
		return
	}
	if d.up == nil {
		b.tree = s.ID
		return
	}
	d.up.nodes[d.slot].Subtree = &s.ID
	b.ready(d.up, d.slot)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case d.old == nil:
		b.sum.DirsNew++
	case *d.old == s.ID:
		b.sum.DirsUnmodified++
	default:
		b.sum.DirsChanged++
	}
}

// problems counts each of the errors that are joined.
func (b *backup) problems(path string, err error) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range many.Unwrap() {
			b.problems(path, err)
		}
		return
	}
	var at *fs.PathError
	if errors.As(err, &at) && strings.HasPrefix(at.Path, "/") {
		path = at.Path
	}
	b.problem(path, err)
}

func vanished(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// parentTree is a folder of the parent. What was asked for is forgotten.
type parentTree struct {
	nodes []*format.Node
}

// known reads a folder of the parent; one that cannot be read is as good as none.
func (b *backup) known(ctx context.Context, id *format.ID) *parentTree {
	if id == nil {
		return &parentTree{}
	}
	t, err := b.r.loadTree(ctx, *id)
	if err != nil {
		b.r.log.WarnContext(ctx, "a folder of the parent cannot be read: its files are read", "error", err)
		return &parentTree{}
	}
	byName := func(a, b *format.Node) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(t.Nodes, byName) {
		slices.SortFunc(t.Nodes, byName)
	}
	return &parentTree{t.Nodes}
}

// find returns the node of that name; names must be asked for in their order.
func (p *parentTree) find(name string) *format.Node {
	for len(p.nodes) > 0 {
		n := p.nodes[0]
		if n.Name > name {
			return nil
		}
		p.nodes[0], p.nodes = nil, p.nodes[1:]
		if n.Name == name {
			return n
		}
	}
	return nil
}

func userID() uint32  { return uint32(max(0, os.Getuid())) } //nolint:gosec // they have 32 bits
func groupID() uint32 { return uint32(max(0, os.Getgid())) } //nolint:gosec // as above
