package mover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository"
)

// lockWait is how long the work waits for somebody else's.
const lockWait = 10 * time.Minute

// Env is what the far end works with. Open is required.
type Env struct {
	// Open opens the bucket of a profile's JSON.
	Open func(ctx context.Context, profile []byte) (*location.Bucket, error)
	// Root is the folder that stands for the root of the request's paths. Mount paths are links there, which lead to the volumes. Default: the root.
	Root string
	// Progress is called now and then. Default: nobody is told.
	Progress func(Progress)
	// Warn is told what is not as it should be and no reason to fail. Default: nobody is told.
	Warn func(string)
}

// Do does what a request says.
func Do(ctx context.Context, req *Request, env Env) (_ Result, err error) {
	b, err := env.Open(ctx, req.Profile)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	volume := int64(0)
	if at, err := env.real(req.Folder); err == nil && req.Op == Backup && req.Create {
		volume = used(at)
	}
	repo, err := Open(ctx, b, req, volume)
	if err != nil {
		return Result{}, err
	}
	if req.Op == Restore {
		return env.restore(ctx, repo, req)
	}
	src, err := env.source(req.Folder)
	if err != nil {
		return Result{}, err
	}
	return Save(ctx, repo, src, req, env)
}

// Open opens the repository of a request, or makes it for a volume that has so many bytes; 0 if that is not known.
func Open(ctx context.Context, b *location.Bucket, req *Request, volume int64) (*repository.Repository, error) {
	opts := &repository.Options{Path: req.Path, LockWait: lockWait, ChunkSize: repository.ChunkSizeFor(volume)} // locks have the name of this host, where their process is
	repo, err := repository.Open(ctx, b, req.Password, opts)
	if !errors.Is(err, repository.ErrNoRepository) || !req.Create {
		return repo, err
	}
	repo, err = repository.Init(ctx, b, req.Password, opts)
	if errors.Is(err, repository.ErrExists) { // somebody else was faster
		return repository.Open(ctx, b, req.Password, opts)
	}
	return repo, err
}

// Save makes the snapshot of a request for a backup.
func Save(ctx context.Context, repo *repository.Repository, src repository.Source, req *Request, env Env) (Result, error) {
	if req.Again {
		made, err := repo.Snapshots(ctx, &repository.Filter{Tags: []string{req.Tag}, Paths: []string{req.Folder}})
		if len(made) > 0 {
			return resultOf(made[len(made)-1]), nil
		}
		if err != nil {
			return Result{}, fmt.Errorf("look for what an earlier attempt has made: %w", err)
		}
	}
	made, err := repo.Backup(ctx, src, &repository.BackupOptions{
		Host: req.Host, Tags: []string{req.Tag}, Parent: parent(ctx, repo, req.Folder), Progress: env.progress,
	})
	if errors.Is(err, repository.ErrIncomplete) { // it would be taken for a good one by who finds its tag
		err = errors.Join(err, repo.Forget(context.WithoutCancel(ctx), made.ID))
	}
	if err != nil {
		return Result{}, err
	}
	if s := made.Summary; s != nil {
		env.warn(s.Changed, "changed while it was read")
		env.warn(s.Vanished, "vanished before it was read")
	}
	return resultOf(made), nil
}

// parent is the latest snapshot of the folder, whatever host it is of: pods of a workload mostly have another name each time.
func parent(ctx context.Context, repo *repository.Repository, folder string) string {
	found, _ := repo.Snapshots(ctx, &repository.Filter{Paths: []string{folder}}) // one that cannot be read is none
	found = slices.DeleteFunc(found, func(s repository.Snapshot) bool { return !slices.Equal(s.Paths, []string{folder}) })
	if len(found) == 0 {
		return "none"
	}
	return found[len(found)-1].ID
}

func resultOf(s repository.Snapshot) Result {
	r := Result{Snapshot: s.ID}
	if s.Summary != nil {
		r.Counted, r.Files, r.Bytes, r.Stored = true, s.Summary.TotalFiles, s.Summary.TotalBytes, s.Summary.DataAddedPacked
	}
	return r
}

// warn tells of the first files that have a problem.
func (e Env) warn(p repository.Problems, what string) {
	if e.Warn == nil || p.Count == 0 {
		return
	}
	const shown = 10
	for _, file := range p.First[:min(len(p.First), shown)] {
		e.Warn(fmt.Sprintf("%q %s", file.Path, what))
	}
	if p.Count > shown {
		e.Warn(fmt.Sprintf("%d files in all: each %s", p.Count, what))
	}
}

