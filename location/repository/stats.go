package repository

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// StatsMode is what Stats counts; the names are restic's.
type StatsMode string

// Modes of Stats.
const (
	// StatsRestoreSize counts what a restore of each snapshot would write: every entry, and the size of every file, that of hard links once for each snapshot.
	StatsRestoreSize StatsMode = "restore-size"
	// StatsRawData counts the blobs that the snapshots need, each once, and what they take in packs.
	StatsRawData StatsMode = "raw-data"
	// StatsFilesByContents counts entries that differ in content, and their size. All entries without content are one.
	StatsFilesByContents StatsMode = "files-by-contents"
	// StatsBlobsPerFile counts, of the entries that StatsFilesByContents counts, those with a content, by their paths; and the blobs of each path, each once.
	StatsBlobsPerFile StatsMode = "blobs-per-file"
)

// Stats is what Stats counts, as restic counts it.
type Stats struct {
	Mode      StatsMode
	Snapshots int
	// TotalSize is in bytes.
	TotalSize uint64
	// TotalFiles counts entries of every type, folders too; it is 0 in mode raw-data.
	TotalFiles uint64
	// TotalBlobs is 0 but in the modes raw-data and blobs-per-file.
	TotalBlobs uint64
	// Uncompressed is, in mode raw-data, the size of the content of the blobs, in bytes.
	Uncompressed uint64
}

// Stats counts what snapshots hold: those of the IDs, which may be unique prefixes or "latest", or all. The empty mode is restore-size. It remembers 16 bytes for each
// different content in mode files-by-contents and for each blob of each path in mode blobs-per-file, and the inodes of a snapshot in mode restore-size.
func (r *Repository) Stats(ctx context.Context, mode StatsMode, ids ...string) (Stats, error) {
	if mode == "" {
		mode = StatsRestoreSize
	}
	modes := []StatsMode{StatsRestoreSize, StatsRawData, StatsFilesByContents, StatsBlobsPerFile}
	if !slices.Contains(modes, mode) {
		return Stats{}, fmt.Errorf("stats: unknown mode %.40q: the modes are %q", mode, modes)
	}
	ctx, unlock, err := r.lock(ctx, false)
	if err != nil {
		return Stats{}, fmt.Errorf("stats: %w", err)
	}
	c := &counter{r: r, Stats: Stats{Mode: mode}}
	err = c.run(ctx, ids)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err = errors.Join(err, unlock()); err != nil {
		return Stats{}, fmt.Errorf("stats: %w", err)
	}
	return c.Stats, nil
}

// countedKey is the hash of something, cut to 16 bytes: enough to tell things apart.
type countedKey [16]byte

// counter counts.
type counter struct {
	Stats
	r *Repository
	v *view
	// files are contents that were seen, and blobs those of each path.
	files, blobs map[countedKey]bool
	// paths are those that have a blob.
	paths map[countedKey]bool
}

func (c *counter) run(ctx context.Context, ids []string) error {
	roots, err := c.snapshots(ctx, ids)
	if err != nil {
		return err
	}
	c.Snapshots = len(roots)
	if c.v, err = c.r.newView(ctx); err != nil {
		return err
	}
	for id, err := range c.v.bad {
		return fmt.Errorf("index %s: %w: repair the index", id.Short(), err)
	}
	if c.Mode == StatsRawData {
		return c.raw(ctx, roots)
	}
	c.files, c.blobs, c.paths = map[countedKey]bool{}, map[countedKey]bool{}, map[countedKey]bool{}
	for _, root := range roots {
		one := &countedTree{counter: c, inodes: map[uint64]bool{}, done: map[format.ID]bool{}}
		if _, err := one.walk(ctx, "/", root); err != nil {
			return err
		}
	}
	return nil
}

