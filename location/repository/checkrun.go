package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// What to do, for several findings.
const (
	doIndex     = "repair the index"
	doSnapshots = "repair the snapshots: what is hurt is left out; or back up again: pieces that come again are healed"
	doPack      = "repair the pack: what is good of it is saved; then repair the snapshots"
	doForget    = "forget it"
)

// checker is a check that runs.
type checker struct {
	r      *Repository
	v      *view
	opts   CheckOptions
	meter  *meter
	report CheckReport
	// snapshots are those that can be read.
	snapshots []Snapshot
	// packs are the sizes of packs by their numbers in the index, less than 0 if they are not there.
	packs []int64

	mu   sync.Mutex
	seen map[findingKey]*Finding
	// hurt are entries of blobs that are bad, lost blobs that are nowhere, and why.
	hurt map[uint32]*Finding
	lost map[format.Handle]*Finding
	// odd are trees with files of another size than they say.
	odd map[uint32]*oddFiles
}

// oddFiles are files of a tree, the first hundred.
type oddFiles struct {
	f     *Finding
	names []string
}

type findingKey struct {
	kind   FindingKind
	object string
}

// found adds a finding, unless there is one of that kind about that object, and returns it.
func (c *checker) found(f Finding) *Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := findingKey{f.Kind, f.Object}
	if old := c.seen[key]; old != nil {
		return old
	}
	c.seen[key] = &f
	return &f
}

// hurts notes that a blob cannot be had, unless it is known.
func (c *checker) hurts(n uint32, f *Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hurt[n] == nil {
		c.hurt[n] = f
	}
}

func (c *checker) run(ctx context.Context, part readData) error {
	if err := c.files(ctx); err != nil {
		return err
	}
	var err error
	// What a snapshot needs is in an index before the snapshot is there, and in a pack before it is in an index: they are listed the other way round.
	if c.v, err = c.r.newView(ctx); err != nil {
		return err
	}
	for id, why := range c.v.bad {
		c.found(Finding{Kind: FoundIndex, Object: id.String(), What: "the index file cannot be read: " + why.Error(), Means: "what only it lists cannot be found", Do: doIndex})
	}
	if err := c.listPacks(ctx); err != nil {
		return err
	}
	if err := c.trees(ctx); err != nil {
		return err
	}
	c.gone()
	if err := c.readPacks(ctx, part); err != nil {
		return err
	}
	return c.blame(ctx)
}

// finish sorts the findings.
func (c *checker) finish() {
	for _, f := range c.seen {
		c.report.Findings = append(c.report.Findings, *f)
		if f.Hint {
			c.report.Hints++
		} else {
			c.report.Damages++
		}
	}
	hint := func(f Finding) int {
		if f.Hint {
			return 1
		}
		return 0
	}
	slices.SortFunc(c.report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(hint(a), hint(b)), strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Object, b.Object))
	})
	c.report.Findings = c.report.Findings[:min(maxFindings, len(c.report.Findings))]
}

// files checks the config, the keys and the snapshots.
func (c *checker) files(ctx context.Context) error {
	sealed, err := c.r.objects.ReadAll(ctx, c.r.file(configFile, format.ID{}), maxSmall)
	var text []byte
	if err == nil {
		text, err = c.r.key.Open(sealed)
	}
	if err == nil {
		_, err = format.ParseConfig(text)
	}
	if err != nil {
		if !damaged(err) {
			return err
		}
		c.found(Finding{Kind: FoundConfig, What: err.Error(), Means: "the repository cannot be opened again", Do: "write the config back from a copy of the repository"})
	}
	for f, err := range c.r.list(ctx, keyFile) {
		if err != nil {
			return err
		}
		if _, err := c.r.loadKey(ctx, f.ID); err != nil && !damaged(err) {
			return err
		} else if err != nil && !errors.Is(err, location.ErrNotFound) {
			c.found(Finding{Kind: FoundKey, Object: f.ID.String(), What: err.Error(), Means: "its password does not open the repository", Do: "remove it, and add a key with that password"})
		}
	}
	return c.loadSnapshots(ctx)
}

