package repository

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/davit-project/davit/location/repository/internal/chunk"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// BackupOptions of Backup and BackupStream. Nil and zero are ready to use.
type BackupOptions struct {
	// Host is written into the snapshot. Default Options.Host.
	Host string
	// Paths are written into the snapshot. Default: those of the source.
	Paths []string
	Tags  []string
	// Time is that of the snapshot. Default: when the backup begins.
	Time time.Time
	// Parent is the ID of the snapshot to compare with, or its unique beginning; "none" reads every file. Default: the latest one of the same host and paths.
	Parent string
	// IgnoreInode and IgnoreCtime take a file for unchanged though its inode, or its inode's time of change, is another. Default: it is read.
	IgnoreInode, IgnoreCtime bool
	// Workers is how many goroutines read, compress and encrypt. Default: two more than there are processors, at most 16.
	Workers int
	// Progress is called up to four times a second, and once at the end, never twice at a time. Default: not at all.
	Progress func(Progress)
}

// noParent is BackupOptions.Parent for reading everything.
const noParent = "none"

// ErrIncomplete means that some files could not be read: the snapshot was saved without them, and its Summary.Failed says which they are.
var ErrIncomplete = errors.New("the snapshot is incomplete")

// Backup stores a new snapshot of the source, whose Summary it fills in. Files that the parent has with the same size, times and inode are not read. Sockets are left out, as restic does.
//
// A snapshot that lacks what could not be read is returned together with ErrIncomplete. After any other error, and after a cancel, there is no new snapshot, and the
// repository is as good as before; what was uploaded already is used by the next backup.
func (r *Repository) Backup(ctx context.Context, src Source, opts *BackupOptions) (Snapshot, error) {
	s, err := r.backup(ctx, src, opts, false)
	if err != nil && !errors.Is(err, ErrIncomplete) {
		return s, fmt.Errorf("back up: %w", err)
	}
	return s, err
}

// backup is Backup; strict fails for any file that cannot be read.
func (r *Repository) backup(ctx context.Context, src Source, opts *BackupOptions, strict bool) (Snapshot, error) {
	b := &backup{r: r, src: src, strict: strict, root: make(chan struct{})}
	if opts != nil {
		b.opts = *opts
	}
	if err := b.defaults(); err != nil {
		return Snapshot{}, err
	}
	locked, unlock, err := r.lock(ctx, false)
	if err != nil {
		return Snapshot{}, err
	}
	id, err := b.locked(locked)
	if cause := context.Cause(locked); err != nil && cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	if unlockErr := unlock(); unlockErr != nil {
		// It is stale in half an hour, and what was done is done.
		r.log.WarnContext(ctx, "the lock of a backup could not be removed", "error", unlockErr)
	}
	if err != nil {
		return Snapshot{}, err
	}
	s := snapshotOf(id, &b.snapshot)
	s.Summary = &b.sum
	if n := b.sum.Failed.Count; n > 0 {
		return s, fmt.Errorf("%w: %d files or folders could not be read, such as %q: %w", ErrIncomplete, n, b.sum.Failed.First[0].Path, b.sum.Failed.First[0].Err)
	}
	return s, nil
}

// backup is one that runs.
type backup struct {
	r      *Repository
	w      *writer
	src    Source
	opts   BackupOptions
	strict bool
	rule   *chunk.Rule
	meter  *meter
	cancel context.CancelCauseFunc

	// parent is the snapshot to compare with, if any; since is when it was begun.
	parent *Snapshot
	since  time.Time

	// files are to be read, segments to be saved; idle are buffers; root is closed when the tree of everything is saved, or given up.
	files    chan *reading
	segments chan *segment
	idle     chan *segment
	root     chan struct{}
	tree     format.ID
	zeros    func() (format.ID, error)

	mu       sync.Mutex
	sum      Summary
	snapshot format.Snapshot
}

