package repository

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// maxKeys is how many keys a password is tried on; each costs about 0.1 s.
const maxKeys = 50

// Key is a key of the repository: a password that opens it.
type Key struct {
	// ID is 64 hexadecimal digits.
	ID string
	// Host and User say where it was made.
	Host, User string
	Created    time.Time
	// Current is the one that this Repository was opened with.
	Current bool
}

// Keys are those of the repository, the oldest first.
func (r *Repository) Keys(ctx context.Context) ([]Key, error) {
	var keys []Key
	for f, err := range r.list(ctx, keyFile) {
		if err != nil {
			return nil, err
		}
		parsed, err := r.loadKey(ctx, f.ID)
		if err != nil {
			return nil, err
		}
		keys = append(keys, Key{ID: f.ID.String(), Host: parsed.Hostname, User: parsed.Username, Created: parsed.Created, Current: f.ID == r.keyID})
	}
	slices.SortFunc(keys, func(a, b Key) int { return a.Created.Compare(b.Created) })
	return keys, nil
}

// AddKey makes the repository open with this password too and returns the key's ID.
func (r *Repository) AddKey(ctx context.Context, password string) (string, error) {
	if password == "" {
		return "", ErrNoPassword
	}
	id, err := r.addKey(ctx, password)
	return id.String(), err
}

// RemoveKey removes a key. The one that this Repository was opened with is refused, so that one always remains.
func (r *Repository) RemoveKey(ctx context.Context, id string) error {
	parsed, err := format.ParseID(id)
	if err != nil {
		return fmt.Errorf("remove a key: %w", err)
	}
	if parsed == r.keyID {
		return errors.New("remove a key: it is the one in use: open the repository with another password first")
	}
	return r.remove(ctx, keyFile, parsed)
}

func (r *Repository) addKey(ctx context.Context, password string) (format.ID, error) {
	made, err := format.NewKeyFile(r.key, password, &format.KeyFile{Username: r.opts.User, Hostname: r.opts.Host, N: r.opts.cost})
	if err != nil {
		return format.ID{}, fmt.Errorf("make a key: %w", err)
	}
	text, err := json.Marshal(made)
	if err != nil {
		return format.ID{}, fmt.Errorf("make a key: %w", err)
	}
	id := format.Hash(text)
	if err := r.objects.Put(ctx, r.file(keyFile, id), text, false); err != nil {
		return format.ID{}, fmt.Errorf("write a key: %w", err)
	}
	return id, nil
}

func (r *Repository) loadKey(ctx context.Context, id format.ID) (*format.KeyFile, error) {
	var text []byte
	err := r.again(ctx, func() (err error) {
		if text, err = r.objects.ReadAll(ctx, r.file(keyFile, id), maxSmall); err == nil && format.Hash(text) != id {
			err = fmt.Errorf("%w: the content of the key %s has another hash", ErrDamaged, id)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	return format.ParseKeyFile(text)
}

// openKey finds the key that the password opens, and the config with it. Keys that are damaged are passed over, and named if none opens.
func (r *Repository) openKey(ctx context.Context, password string, config []byte) error {
	var damaged []error
	tried := 0
	for f, err := range r.list(ctx, keyFile) {
		if err != nil {
			return err
		}
		if tried++; tried > maxKeys {
			return fmt.Errorf("%w, or not that of any of the first %d keys", ErrPassword, maxKeys)
		}
		parsed, err := r.loadKey(ctx, f.ID)
		if err != nil {
			damaged = append(damaged, err)
			continue
		}
		key, err := parsed.Open(password)
		if errors.Is(err, ErrPassword) {
			continue
		}
		if err == nil {
			err = r.adoptKey(key, config)
		}
		if err != nil {
			damaged = append(damaged, err)
			continue
		}
		r.keyID = f.ID
		return nil
	}
	switch {
	case len(damaged) > 0:
		return errors.Join(damaged...)
	case tried == 0:
		return fmt.Errorf("%w: it has a config but no key", ErrDamaged)
	default:
		return ErrPassword
	}
}

func (r *Repository) adoptKey(key *format.Key, config []byte) error {
	text, err := key.Open(slices.Clone(config))
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	cfg, err := format.ParseConfig(text)
	if err != nil {
		return err
	}
	if d := cfg.Davit; d != nil {
		if _, err := (&Options{ChunkSize: d.ChunkSize}).withDefaults(); err != nil || d.ChunkSize == 0 {
			return fmt.Errorf("%w: the config has a chunk size of %d bytes", ErrDamaged, d.ChunkSize)
		}
	}
	r.key, r.cfg = key, cfg
	return nil
}