func (e Env) progress(p repository.Progress) {
	if e.Progress != nil {
		e.Progress(Progress{
			Bytes: p.Bytes, Total: p.TotalBytes, Files: p.Files, TotalFiles: p.TotalFiles, Rate: int64(max(0, p.Rate)), Left: int64(p.ETA.Seconds()),
		})
	}
}

// restore writes what the snapshot has for each volume to it.
func (e Env) restore(ctx context.Context, repo *repository.Repository, req *Request) (Result, error) {
	id, filter := req.Snapshot, &repository.Filter{}
	if id == "" {
		id, filter.Tags = "latest", []string{req.Tag}
	}
	snapshot, err := repo.Find(ctx, id, filter)
	if err != nil {
		return Result{}, err
	}
	result := Result{Snapshot: snapshot.ID, Counted: true}
	some := false
	for _, mount := range req.Mounts {
		from, to, ok := between(req.Inside, req.Target, mount)
		if !ok {
			continue
		}
		if there, err := has(ctx, repo, snapshot.ID, from); err != nil {
			return Result{}, err
		} else if !there {
			continue
		}
		summary, err := e.restoreTo(ctx, repo, snapshot.ID, from, mount, to)
		if err != nil {
			return Result{}, err
		}
		some = true
		result.Files += summary.Files + summary.Unchanged
		result.Bytes += summary.Bytes + summary.UnchangedBytes
	}
	if !some {
		return Result{}, fmt.Errorf("snapshot %s has the paths %q, restored below %q: nothing of it is on the volumes, which are mounted at %q: %w",
			snapshot.ShortID(), snapshot.Paths, req.Target, req.Mounts, ErrNothing)
	}
	return result, nil
}

// has tells whether a snapshot has something at a path.
func has(ctx context.Context, repo *repository.Repository, id, name string) (bool, error) {
	err := repo.Walk(ctx, id, name, func(string, repository.Entry) error { return fs.SkipAll })
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, repository.ErrDamaged) && !errors.Is(err, location.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// between tells which folder of a snapshot goes to which path on a volume, when the folder inside of the snapshot goes to target.
func between(inside, target, mount string) (from, to string, ok bool) {
	inside, target, mount = path.Join("/", inside), path.Join("/", target), path.Join("/", mount)
	if rest, ok := below(mount, target); ok {
		return path.Join(inside, rest), mount, true
	}
	if _, ok := below(target, mount); ok {
		return inside, target, true
	}
	return "", "", false
}

// below cuts a folder off a path at it or below it.
func below(name, folder string) (rest string, ok bool) {
	if name == folder {
		return "", true
	}
	return strings.CutPrefix(name, strings.TrimSuffix(folder, "/")+"/")
}

// restoreTo restores a folder of a snapshot to a path at a mount or below it. No link on the volume leads out of it.
func (e Env) restoreTo(ctx context.Context, repo *repository.Repository, id, from, mount, to string) (s repository.RestoreSummary, err error) {
	volume, err := e.real(mount)
	if err != nil {
		return s, err
	}
	target := volume
	if rest, _ := below(to, mount); rest != "" {
		if target, err = folderIn(volume, rest); err != nil {
			return s, fmt.Errorf("make folder %q on the volume at %q: %w", rest, mount, err)
		}
	}
	s, err = repo.Restore(ctx, id, target, &repository.RestoreOptions{Path: from, TargetMeta: owned(target), Progress: e.progress})
	if e.Warn != nil {
		for _, text := range s.Warnings {
			e.Warn(text)
		}
	}
	return s, err
}

// folderIn makes a folder, and those above it, on a volume.
func folderIn(volume, name string) (string, error) {
	root, err := os.OpenRoot(volume)
	if err != nil {
		return "", err
	}
	err = root.MkdirAll(name, 0o755) //nolint:gosec // as restic makes folders that nothing is known of
	if err = errors.Join(err, root.Close()); err != nil {
		return "", err
	}
	full, err := filepath.EvalSymlinks(filepath.Join(volume, name))
	if err != nil {
		return "", err
	}
	if _, ok := below(full, volume); !ok {
		return "", errors.New("a link leads out of the volume")
	}
	return full, nil
}

// real is where a path of the request is on this machine.
func (e Env) real(name string) (string, error) {
	full, err := filepath.EvalSymlinks(filepath.Join("/", e.Root, filepath.Join("/", name)))
	if err != nil {
		return "", fmt.Errorf("look for %q: %w", name, err)
	}
	return full, nil
}