// snapshots are the trees of those to be counted.
func (c *counter) snapshots(ctx context.Context, ids []string) ([]format.ID, error) {
	var list []Snapshot
	var err error
	if len(ids) == 0 {
		list, err = c.r.Snapshots(ctx, nil)
	}
	for _, id := range ids {
		s, ferr := c.r.Find(ctx, id, nil)
		list, err = append(list, s), errors.Join(err, ferr)
	}
	if err != nil {
		return nil, err
	}
	roots := make([]format.ID, len(list))
	for i, s := range list {
		if roots[i], err = format.ParseID(s.Tree); err != nil {
			return nil, err
		}
	}
	return roots, nil
}

// raw counts each blob once.
func (c *counter) raw(ctx context.Context, roots []format.ID) error {
	s := newSurvey(c.v)
	s.missing = func(h format.Handle) error { return fmt.Errorf("%w: the blob %s is in no pack", ErrDamaged, h) }
	s.broken = func(n uint32, err error) error { return fmt.Errorf("tree %s: %w", c.v.blob(n).ID.Short(), err) }
	if err := s.walk(ctx, roots...); err != nil {
		return err
	}
	for n := range c.v.entries() {
		if s.used.has(n) {
			c.TotalBlobs++
			c.TotalSize += uint64(c.v.idx.entry(n).length)
			c.Uncompressed += c.v.size(n)
		}
	}
	return nil
}

// countedTree is a snapshot that is counted.
type countedTree struct {
	*counter
	inodes map[uint64]bool
	// done are folders that need not be counted again in this snapshot, since only contents count.
	done map[format.ID]bool
}

// walk counts a folder. It tells whether the folder need not be counted again.
func (c *countedTree) walk(ctx context.Context, dir string, id format.ID) (bool, error) {
	t, err := c.v.loadTree(ctx, id)
	if err != nil {
		return false, fmt.Errorf("%s: %w", dir, err)
	}
	for _, n := range t.Nodes {
		p := path.Join(dir, n.Name)
		if n.Type != format.TypeDir {
			if err := c.count(p, n); err != nil {
				return false, err
			}
			continue
		}
		if c.done[*n.Subtree] {
			continue
		}
		if err := c.count(p, n); err != nil {
			return false, err
		}
		done, err := c.walk(ctx, p, *n.Subtree)
		if err != nil {
			return false, err
		}
		if done {
			c.done[*n.Subtree] = true
		}
	}
	return c.Mode != StatsRestoreSize, nil
}

// count counts an entry.
func (c *countedTree) count(p string, n *format.Node) error {
	if c.Mode == StatsRestoreSize {
		c.TotalFiles++
		if n.Inode == 0 || !c.inodes[n.Inode] {
			c.inodes[n.Inode] = true
			c.TotalSize += n.Size
		}
		return nil
	}
	content := contentHash(n.Content)
	if c.files[content] {
		return nil
	}
	c.files[content] = true
	if c.Mode == StatsFilesByContents {
		c.TotalFiles++
		c.TotalSize += n.Size
		return nil
	}
	return c.countBlobs(p, n)
}

func (c *countedTree) countBlobs(p string, n *format.Node) error {
	sum := sha256.Sum256([]byte(p))
	name := countedKey(sum[:16])
	for _, id := range n.Content {
		if !c.paths[name] {
			c.paths[name] = true
			c.TotalFiles++
		}
		sum := sha256.Sum256(append(name[:], id[:]...))
		if key := countedKey(sum[:16]); !c.blobs[key] {
			c.blobs[key] = true
			e, ok := c.v.find(format.Handle{ID: id})
			if !ok {
				return fmt.Errorf("%w: %s: the blob %s is in no pack", ErrDamaged, p, id.Short())
			}
			c.TotalSize += c.v.size(e)
			c.TotalBlobs++
		}
	}
	return nil
}

func contentHash(ids []format.ID) countedKey {
	h := sha256.New()
	for _, id := range ids {
		_, _ = h.Write(id[:]) // never fails
	}
	return countedKey(h.Sum(nil)[:16])
}