func (c *checker) loadSnapshots(ctx context.Context) error {
	tasks, tctx := errgroup.WithContext(ctx)
	tasks.SetLimit(c.r.opts.Connections)
	for f, err := range c.r.list(ctx, snapshotFile) {
		if err != nil {
			return errors.Join(err, tasks.Wait())
		}
		tasks.Go(func() error {
			s, err := c.r.snapshot(tctx, f.ID)
			switch {
			case err == nil:
				c.mu.Lock()
				c.snapshots = append(c.snapshots, s)
				c.mu.Unlock()
			case errors.Is(err, location.ErrNotFound):
				// It was forgotten meanwhile.
			case !damaged(err):
				return err
			default:
				c.found(Finding{
					Kind: FoundSnapshot, Object: f.ID.String(), What: err.Error(), Means: "it cannot be restored, and prune refuses to work", Do: doForget,
					Snapshots: []string{f.ID.String()}, SnapshotsHurt: 1,
				})
			}
			return nil
		})
	}
	if err := tasks.Wait(); err != nil {
		return err
	}
	slices.SortFunc(c.snapshots, func(a, b Snapshot) int { return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.ID, b.ID)) })
	c.report.Snapshots = len(c.snapshots)
	return nil
}

// listPacks compares the packs that are there with the index.
func (c *checker) listPacks(ctx context.Context) error {
	x := c.v.idx
	c.packs = make([]int64, len(x.packs))
	for n := range c.packs {
		c.packs[n] = -1
	}
	for f, err := range c.r.list(ctx, packFile) {
		if err != nil {
			return err
		}
		c.report.Packs++
		c.report.Bytes += f.Size
		n, ok := x.byID[f.ID]
		if !ok {
			c.found(Finding{
				Kind: FoundPackUnindexed, Hint: true, Object: f.ID.String(), What: fmt.Sprintf("the pack of %d bytes is in no index", f.Size),
				Means: "somebody is writing it, or a crash has left it; no harm", Do: "prune removes it; if something is missing, repair the index",
			})
			continue
		}
		c.packs[n] = f.Size
	}
	for n, size := range c.packs {
		if size < 0 {
			// Copies of its blobs in other packs will do.
			x.packs[n].lost = true
			continue
		}
		if want := packSize(c.v.blobs(uint32(n), nil)); want != size { //nolint:gosec // there are fewer
			c.found(Finding{
				Kind: FoundPackSize, Object: x.packs[n].id.String(), What: fmt.Sprintf("the pack has %d bytes, by the index %d", size, want),
				Means: "parts of it may be missing", Do: doPack,
			})
			c.beyond(uint32(n), size) //nolint:gosec // as above
		}
	}
	return nil
}

// beyond notes the blobs that a pack is too short for.
func (c *checker) beyond(pack uint32, size int64) {
	f := c.found(Finding{Kind: FoundPackSize, Object: c.v.idx.packs[pack].id.String()})
	for n := c.v.first[pack]; n < c.v.first[pack]+c.v.idx.packs[pack].entries; n++ {
		if e := c.v.idx.entry(n); int64(e.offset)+int64(e.length) > size {
			c.hurts(n, f)
		}
	}
}

