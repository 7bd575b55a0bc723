package repository

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"time"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// fileKind is a kind of file, and the folder it is in.
type fileKind string

const (
	configFile   fileKind = "config"
	keyFile      fileKind = "keys"
	lockFile     fileKind = "locks"
	indexFile    fileKind = "index"
	snapshotFile fileKind = "snapshots"
	packFile     fileKind = "data"
)

const (
	// maxSmall is how long a file other than packs and indexes may be, in bytes, sealed and compressed or not.
	maxSmall = 16 << 20
	// undoTime bounds what is done after a failure or a cancel.
	undoTime = 30 * time.Second
	// tries is how often a read is tried.
	tries = 4
)

// limit is how long a file of the kind may be, in bytes.
func (k fileKind) limit() int64 {
	if k == indexFile {
		return format.MaxUnpacked
	}
	return maxSmall
}

// saveFile seals the content, compressed where the repository's version does, and stores it under its hash.
func (r *Repository) saveFile(ctx context.Context, kind fileKind, content []byte) (format.ID, error) {
	sealed := r.key.Seal(nil, r.codec.Pack(r.cfg.Version, content))
	id := format.Hash(sealed)
	if err := r.objects.Put(ctx, r.file(kind, id), sealed, false); err != nil {
		return id, fmt.Errorf("write to the repository's %s: %w", kind, err)
	}
	return id, nil
}

func (r *Repository) saveJSON(ctx context.Context, kind fileKind, v any) (format.ID, error) {
	content, err := json.Marshal(v)
	if err != nil {
		return format.ID{}, fmt.Errorf("write to the repository's %s: %w", kind, err)
	}
	return r.saveFile(ctx, kind, content)
}

// loadFile returns what saveFile was given. A file that is not what its name says is read once more, then it is ErrDamaged.
func (r *Repository) loadFile(ctx context.Context, kind fileKind, id format.ID) ([]byte, error) {
	var content []byte
	err := r.again(ctx, func() error {
		sealed, err := r.objects.ReadAll(ctx, r.file(kind, id), kind.limit())
		if err != nil {
			return err
		}
		if format.Hash(sealed) != id {
			return fmt.Errorf("%w: the content of %s/%s has another hash", ErrDamaged, kind, id)
		}
		plain, err := r.key.Open(sealed)
		if err == nil {
			content, err = r.codec.Unpack(plain, int(kind.limit()))
		}
		if err != nil {
			return fmt.Errorf("%s/%s: %w", kind, id, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read from the repository: %w", err)
	}
	return content, nil
}

// again does it up to tries times, with pauses, until it works or the error would not go away.
func (r *Repository) again(ctx context.Context, do func() error) error {
	pause := 100 * time.Millisecond
	for try := 1; ; try++ {
		err := do()
		damaged := errors.Is(err, ErrDamaged) || errors.Is(err, location.ErrCorrupt)
		if err == nil || try == tries || lasting(err) || damaged && try > 1 || ctx.Err() != nil {
			return err
		}
		if damaged {
			// It may have been damaged on its way.
			continue
		}
		r.log.DebugContext(ctx, "a read from the repository is tried again", "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause *= 4
	}
}

// lasting tells whether an error would come again.
func lasting(err error) bool {
	for _, target := range []error{location.ErrNotFound, location.ErrNoBucket, location.ErrCredential, location.ErrClock, location.ErrKey, fs.ErrPermission} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// stored is a file of the repository.
type stored struct {
	ID      format.ID
	Size    int64
	ModTime time.Time
}

// list yields the files of a kind. Names that are no IDs are left out: they are not the repository's.
func (r *Repository) list(ctx context.Context, kind fileKind) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		for info, err := range r.objects.List(ctx, path.Join(r.opts.Path, string(kind))) {
			if err != nil {
				yield(stored{}, fmt.Errorf("list the repository's %s: %w", kind, err))
				return
			}
			id, err := format.ParseID(path.Base(info.Key))
			if err != nil || r.file(kind, id) != info.Key {
				continue
			}
			if !yield(stored{id, info.Size, info.ModTime}, nil) {
				return
			}
		}
	}
}

// remove removes files of a kind. Absent ones are no error.
func (r *Repository) remove(ctx context.Context, kind fileKind, ids ...format.ID) error {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = r.file(kind, id)
	}
	if err := r.objects.Delete(ctx, keys...); err != nil {
		return fmt.Errorf("remove from the repository's %s: %w", kind, err)
	}
	return nil
}
