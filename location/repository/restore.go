package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// Overwrite tells what a restore does about files that are in the target already. Folders are always shared, and anything else that is in the way of a folder is replaced.
type Overwrite int

const (
	// OverwriteDifferent reads the files that have the right size, and replaces those whose content differs: what a disk has damaged has the right size and time as well. A
	// restore that is taken up again goes on where it was.
	OverwriteDifferent Overwrite = iota
	// OverwriteChanged replaces files unless they have the size and the time of modification that the snapshot has, without reading them. After a crash of the whole machine it is
	// not enough: names and times may have reached the disk when the content had not.
	OverwriteChanged
	// OverwriteAlways replaces all.
	OverwriteAlways
	// OverwriteNever leaves everything as it is that is there.
	OverwriteNever
)

// Owners tells whether a restore sets owner and group, by their numbers.
type Owners int

const (
	// OwnersAsRoot sets them when the process is root; that one cannot be set is then an error.
	OwnersAsRoot Owners = iota
	// OwnersAlways tries it; when the process is not root, one that cannot be set is a warning.
	OwnersAlways
	// OwnersNever leaves them.
	OwnersNever
)

// RestoreOptions of a restore. Nil and zero are ready to use.
type RestoreOptions struct {
	// Path in the snapshot: the contents of a folder go to the target, a file goes there under its own name. Default: all.
	Path string
	// TargetMeta gives the target itself the owner, mode, times and attributes that the folder at Path has; the root of a snapshot has none. Default: the target's own stay.
	TargetMeta bool
	// Include and Exclude are patterns as of path.Match, against paths in the snapshot; "**" stands for any number of folders. One that begins with a slash begins at the
	// snapshot's root, others anywhere. What matches includes all that is below it. Default: everything, nothing.
	Include, Exclude []string
	// Overwrite tells what happens to files that are there. Default: OverwriteDifferent.
	Overwrite Overwrite
	// Delete removes from the target what is not in the snapshot, once all the rest is restored without an error. Default: it stays.
	Delete bool
	// Owners tells whether owners are set. Default: OwnersAsRoot.
	Owners Owners
	// SetID restores set-uid bits, set-gid bits of files and file capabilities. Default: they are left out and counted. Set-gid bits of folders are always restored.
	SetID bool
	// Devices restores device nodes. Default: they are left out and counted.
	Devices bool
	// Dense writes zeros where a file has long runs of them. Default: they become holes.
	Dense bool
	// NoSync returns before the system has written everything to the disk. Default: what is reported as restored survives a crash of the machine.
	NoSync bool
	// Workers is how many packs are read, verified and written at once. Default: Options.Connections.
	Workers int
	// Progress, if set, is called about once a second, and at the end.
	Progress func(Progress)
}

// RestoreSummary is what a restore has done.
type RestoreSummary struct {
	// Files were written, with this many Bytes of content, holes included.
	Files, Bytes int64
	// Unchanged files were there already, with this many bytes, or had to stay because of OverwriteNever.
	Unchanged, UnchangedBytes int64
	// Folders, Symlinks, HardLinks (names of a file beside its first one) and Specials (devices, pipes) that are now there.
	Folders, Symlinks, HardLinks, Specials int64
	// Deleted are the entries that Delete removed; a folder counts as one.
	Deleted int64
	// Failed is how many entries could not be restored as they were, or at all. The error tells which.
	Failed int64
	// LeftOutDevices, LeftOutSockets and LeftOutSetIDs count what was left out on purpose: devices without Devices, sockets always, and bits and capabilities without SetID.
	LeftOutDevices, LeftOutSockets, LeftOutSetIDs int64
	// Warnings are the first 100 of WarningCount: metadata that could not be set and that nobody can expect to be.
	Warnings     []string
	WarningCount int64
	Duration     time.Duration
}

// Restore writes a snapshot, or a part of it, into the folder target, which is made if it is absent. The id is as for Find.
//
// Files are written in a folder ".davit-restore-..." in the target and renamed to their names when they are complete: nobody ever sees half a file, and a file that is there is
// replaced at once. What a restore that was killed has left in such a folder is removed by the next one. Whatever the snapshot says, and whatever others put into the target
// meanwhile, nothing outside of the target is changed: no link in it is followed.
//
// What cannot be restored is reported in the error, the first 20 by name, and the others are restored nevertheless; files whose content is missing or damaged are not written at all.
// A target that is full or cannot be written, or an end of the context, ends the restore; the summary then tells what was done.
//
// It holds a shared lock. Memory: the index, a chunk for each of the Workers, folders on the way, 12 MiB of packs with trees, and the plan of about 6 GiB of content or 100,000
// chunks, however large the snapshot is.
func (r *Repository) Restore(ctx context.Context, id, target string, opts *RestoreOptions) (RestoreSummary, error) {
	o := RestoreOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Workers <= 0 {
		o.Workers = r.opts.Connections
	}
	begun := time.Now()
	var summary RestoreSummary
	fil, err := newFilter(o.Include, o.Exclude)
	if err == nil {
		err = r.read(ctx, id, o.Path, func(ctx context.Context, s Snapshot, at *format.Node) (err error) {
			summary, err = r.restore(ctx, &restoreTask{snapshot: s, at: at, target: target, opts: o, filter: fil})
			return err
		})
	}
	summary.Duration = time.Since(begun)
	if err != nil {
		return summary, fmt.Errorf("restore snapshot %.8s to %q: %w", id, target, err)
	}
	return summary, nil
}

// restoreTask is what is to be restored.
type restoreTask struct {
	snapshot Snapshot
	at       *format.Node
	target   string
	opts     RestoreOptions
	filter   *filter
}
