//go:build linux || darwin || freebsd || netbsd || openbsd

package repository

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// linkKey names a file that has several names.
type linkKey struct{ device, inode uint64 }

// linkGroup is a file that has several names: the first is restored, the others become links to it.
type linkGroup struct {
	content format.ID
	dir     *outFolder
	name    string
	// left is how many names are to be seen yet.
	left uint64

	// The rest is guarded by the lock of the table. Waiting are names whose first is not done.
	state    linkState
	waiting  []linkName
	dev, ino uint64
}

type linkState int

const (
	linkPending linkState = iota
	linkReady
	linkFailed
)

type linkName struct {
	dir  *outFolder
	node *format.Node
}

// linkTable has the files of several names of which not all were seen: no others.
type linkTable struct {
	mu     sync.Mutex
	groups map[linkKey]*linkGroup
}

// groupOf finds the group of a file with several names; first is true if this is the first of them. A file that has changed while it was backed up, so that its names have
// different contents, is several: the others have no group.
func (x *restorer) groupOf(dir *outFolder, n *format.Node) (g *linkGroup, first bool) {
	if n.Links < 2 || n.Inode == 0 {
		return nil, false
	}
	key := linkKey{n.DeviceID, n.Inode}
	content := contentID(n)
	x.links.mu.Lock()
	defer x.links.mu.Unlock()
	g = x.links.groups[key]
	if g == nil {
		g = &linkGroup{content: content, dir: dir, name: n.Name, left: n.Links - 1}
		x.links.groups[key] = g
		return g, true
	}
	if g.left--; g.left == 0 {
		delete(x.links.groups, key)
	}
	if g.content != content {
		x.out.warn(dir.path(n.Name), errors.New("it is a name of another file in the snapshot, with other content: the two are restored as two files"))
		return nil, false
	}
	return g, false
}

// planLink makes a link now, or when its first is done.
func (x *restorer) planLink(g *linkGroup, l linkName) error {
	l.dir.pending.Add(1)
	x.links.mu.Lock()
	state := g.state
	if state == linkPending {
		g.waiting = append(g.waiting, l)
	}
	x.links.mu.Unlock()
	if state == linkPending {
		return nil
	}
	return x.link(g, state, l)
}

// linked makes the links that waited for the file.
func (x *restorer) linked(f *outFile) error {
	if f.group == nil {
		return nil
	}
	state := linkReady
	if f.failed() != nil {
		state = linkFailed
	}
	return x.settle(f.group, state)
}

func (x *restorer) settle(g *linkGroup, state linkState) error {
	x.links.mu.Lock()
	g.state = state
	waiting := g.waiting
	g.waiting = nil
	x.links.mu.Unlock()
	var fatal error
	for _, l := range waiting {
		fatal = errors.Join(fatal, x.link(g, state, l))
	}
	return fatal
}

var errLinkLost = errors.New("the file that it is a link of could not be restored")

func (x *restorer) link(g *linkGroup, state linkState, l linkName) error {
	err := errLinkLost
	if state == linkReady {
		err = x.makeLink(g, l)
	}
	var fatal error
	if err != nil {
		fatal = x.report(l.dir.path(l.node.Name), []error{err})
	}
	x.meter.add(1, clampSize(l.node.Size))
	return errors.Join(fatal, x.finishFolder(l.dir))
}

// makeLink links the name to the first, if that is still the file that was restored.
func (x *restorer) makeLink(g *linkGroup, l linkName) error {
	dir, err := x.folders.acquire(l.dir)
	if err != nil {
		return err
	}
	defer x.folders.release(l.dir)
	have, err := statAt(dir, l.node.Name)
	if err != nil {
		return err
	}
	if have.present && have.dev == g.dev && have.ino == g.ino || have.present && x.opts.Overwrite == OverwriteNever {
		x.out.count(func(s *RestoreSummary) { s.Unchanged++ })
		return nil
	}
	from, err := x.folders.acquire(g.dir)
	if err != nil {
		return err
	}
	defer x.folders.release(g.dir)
	m := l.dir.mount
	temp := m.temp()
	if err := retry(func() error { return unix.Linkat(from, g.name, m.stage, temp, 0) }); err != nil {
		return fmt.Errorf("link it to %q: %w", g.dir.path(g.name), err)
	}
	made, err := statAt(m.stage, temp)
	if err == nil && (made.dev != g.dev || made.ino != g.ino) {
		err = fmt.Errorf("link it to %q: that was changed meanwhile", g.dir.path(g.name))
	}
	if err == nil {
		err = x.place(m, temp, l.dir, l.node.Name)
	}
	// After a rename to a name of the same file both are there.
	if discardErr := m.discard(temp); err == nil {
		err = discardErr
	}
	if err == nil {
		x.out.count(func(s *RestoreSummary) { s.HardLinks++ })
	}
	return err
}
