//go:build linux || darwin || freebsd || netbsd || openbsd

package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// planner walks the snapshot's tree, makes folders, links and special files, and plans the files.
type planner struct {
	*restorer
	send func(ctx context.Context, b *batch) error
	now  *batch
	// names is the path in the snapshot of where it is, kept only if there is a filter.
	names []string
	held  int
}

// start plans what is at the path in the snapshot; names are those of the path.
func (p *planner) start(ctx context.Context, at *format.Node, names []string) error {
	root := p.root
	root.pending.Add(1)
	var err error
	if at.Type == format.TypeDir {
		p.names = names
		covered := false
		for n := range len(names) {
			wanted, _ := p.filter.choose(names[:n+1], covered)
			covered = covered || wanted && len(p.filter.include) > 0
		}
		err = p.folder(ctx, root, *at.Subtree, walkState{covered: covered})
	} else {
		err = p.other(ctx, root, at)
	}
	if err == nil && len(p.now.uses) > 0 {
		err = p.flush(ctx)
	}
	if err != nil {
		return err
	}
	return p.finishFolder(root)
}

// walkState is what the folders above have decided.
type walkState struct {
	covered bool
	depth   int
}

// folder plans what is in a folder: first all that is no folder, so that a large one need not be kept.
func (p *planner) folder(ctx context.Context, f *outFolder, tree format.ID, s walkState) error {
	if s.depth == maxDepth {
		p.out.fail(f.path(""), fmt.Errorf("%w: folders are nested deeper than %d", ErrDamaged, maxDepth))
		return nil
	}
	t, err := p.r.loadTree(ctx, tree)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		p.out.fail(f.path(""), fmt.Errorf("what is in it cannot be restored: %w", err))
		return nil
	}
	var below []*format.Node
	var states []walkState
	for _, n := range t.Nodes {
		wanted, lead := p.choose(n.Name, s.covered)
		if n.Type == format.TypeDir && (wanted || lead) {
			below = append(below, n)
			states = append(states, walkState{covered: wanted, depth: s.depth + 1})
		} else if wanted && n.Type != format.TypeDir {
			if err := p.other(ctx, f, n); err != nil {
				return err
			}
		}
	}
	t = nil //nolint:wastedassign // its memory is not needed below
	if p.held += len(below); p.held > maxHeld {
		return fmt.Errorf("%w: the folders on the way have more than %d folders in them", ErrDamaged, maxHeld)
	}
	defer func(n int) { p.held -= n }(len(below))
	for i, n := range below {
		if err := p.subfolder(ctx, f, n, states[i]); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) choose(name string, covered bool) (wanted, below bool) {
	if p.filter.all() {
		return true, true
	}
	return p.filter.choose(append(p.names, name), covered)
}

func (p *planner) subfolder(ctx context.Context, parent *outFolder, n *format.Node, s walkState) error {
	f := &outFolder{parent: parent, name: n.Name, node: n, wanted: s.covered, slot: slot{fd: -1}}
	parent.pending.Add(1)
	f.pending.Add(1)
	var err error
	if f.wanted {
		if _, err = p.folders.acquire(f); err == nil {
			p.folders.release(f)
		}
	}
	if err != nil {
		f.reported.Store(true)
		err = p.report(f.path(""), []error{err})
	} else {
		if !p.filter.all() {
			p.names = append(p.names, n.Name)
		}
		err = p.folder(ctx, f, *n.Subtree, s)
		if !p.filter.all() {
			p.names = p.names[:len(p.names)-1]
		}
	}
	return errors.Join(err, p.finishFolder(f))
}

// other plans what is no folder.
func (p *planner) other(ctx context.Context, f *outFolder, n *format.Node) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch n.Type {
	case format.TypeFile:
		return p.file(ctx, f, n)
	case format.TypeSocket:
		p.out.count(func(s *RestoreSummary) { s.LeftOutSockets++ })
		return nil
	case format.TypeDevice, format.TypeChar:
		if !p.opts.Devices {
			p.out.count(func(s *RestoreSummary) { s.LeftOutDevices++ })
			return nil
		}
	}
	err := p.makeOther(f, n)
	p.meterFile(0)
	if err == nil {
		return nil
	}
	return p.report(f.path(n.Name), []error{err})
}

// meterFile counts a file that is found and done.
func (p *planner) meterFile(bytes int64) {
	p.planned(1, bytes)
	p.meter.add(1, bytes)
}

// planned counts what is to be done, unless it was known before.
func (p *planner) planned(files, bytes int64) {
	if !p.totalKnown {
		p.meter.total(files, bytes)
	}
}

