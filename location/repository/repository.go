package repository

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path"
	"strings"
	"time"

	"github.com/restic/chunker"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// Options of a repository. Nil and zero are ready to use.
type Options struct {
	// Path is where the repository is, below the bucket's prefix. Default: right there.
	Path string
	// Connections is how many requests are under way at once; of four of them, one uploads a pack of 16 MiB. Default 4.
	Connections int
	// Host and User are written into locks, keys and snapshots. Default: the system's.
	Host, User string
	// LockWait is how long to wait for a lock that is in the way. Default 0: ErrLocked at once.
	LockWait time.Duration
	// NoLock writes no locks, for reading with a credential that cannot write. What is read may then be removed meanwhile; what writes refuses to run.
	NoLock bool
	// ChunkSize is the average size of chunks near the beginning of a file, in bytes, in a repository that Init makes: a power of two from 16 KiB to 1 MiB. Default 64 KiB; see
	// ChunkSizeFor.
	ChunkSize int
	// Log says what goes on. Default: nothing.
	Log *slog.Logger

	// cost is N of scrypt for keys that are made. Default format.KeyCost; tests have no time for it.
	cost int
}

// DefaultChunkSize is that of Options.ChunkSize, in bytes.
const DefaultChunkSize = 64 << 10

// ChunkSizeFor is a good Options.ChunkSize for a new repository of a volume with so many bytes: DefaultChunkSize up to 128 GiB, and twice as much for each doubling from there on, up to 1 MiB
// beyond 1 TiB. So the index has about 2 million entries, or 120 MiB, and beyond 2 TiB one million, or 60 MiB, for each TiB.
func ChunkSizeFor(volume int64) int {
	size := DefaultChunkSize
	for limit := int64(128 << 30); volume > limit && size < 1<<20; limit *= 2 {
		size *= 2
	}
	return size
}

func (o *Options) withDefaults() (Options, error) {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Connections <= 0 {
		d.Connections = 4
	}
	if d.cost == 0 {
		d.cost = format.KeyCost
	}
	if d.ChunkSize == 0 {
		d.ChunkSize = DefaultChunkSize
	}
	if c := d.ChunkSize; c < 16<<10 || c > 1<<20 || c&(c-1) != 0 {
		return d, fmt.Errorf("a chunk size of %d bytes is no power of two from %d to %d", c, 16<<10, 1<<20)
	}
	d.Path = strings.Trim(path.Clean("/"+d.Path), "/")
	if d.Host == "" {
		d.Host, _ = os.Hostname() // an unknown host is an empty name
	}
	if d.User == "" {
		if u, err := user.Current(); err == nil {
			d.User = u.Username
		}
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d, nil
}

// Repository is an open repository.
type Repository struct {
	objects *location.Objects
	opts    Options
	log     *slog.Logger
	cfg     *format.Config
	key     *format.Key
	keyID   format.ID
	codec   *format.Codec
	idx     *index
	windows *windows
	packs   *packBuffers
	// writing holds a token while nobody writes.
	writing chan struct{}
}

// Init makes a repository, of which the password is the first key. One that is there is ErrExists, and is left as it is.
func Init(ctx context.Context, b *location.Bucket, password string, opts *Options) (*Repository, error) {
	r, err := prepare(b, password, opts)
	if err != nil {
		return nil, err
	}
	if exists, err := r.exists(ctx); err != nil {
		return nil, fmt.Errorf("look for a repository: %w", err)
	} else if exists {
		return nil, fmt.Errorf("make a repository: %w", ErrExists)
	}
	r.key = format.NewKey()
	polynomial, err := chunker.RandomPolynomial()
	if err != nil {
		return nil, fmt.Errorf("make a repository: %w", err)
	}
	r.cfg = &format.Config{
		Version: format.Version2, ID: format.NewID(), Polynomial: format.Polynomial(polynomial),
		Davit: &format.ConfigDavit{ChunkSize: r.opts.ChunkSize},
	}
	if r.keyID, err = r.addKey(ctx, password); err != nil {
		return nil, err
	}
	text, err := json.Marshal(r.cfg)
	if err == nil {
		err = r.objects.Put(ctx, r.file(configFile, format.ID{}), r.key.Seal(nil, text), true)
	}
	if err == nil {
		return r, nil
	}
	if errors.Is(err, location.ErrExists) {
		err = ErrExists
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	// Without its config the key is of no use; it would be in the way of the repository that has won.
	return nil, errors.Join(fmt.Errorf("make a repository: %w", err), r.remove(undo, keyFile, r.keyID))
}

// exists tells whether there is a config.
func (r *Repository) exists(ctx context.Context) (bool, error) {
	_, err := r.objects.Size(ctx, r.file(configFile, format.ID{}))
	if err == nil {
		return true, nil
	}
	if errors.Is(err, location.ErrNotFound) || errors.Is(err, location.ErrNoBucket) {
		// A write makes the folder of a file location.
		return false, nil
	}
	return false, err
}

// Open opens a repository with the password of any of its keys. No repository is ErrNoRepository, a password that fits no key ErrPassword.
func Open(ctx context.Context, b *location.Bucket, password string, opts *Options) (*Repository, error) {
	r, err := prepare(b, password, opts)
	if err != nil {
		return nil, err
	}
	sealed, err := r.objects.ReadAll(ctx, r.file(configFile, format.ID{}), maxSmall)
	if errors.Is(err, location.ErrNotFound) || errors.Is(err, location.ErrNoBucket) {
		return nil, fmt.Errorf("open the repository at %q: %w: %w", r.opts.Path, ErrNoRepository, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the repository at %q: %w", r.opts.Path, err)
	}
	if err := r.openKey(ctx, password, sealed); err != nil {
		return nil, fmt.Errorf("open the repository at %q: %w", r.opts.Path, err)
	}
	return r, nil
}

func prepare(b *location.Bucket, password string, opts *Options) (*Repository, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if password == "" {
		return nil, ErrNoPassword
	}
	r := &Repository{objects: b.Objects(), opts: o, log: o.Log, codec: format.NewCodec(), idx: newIndex(), writing: make(chan struct{}, 1)}
	r.windows, r.packs = newWindows(r), newPackBuffers(o.Connections)
	r.writing <- struct{}{}
	return r, nil
}

// ID is the repository's, 64 hexadecimal digits.
func (r *Repository) ID() string { return r.cfg.ID.String() }

// Version is that of the format, 1 or 2.
func (r *Repository) Version() int { return r.cfg.Version }

// file is the key of a file in the bucket.
func (r *Repository) file(kind fileKind, id format.ID) string {
	switch kind {
	case configFile:
		return path.Join(r.opts.Path, string(kind))
	case packFile:
		name := id.String()
		return path.Join(r.opts.Path, string(kind), name[:2], name)
	default:
		return path.Join(r.opts.Path, string(kind), id.String())
	}
}
