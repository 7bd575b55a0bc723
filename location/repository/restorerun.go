//go:build linux || darwin || freebsd || netbsd || openbsd

package repository

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location/repository/internal/format"
)

const (
	// openFolders and openFiles are how many are kept open that are not in use.
	openFolders = 128
	openFiles   = 64
)

// restorer is a restore under way. A planner walks the tree and fills batches; workers read the packs and write chunks to where they go, in the order of the packs; whoever does
// the last of a file, or of a folder, gives it its metadata and its name.
type restorer struct {
	r          *Repository
	opts       RestoreOptions
	filter     *filter
	out        *outcome
	meter      *meter
	totalKnown bool

	root    *outFolder
	folders *outFolders
	files   *fdCache
	links   *linkTable
	mounts  *mounts
	euid    uint32
	owners  bool
	// buf is the planner's.
	buf []byte
}

func (r *Repository) restore(ctx context.Context, t *restoreTask) (RestoreSummary, error) {
	euid := uint32(os.Geteuid()) //nolint:gosec // it is 32 bits wide
	m := &mounts{byKey: map[mountKey]*mount{}, euid: euid}
	x := &restorer{
		r: r, opts: t.opts, filter: t.filter, out: &outcome{}, files: newFDCache(openFiles), links: &linkTable{groups: map[linkKey]*linkGroup{}}, mounts: m,
		folders: &outFolders{fdCache: newFDCache(openFolders), replace: t.opts.Overwrite != OverwriteNever, euid: euid, mounts: m},
		euid:    euid, owners: t.opts.Owners == OwnersAlways || t.opts.Owners == OwnersAsRoot && euid == 0,
	}
	if err := x.openTarget(t); err != nil {
		return RestoreSummary{}, errors.Join(err, m.close())
	}
	x.meter = newMeter(t.opts.Progress)
	defer x.meter.finish()
	if s := t.snapshot.Summary; s != nil && cleanPath(t.opts.Path) == "/" && t.filter.all() && s.TotalFiles > 0 {
		x.totalKnown = true
		x.meter.total(s.TotalFiles, s.TotalBytes)
	}
	err := x.run(ctx, t)
	if err == nil && t.opts.Delete && x.out.failed() == 0 {
		err = x.deleteRest(ctx, t)
	}
	if err == nil && !t.opts.NoSync {
		err = m.sync()
	}
	x.files.closeAll()
	x.folders.closeAll()
	err = errors.Join(err, closeFD(x.root.fd), m.close())
	return x.out.summary, errors.Join(x.out.err(), err)
}

// openTarget makes and opens the target. Only here links are followed: the path is the caller's.
func (x *restorer) openTarget(t *restoreTask) error {
	if err := os.MkdirAll(t.target, 0o755); err != nil {
		return err
	}
	fd, err := unix.Open(t.target, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the target: %w", err)
	}
	x.root = &outFolder{slot: slot{fd: fd, users: 1}, exists: true}
	if t.opts.TargetMeta && t.at.Type == format.TypeDir && t.at.Name != "" {
		x.root.node = t.at
	}
	if err := x.folders.found(x.root, fd); err != nil {
		return errors.Join(fmt.Errorf("prepare the target: %w", err), closeFD(fd))
	}
	return nil
}

// run restores everything but deletes nothing.
func (x *restorer) run(ctx context.Context, t *restoreTask) error {
	tasks, ctx := errgroup.WithContext(ctx)
	batches, runs := make(chan *batch), make(chan packRun)
	send := func(ctx context.Context, b *batch) error { return put(ctx, batches, b) }
	p := &planner{restorer: x, send: send, now: newBatch()}
	tasks.Go(func() error {
		defer close(batches)
		return p.start(ctx, t.at, cleanNames(t.opts.Path))
	})
	tasks.Go(func() error {
		defer close(runs)
		for b := range batches {
			for _, run := range b.runs() {
				if err := put(ctx, runs, run); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for range x.opts.Workers {
		tasks.Go(func() error {
			p := &runReader{r: x.r}
			for run := range runs {
				if err := x.readRun(ctx, p, run); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return tasks.Wait()
}