func (b *backup) defaults() error {
	o := &b.opts
	if o.Host == "" {
		o.Host = b.r.opts.Host
	}
	if o.Paths = cleanPaths(o.Paths); len(o.Paths) == 0 {
		o.Paths = cleanPaths(b.src.Paths())
	}
	if len(o.Paths) == 0 {
		return errors.New("there is nothing to back up: no path was given")
	}
	b.sum.Start = time.Now()
	if o.Time.IsZero() {
		o.Time = b.sum.Start
	}
	if o.Workers <= 0 {
		o.Workers = min(16, runtime.GOMAXPROCS(0)+2)
	}
	size := 0
	if d := b.r.cfg.Davit; d != nil {
		size = d.ChunkSize
	}
	var err error
	if b.rule, err = chunk.NewRule(uint64(b.r.cfg.Polynomial), size); err != nil {
		return fmt.Errorf("%w: config: %w", ErrDamaged, err)
	}
	return nil
}

// locked does the backup under the lock. First the packs, then the index, then the snapshot: nothing ever points at what is not there.
func (b *backup) locked(ctx context.Context) (format.ID, error) {
	var err error
	if b.w, err = b.r.newWriter(ctx); err != nil {
		return format.ID{}, err
	}
	defer b.w.abandon() //nolint:contextcheck // it must run after a cancel
	if err := b.r.loadIndexAs(ctx, true); err != nil {
		return format.ID{}, err
	}
	if err := b.r.adopt(ctx); err != nil {
		return format.ID{}, err
	}
	if err := b.findParent(ctx); err != nil {
		return format.ID{}, err
	}
	if err := b.run(ctx); err != nil {
		return format.ID{}, err
	}
	if err := b.w.finish(ctx); err != nil {
		return format.ID{}, err
	}
	if ctx.Err() != nil {
		return format.ID{}, context.Cause(ctx)
	}
	return b.save(ctx)
}

// save stores the snapshot.
func (b *backup) save(ctx context.Context) (format.ID, error) {
	s, written := &b.sum, b.w.stats
	s.DataBlobs, s.TreeBlobs = int64(written.DataBlobs), int64(written.TreeBlobs)
	s.DataAdded, s.DataAddedPacked = int64(written.Content), int64(written.Packed) //nolint:gosec // more is nobody's
	s.TotalFiles = s.FilesNew + s.FilesChanged + s.FilesUnmodified
	s.End = time.Now()
	b.snapshot = format.Snapshot{
		Time: b.opts.Time, Tree: &b.tree, Paths: b.opts.Paths, Hostname: b.opts.Host, Username: b.r.opts.User, Tags: b.opts.Tags,
		UID: userID(), GID: groupID(), ProgramVersion: "davit " + version(), Summary: s.stored(),
	}
	if b.parent != nil {
		id, err := format.ParseID(b.parent.ID)
		if err != nil {
			return id, err
		}
		b.snapshot.Parent = &id
	}
	return b.r.saveJSON(ctx, snapshotFile, b.snapshot)
}

// version is that of the program's module.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// findParent finds the snapshot to compare with. One that cannot be read is as good as none, if it was not asked for.
func (b *backup) findParent(ctx context.Context) error {
	switch b.opts.Parent {
	case noParent:
		return nil
	case "":
		all, err := b.r.Snapshots(ctx, &Filter{Hosts: []string{b.opts.Host}, Paths: b.opts.Paths})
		if err != nil {
			b.r.log.WarnContext(ctx, "some snapshots cannot be read", "error", err)
		}
		all = slices.DeleteFunc(all, func(s Snapshot) bool {
			return len(cleanPaths(s.Paths)) != len(b.opts.Paths) || s.Time.After(b.opts.Time)
		})
		if len(all) > 0 {
			b.parent = &all[len(all)-1]
		}
	default:
		s, err := b.r.Find(ctx, b.opts.Parent, &Filter{Hosts: []string{b.opts.Host}, Paths: b.opts.Paths})
		if err != nil {
			return fmt.Errorf("parent: %w", err)
		}
		b.parent = &s
	}
	if b.parent != nil {
		b.since = b.parent.Time
		if s := b.parent.Summary; s != nil && !s.Start.IsZero() {
			b.since = s.Start
		}
	}
	return nil
}

// fail ends the backup.
func (b *backup) fail(err error) { b.cancel(err) }

// problem counts a file or folder that cannot be had, or ends the backup.
func (b *backup) problem(path string, err error) {
	if b.strict || errors.Is(err, ErrSource) {
		b.fail(fmt.Errorf("read %q: %w", path, err))
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if vanished(err) {
		b.sum.Vanished.add(path, err)
	} else {
		b.sum.Failed.add(path, err)
	}
}