// makeOther makes a symbolic link or a special file.
func (p *planner) makeOther(f *outFolder, n *format.Node) error {
	fd, err := p.folders.acquire(f)
	if err != nil {
		return err
	}
	defer p.folders.release(f)
	if !f.fresh {
		have, err := statAt(fd, n.Name)
		if err != nil {
			return err
		}
		if have.present && p.keepOther(fd, have, n) {
			p.out.count(func(s *RestoreSummary) { s.Unchanged++ })
			return nil
		}
	}
	m := f.mount
	temp := m.temp()
	if n.Type == format.TypeSymlink {
		err = retry(func() error { return unix.Symlinkat(n.LinkTarget, m.stage, temp) })
	} else {
		err = makeSpecial(m.stage, temp, n)
	}
	if err != nil {
		return err
	}
	fatal := p.report(f.path(n.Name), p.setStagedMeta(m, temp, n))
	if err := p.place(m, temp, f, n.Name); err != nil {
		return errors.Join(err, m.discard(temp))
	}
	p.out.count(func(s *RestoreSummary) {
		if n.Type == format.TypeSymlink {
			s.Symlinks++
		} else {
			s.Specials++
		}
	})
	return fatal
}

// keepOther tells whether what is there stays: a link with the right target and owner.
func (p *planner) keepOther(dir int, have fileStat, n *format.Node) bool {
	switch p.opts.Overwrite {
	case OverwriteNever:
		return true
	case OverwriteAlways:
		return false
	}
	if n.Type != format.TypeSymlink || !have.symlink || !have.mtime.Equal(n.ModTime) || p.owners && (have.uid != n.UID || have.gid != n.GID) {
		return false
	}
	target, err := readlinkAt(dir, n.Name)
	return err == nil && target == n.LinkTarget
}

// file plans a file: its chunks are added to the batch, or it is there already.
func (p *planner) file(ctx context.Context, f *outFolder, n *format.Node) error {
	group, first := p.groupOf(f, n)
	p.planned(1, clampSize(n.Size))
	if group != nil && !first {
		return p.planLink(group, linkName{f, n})
	}
	size, err := p.r.contentSize(n)
	if err != nil {
		p.out.fail(f.path(n.Name), err)
		p.meter.add(1, clampSize(n.Size))
		return p.settleGroup(group, linkFailed)
	}
	if size != clampSize(n.Size) {
		p.out.fail(f.path(n.Name), fmt.Errorf("%w: its content has %d bytes, and the snapshot says %d: it is restored as the content is", ErrDamaged, size, n.Size))
	}
	kept, err := p.keep(f, n, size, group)
	if err != nil {
		if fatal := p.report(f.path(n.Name), []error{err}); fatal != nil {
			return fatal
		}
	}
	if kept || err != nil {
		p.meter.add(1, size)
		state := linkReady
		if err != nil {
			state = linkFailed
		}
		return p.settleGroup(group, state)
	}
	return p.chunks(ctx, f, n, &outFile{dir: f, size: size, group: group, slot: slot{fd: -1}})
}

func (p *planner) settleGroup(g *linkGroup, state linkState) error {
	if g == nil {
		return nil
	}
	return p.settle(g, state)
}

// chunks adds the chunks of a file to batches.
func (p *planner) chunks(ctx context.Context, f *outFolder, n *format.Node, out *outFile) error {
	content := n.Content
	bare := *n
	bare.Content = nil
	out.node = &bare
	out.left.Store(int64(len(content)) + 1)
	f.pending.Add(1)
	p.now.files++
	var off int64
	for _, id := range content {
		at, ok := p.r.idx.lookup(format.Handle{ID: id, Type: format.DataBlob})
		if !ok {
			return fmt.Errorf("%w: the index has changed: blob %s is gone", ErrDamaged, id.Short())
		}
		p.now.add(at, out, off)
		off += int64(at.Size())
		if p.now.full() {
			if err := p.flush(ctx); err != nil {
				return err
			}
		}
	}
	return p.chunkDone(out)
}

// flush hands the batch over.
func (p *planner) flush(ctx context.Context) error {
	b := p.now
	p.now = newBatch()
	return p.send(ctx, b)
}

// sameContent reads a file that is there and compares it with the chunks.
func (p *planner) sameContent(fd int, n *format.Node) (bool, error) {
	var off int64
	for _, id := range n.Content {
		at, ok := p.r.idx.lookup(format.Handle{ID: id, Type: format.DataBlob})
		if !ok {
			return false, nil
		}
		p.buf = slices.Grow(p.buf[:0], at.Size())[:at.Size()]
		whole, err := readAt(fd, p.buf, off)
		if err != nil || !whole || format.Hash(p.buf) != id {
			return false, err
		}
		off += int64(at.Size())
	}
	return true, nil
}
