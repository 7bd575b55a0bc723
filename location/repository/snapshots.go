package repository

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// Snapshot is a tree at one moment.
type Snapshot struct {
	// ID is 64 hexadecimal digits.
	ID   string
	Time time.Time
	// Parent is the ID of the snapshot that this one was compared with, Tree that of its tree.
	Parent, Tree string
	// Paths are absolute. Restored, they stand below the target.
	Paths      []string
	Host, User string
	Tags       []string
	// Program is what wrote it, if it says so.
	Program string
	// Summary is nil in those of older programs.
	Summary *Summary
}

// ShortID is what people are shown: eight digits of the ID.
func (s *Snapshot) ShortID() string { return s.ID[:min(8, len(s.ID))] }

// Summary is what a backup did.
type Summary struct {
	Start, End time.Time
	// Regular files, compared with the parent: those that are new, changed, or the same; the latter were not read, but for a few that might have changed.
	FilesNew, FilesChanged, FilesUnmodified int64
	DirsNew, DirsChanged, DirsUnmodified    int64
	// DataBlobs and TreeBlobs are new, DataAdded their size in bytes, DataAddedPacked what they take in the repository.
	DataBlobs, TreeBlobs       int64
	DataAdded, DataAddedPacked int64
	// TotalFiles and TotalBytes are how many files, and bytes in them, the snapshot has.
	TotalFiles, TotalBytes int64

	// Changed are files that changed while they were read: the snapshot has what was read. Vanished went away before they could be read, and are not in it. Failed could not be
	// read, and are not in it. None of them is stored.
	Changed, Vanished, Failed Problems
}

// Problems are files with a problem. The zero value has none.
type Problems struct {
	// Count is of all of them, First has the first hundred, in no order.
	Count int64
	First []Problem
}

// Problem is a file with a problem.
type Problem struct {
	Path string
	// Err is nil where the problem says it all.
	Err error
}

// maxProblems is how many are kept.
const maxProblems = 100

func (p *Problems) add(path string, err error) {
	if p.Count++; len(p.First) < maxProblems {
		p.First = append(p.First, Problem{path, err})
	}
}

// Filter chooses snapshots. Nil and zero choose all.
type Filter struct {
	// Hosts: the snapshot's is one of them. Tags: it has them all. Paths: it has them all.
	Hosts, Tags, Paths []string
}

// Fits tells whether the filter chooses the snapshot.
func (f *Filter) Fits(s *Snapshot) bool {
	if f == nil {
		return true
	}
	return (len(f.Hosts) == 0 || slices.Contains(f.Hosts, s.Host)) && hasAll(s.Tags, f.Tags) && hasAll(s.Paths, f.Paths)
}

func hasAll(have, want []string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

// Snapshots are those that the filter chooses, sorted by time. Those that cannot be read are in the error, joined; the others are returned all the same.
func (r *Repository) Snapshots(ctx context.Context, f *Filter) ([]Snapshot, error) {
	var mu sync.Mutex
	var found []Snapshot
	var failures []error
	tasks, tctx := errgroup.WithContext(ctx)
	tasks.SetLimit(r.opts.Connections)
	for file, err := range r.list(ctx, snapshotFile) {
		if err != nil {
			failures = append(failures, err)
			break
		}
		tasks.Go(func() error {
			s, err := r.snapshot(tctx, file.ID)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, location.ErrNotFound):
				// It was forgotten meanwhile.
			case err != nil:
				failures = append(failures, err)
			case f.Fits(&s):
				found = append(found, s)
			}
			return ctx.Err()
		})
	}
	if err := tasks.Wait(); err != nil {
		return nil, fmt.Errorf("list snapshots: %w", context.Cause(ctx))
	}
	slices.SortFunc(found, func(a, b Snapshot) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return found, errors.Join(failures...)
}

// Find returns the snapshot of that ID, or of the only one that begins so, or the "latest" of those that the filter chooses: ErrNoSnapshot, ErrAmbiguous. The filter
// counts for "latest" alone.
func (r *Repository) Find(ctx context.Context, id string, f *Filter) (Snapshot, error) {
	if id == "latest" {
		found, err := r.Snapshots(ctx, f)
		if len(found) == 0 && err == nil {
			err = fmt.Errorf("find the latest snapshot: %w", ErrNoSnapshot)
		}
		if err != nil {
			// One that cannot be read could be later.
			return Snapshot{}, err
		}
		return found[len(found)-1], nil
	}
	full, err := r.fullID(ctx, id)
	if err != nil {
		return Snapshot{}, fmt.Errorf("find snapshot %.80q: %w", id, err)
	}
	s, err := r.snapshot(ctx, full)
	if errors.Is(err, location.ErrNotFound) {
		err = fmt.Errorf("%w: %w", ErrNoSnapshot, err)
	}
	return s, err
}