// trees walks all trees.
func (c *checker) trees(ctx context.Context) error {
	s := newSurvey(c.v)
	s.missing = func(h format.Handle) error {
		c.nowhere(h)
		return nil
	}
	s.broken = func(n uint32, err error) error {
		h := c.v.blob(n).Handle
		f := c.found(Finding{
			Kind: FoundTree, Object: h.ID.String(), What: "the tree cannot be read: " + err.Error(), Means: "the folder, and what is below it, cannot be restored", Do: doSnapshots,
		})
		for n := range c.v.copies(h) {
			c.hurts(n, f)
		}
		return nil
	}
	var trees, blobs int
	s.folder = func(n uint32, t *format.Tree) error {
		c.meter.add(1, 0)
		for _, node := range t.Nodes {
			if node.Type == format.TypeFile {
				c.fileSize(n, node)
			}
		}
		return nil
	}
	roots := make([]format.ID, 0, len(c.snapshots))
	for _, sn := range c.snapshots {
		id, err := format.ParseID(sn.Tree)
		if err != nil {
			return err
		}
		roots = append(roots, id)
	}
	if err := s.walk(ctx, roots...); err != nil {
		return err
	}
	for n := range c.v.entries() {
		switch {
		case !s.used.has(n):
			c.report.BlobsUnused++
		case c.v.idx.entry(n).pack&1 == uint32(format.TreeBlob):
			trees++
		default:
			blobs++
		}
	}
	c.report.Trees, c.report.Blobs = trees, blobs
	return nil
}

// nowhere notes a blob that is in no pack that is there.
func (c *checker) nowhere(h format.Handle) {
	f := Finding{
		Kind: FoundBlob, Object: h.ID.String(), What: "a piece of files is in no pack that is there", Means: "the files cannot be restored", Do: doSnapshots,
	}
	if h.Type == format.TreeBlob {
		f.Kind, f.What, f.Means = FoundTree, "the tree is in no pack that is there", "the folder, and what is below it, cannot be restored"
	}
	if pack, ok := c.lostPack(h); ok {
		f.Kind, f.Object = FoundPackMissing, pack.String()
		f.What, f.Means, f.Do = "the pack is not there", "the files and folders that had parts in it cannot be restored", "bring it back from a copy of the repository; else "+doIndex+", then "+doSnapshots
	}
	found := c.found(f)
	c.mu.Lock()
	c.lost[h] = found
	c.mu.Unlock()
}

// lostPack is a pack that is gone and had the blob.
func (c *checker) lostPack(h format.Handle) (format.ID, bool) {
	x := c.v.idx
	if len(x.table) == 0 {
		return format.ID{}, false
	}
	for at := x.slot(&h.ID); x.table[at] != 0; at = (at + 1) & uint32(len(x.table)-1) { //nolint:gosec // the table is shorter than 2^32
		e := x.entry(x.table[at] - 1)
		if e.id == h.ID && format.BlobType(e.pack&1) == h.Type {
			return x.packs[e.pack>>1].id, true
		}
	}
	return format.ID{}, false
}

// gone notes packs that are gone and that nothing needs.
func (c *checker) gone() {
	for n, size := range c.packs {
		id := c.v.idx.packs[n].id.String()
		if size < 0 && c.seen[findingKey{FoundPackMissing, id}] == nil {
			c.found(Finding{
				Kind: FoundPackGone, Hint: true, Object: id, What: "the index lists the pack, which is not there", Means: "nothing needs it; no harm", Do: "prune, or " + doIndex,
			})
		}
	}
}

// fileSize compares what a file says with its pieces.
func (c *checker) fileSize(tree uint32, node *format.Node) {
	var sum uint64
	for _, id := range node.Content {
		n, ok := c.v.find(format.Handle{ID: id})
		if !ok {
			return
		}
		sum += c.v.size(n)
	}
	if sum == node.Size {
		return
	}
	id := c.v.blob(tree).ID.String()
	f := c.found(Finding{
		Kind: FoundFileSize, Object: id, What: fmt.Sprintf("a file of the tree says it has %d bytes, its pieces have %d", node.Size, sum), Means: "what is restored is not what was there", Do: doSnapshots,
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	odd := c.odd[tree]
	if odd == nil {
		odd = &oddFiles{f: f}
		c.odd[tree] = odd
	}
	if len(odd.names) < maxHurt {
		odd.names = append(odd.names, node.Name)
	}
}
