package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// CheckOptions may be nil.
type CheckOptions struct {
	// ReadData says which packs are read in whole and verified: "all" (or "100%"), a share of them chosen at random ("5%"), as many as have so many bytes, also at random ("500M"; K, M, G
	// and T are powers of 1024), or one of so many parts that make the whole ("1/7", "2/7", …, for one part each day). Default "": none.
	ReadData string
	// Progress is called now and then: trees are files, packs that are read are bytes. It must not block. Default none.
	Progress func(Progress)
}

// CheckReport is what a check found.
type CheckReport struct {
	// Findings are sorted by kind and object; the first thousand.
	Findings []Finding
	// Damages is how many findings that are no hints there are, Hints how many that are.
	Damages, Hints int
	// Snapshots, Trees, Blobs (those of files, each once) and Packs were looked at.
	Snapshots, Trees, Blobs, Packs int
	// Bytes is the size of all packs.
	Bytes int64
	// BlobsUnused are needed by no snapshot: a prune removes them.
	BlobsUnused int
	// PacksRead and BytesRead were verified in whole.
	PacksRead int
	BytesRead int64
}

// Err is nil if nothing is damaged; else ErrDamaged with the first finding.
func (r *CheckReport) Err() error {
	for _, f := range r.Findings {
		if !f.Hint {
			return fmt.Errorf("%w: %d findings, the first: %s", ErrDamaged, r.Damages, f)
		}
	}
	return nil
}

// FindingKind tells what is wrong.
type FindingKind string

// Kinds of findings.
const (
	// FoundConfig is a config that cannot be read any more.
	FoundConfig FindingKind = "config-damaged"
	// FoundKey is a key that cannot be read: its password does not open the repository.
	FoundKey FindingKind = "key-damaged"
	// FoundIndex is an index file that cannot be read: what only it lists is not found.
	FoundIndex FindingKind = "index-damaged"
	// FoundPackMissing is a pack that the index lists and that is not there.
	FoundPackMissing FindingKind = "pack-missing"
	// FoundPackSize is a pack that is longer or shorter than the index says.
	FoundPackSize FindingKind = "pack-size"
	// FoundPackDamaged is a pack whose content is not what was written.
	FoundPackDamaged FindingKind = "pack-damaged"
	// FoundPackHeader is a pack whose blobs are good, but whose header cannot be read or says something else than the index: the index could not be rebuilt from it.
	FoundPackHeader FindingKind = "pack-header"
	// FoundSnapshot is a snapshot file that cannot be read.
	FoundSnapshot FindingKind = "snapshot-damaged"
	// FoundTree is a folder that cannot be read, or is nowhere.
	FoundTree FindingKind = "tree-damaged"
	// FoundBlob is a piece of files that is nowhere.
	FoundBlob FindingKind = "blob-missing"
	// FoundFileSize is a file whose pieces have another size than it says.
	FoundFileSize FindingKind = "file-size"
	// FoundPackUnindexed is a hint: a pack that is in no index. Somebody is writing it, or a crash left it.
	FoundPackUnindexed FindingKind = "pack-unindexed"
	// FoundPackGone is a hint: the index lists a pack that is gone, but nothing needs it.
	FoundPackGone FindingKind = "pack-gone"
)

// Finding is something that is not as it should be.
type Finding struct {
	Kind FindingKind
	// Hint is set for what harms no snapshot.
	Hint bool
	// Object is the full ID of the file or blob it is about; empty for the config.
	Object string
	// What is wrong, what it means, and what to do, each a sentence without a full stop.
	What, Means, Do string
	// Snapshots are the IDs of those that are hurt, up to a hundred; SnapshotsHurt is how many there are.
	Snapshots     []string
	SnapshotsHurt int
	// Files are paths that are hurt, those of folders ending in a slash, up to a hundred; FilesHurt is how many there are. What several snapshots have in the very same folder is
	// counted once, with the path in the oldest.
	Files     []string
	FilesHurt int
}

// String is one line: what, where, and what to do.
func (f Finding) String() string {
	s := string(f.Kind)
	if f.Object != "" {
		s += " " + f.Object[:min(8, len(f.Object))]
	}
	s += ": " + f.What
	if f.SnapshotsHurt > 0 {
		s += fmt.Sprintf("; %d snapshots are hurt", f.SnapshotsHurt)
	}
	if f.FilesHurt > 0 {
		s += fmt.Sprintf(", %d files, such as %q", f.FilesHurt, f.Files[0])
	}
	return s + ": " + f.Do
}

const (
	// maxFindings is how many findings are reported, maxHurt how many snapshots and files each names.
	maxFindings = 1000
	maxHurt     = 100
)

// Check looks whether every snapshot can be restored: config, keys, snapshots, index files and trees are read, every piece of every file must be in a pack that is there and has the right
// size, and with CheckOptions.ReadData packs are read and verified. It takes a lock that others beside it may have too, so that it can run while backups do.
//
// The error says why the check could not be done; what is damaged is in the report, see CheckReport.Err. It keeps in memory the index, a bit for each blob, and about 5 MiB and a blob for
// each of Options.Connections.
func (r *Repository) Check(ctx context.Context, opts *CheckOptions) (CheckReport, error) {
	c := &checker{r: r, hurt: map[uint32]*Finding{}, lost: map[format.Handle]*Finding{}, seen: map[findingKey]*Finding{}, odd: map[uint32]*oddFiles{}}
	if opts != nil {
		c.opts = *opts
	}
	part, err := parseReadData(c.opts.ReadData)
	if err != nil {
		return CheckReport{}, fmt.Errorf("check: %w", err)
	}
	ctx, unlock, err := r.lock(ctx, false)
	if err != nil {
		return CheckReport{}, fmt.Errorf("check: %w", err)
	}
	c.meter = newMeter(c.opts.Progress)
	err = c.run(ctx, part)
	c.meter.finish()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	c.finish()
	if err = errors.Join(err, unlock()); err != nil {
		return c.report, fmt.Errorf("check: %w", err)
	}
	return c.report, nil
}