func (r *Repository) fullID(ctx context.Context, prefix string) (format.ID, error) {
	prefix = strings.ToLower(prefix)
	if id, err := format.ParseID(prefix); err == nil {
		return id, nil
	}
	if _, err := hex.DecodeString(prefix + strings.Repeat("0", len(prefix)%2)); err != nil || prefix == "" || len(prefix) > 2*format.IDSize {
		return format.ID{}, fmt.Errorf("%w: it is no hexadecimal number and not \"latest\"", ErrNoSnapshot)
	}
	var found format.ID
	for file, err := range r.list(ctx, snapshotFile) {
		if err != nil {
			return found, err
		}
		if !strings.HasPrefix(file.ID.String(), prefix) {
			continue
		}
		if !found.IsZero() && found != file.ID {
			return found, fmt.Errorf("%w: %s and %s", ErrAmbiguous, found.Short(), file.ID.Short())
		}
		found = file.ID
	}
	if found.IsZero() {
		return found, ErrNoSnapshot
	}
	return found, nil
}

// snapshot reads one.
func (r *Repository) snapshot(ctx context.Context, id format.ID) (Snapshot, error) {
	text, err := r.loadFile(ctx, snapshotFile, id)
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %s: %w", id.Short(), err)
	}
	s, err := format.ParseSnapshot(text)
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %s: %w", id.Short(), err)
	}
	return snapshotOf(id, s), nil
}

func snapshotOf(id format.ID, s *format.Snapshot) Snapshot {
	out := Snapshot{
		ID: id.String(), Time: s.Time, Tree: s.Tree.String(), Paths: s.Paths, Host: s.Hostname, User: s.Username, Tags: s.Tags, Program: s.ProgramVersion,
	}
	if s.Parent != nil {
		out.Parent = s.Parent.String()
	}
	if s.Summary != nil {
		out.Summary = summaryOf(s.Summary)
	}
	return out
}

func summaryOf(s *format.SnapshotSummary) *Summary {
	return &Summary{
		Start: s.BackupStart, End: s.BackupEnd,
		FilesNew: int64(s.FilesNew), FilesChanged: int64(s.FilesChanged), FilesUnmodified: int64(s.FilesUnmodified), //nolint:gosec // more are nobody's
		DirsNew: int64(s.DirsNew), DirsChanged: int64(s.DirsChanged), DirsUnmodified: int64(s.DirsUnmodified), //nolint:gosec // as above
		DataBlobs: int64(s.DataBlobs), TreeBlobs: int64(s.TreeBlobs), DataAdded: int64(s.DataAdded), DataAddedPacked: int64(s.DataAddedPacked), //nolint:gosec // as above
		TotalFiles: int64(s.TotalFilesProcessed), TotalBytes: int64(s.TotalBytesProcessed), //nolint:gosec // as above
	}
}

// stored is what a snapshot file has of it.
func (s *Summary) stored() *format.SnapshotSummary {
	return &format.SnapshotSummary{
		BackupStart: s.Start, BackupEnd: s.End,
		FilesNew: uint(s.FilesNew), FilesChanged: uint(s.FilesChanged), FilesUnmodified: uint(s.FilesUnmodified), //nolint:gosec // they count up from 0
		DirsNew: uint(s.DirsNew), DirsChanged: uint(s.DirsChanged), DirsUnmodified: uint(s.DirsUnmodified), //nolint:gosec // as above
		DataBlobs: int(s.DataBlobs), TreeBlobs: int(s.TreeBlobs), DataAdded: uint64(s.DataAdded), DataAddedPacked: uint64(s.DataAddedPacked), //nolint:gosec // as above
		TotalFilesProcessed: uint(s.TotalFiles), TotalBytesProcessed: uint64(s.TotalBytes), //nolint:gosec // as above
	}
}

// cleanPaths makes paths clean and absolute, sorts them, and drops those that are below another, which has them already.
func cleanPaths(paths []string) []string {
	clean := make([]string, 0, len(paths))
	for _, p := range paths {
		clean = append(clean, path.Clean("/"+p))
	}
	slices.Sort(clean)
	var kept []string
	for _, p := range clean {
		if !slices.ContainsFunc(kept, func(above string) bool { return p == above || strings.HasPrefix(p, strings.TrimSuffix(above, "/")+"/") }) {
			kept = append(kept, p)
		}
	}
	return kept
}
