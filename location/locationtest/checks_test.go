package locationtest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

func TestGoodBucketsPass(t *testing.T) {
	folder := func() *blob.Bucket {
		b, err := file.Open(t.Context(), &location.Location{Type: location.TypeFile, Bucket: t.TempDir()})
		require.NoError(t, err)
		return b
	}
	for name, raw := range map[string]*blob.Bucket{
		"memory": memblob.OpenBucket(nil), "folder": folder(), "no faults": Faulty(memblob.OpenBucket(nil), Faults{}),
	} {
		t.Run(name, func(t *testing.T) {
			b := location.New(raw, &location.Options{Prefix: "some/prefix"})
			require.NoError(t, Run(t.Context(), b))
			objects, _, err := raw.ListPage(t.Context(), blob.FirstPageToken, 10, nil)
			require.NoError(t, err)
			require.Empty(t, objects, "nothing is left")
			require.NoError(t, b.Close())
		})
	}
}

// mutants are buckets that are broken on purpose, by the check that must notice it.
func mutants() map[string]func(*blob.Bucket) *blob.Bucket {
	commitsCancelled := func(b *blob.Bucket) *blob.Bucket { return Faulty(b, Faults{CommitCancelled: true}) }
	ignoresSlash := func(b *blob.Bucket) *blob.Bucket {
		return blob.NewBucket(&ignoringSlash{&faulty{Bucket: wrapblob.Bucket{B: b}}})
	}
	return map[string]func(*blob.Bucket) *blob.Bucket{
		"list":               fails(OpList),
		"put":                fails(OpWrite),
		"get":                damagesLater,
		"overwrite":          appends,
		"conditional create": ignoresExisting,
		"multipart":          losesTail,
		"read after write":   listsLate,
		"delete": func(b *blob.Bucket) *blob.Bucket {
			return blob.NewBucket(&keeping{faulty{Bucket: wrapblob.Bucket{B: b}}})
		},
		"clock":                                   func(b *blob.Bucket) *blob.Bucket { return blob.NewBucket(&late{faulty{Bucket: wrapblob.Bucket{B: b}}}) },
		"of racing creates one wins":              ignoresExisting,
		"what is written is read":                 damagesLater,
		"an empty object":                         losesEmpty,
		"an absent object is not found":           otherError,
		"a failed write stores nothing":           commitsCancelled,
		"a cancelled write stores nothing":        commitsCancelled,
		"a failed overwrite keeps the old object": commitsCancelled,
		"an overwrite replaces the whole object":  appends,
		"keys are told apart": func(b *blob.Bucket) *blob.Bucket {
			return blob.NewBucket(&ignoringCase{&faulty{Bucket: wrapblob.Bucket{B: b}}})
		},
		"lists keep to whole names": ignoresSlash,
		"lists have no end of page": func(b *blob.Bucket) *blob.Bucket {
			return blob.NewBucket(&onePage{&faulty{Bucket: wrapblob.Bucket{B: b}}})
		},
		"deletes keep to whole names":  ignoresSlash,
		"deleting nothing is no error": failsOnEmptyList,
		"writers do not mix":           mixes,
	}
}

func TestEveryCheckCatchesItsMutant(t *testing.T) {
	all := mutants()
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			mutant, ok := all[c.Name]
			require.True(t, ok, "a check without mutant proves nothing")
			delete(all, c.Name)
			b := location.New(mutant(memblob.OpenBucket(nil)), nil)
			require.Error(t, c.Run(t.Context(), b))
			require.NoError(t, b.Close())
		})
	}
	require.Empty(t, all)
}

func isRecord(key string) bool { return strings.Contains(key, ".davit/") }

// damagesLater flips a bit from the second time on that an object is read.
func damagesLater(b *blob.Bucket) *blob.Bucket {
	var mu sync.Mutex
	reads := map[string]int{}
	return Faulty(b, Faults{Read: func(key string, r io.Reader) io.Reader {
		mu.Lock()
		defer mu.Unlock()
		if reads[key]++; reads[key] == 1 || isRecord(key) {
			return r
		}
		return FlipBit(0)(key, r)
	}})
}

func losesEmpty(b *blob.Bucket) *blob.Bucket {
	return Faulty(b, Faults{Before: func(ctx context.Context, op Op, key string) error {
		if a, err := b.Attributes(ctx, key); op != OpRead || err != nil || a.Size > 0 {
			return nil //nolint:nilerr // an absent object is handled by the bucket
		}
		_, err := b.Attributes(ctx, "absent")
		return err
	}})
}

func otherError(b *blob.Bucket) *blob.Bucket {
	return Faulty(b, Faults{Before: func(ctx context.Context, op Op, key string) error {
		if ok, err := b.Exists(ctx, key); op == OpRead && !isRecord(key) && !ok && err == nil {
			return errors.New("internal server error")
		}
		return nil
	}})
}

// appends puts what is written behind what was there.
func appends(b *blob.Bucket) *blob.Bucket {
	return Faulty(b, Faults{Write: func(key string, w io.Writer) io.Writer {
		if old, err := b.ReadAll(context.Background(), key); err == nil && !isRecord(key) {
			_, _ = w.Write(old)
		}
		return w
	}})
}

func failsOnEmptyList(b *blob.Bucket) *blob.Bucket {
	return Faulty(b, Faults{Before: func(ctx context.Context, op Op, prefix string) error {
		if op != OpList {
			return nil
		}
		page, _, err := b.ListPage(ctx, blob.FirstPageToken, 1, &blob.ListOptions{Prefix: prefix})
		if err == nil && len(page) == 0 {
			return errors.New("no such prefix")
		}
		return err
	}})
}

// mixes damages what is written while another write is under way; the first two writers wait for each other.
func mixes(b *blob.Bucket) *blob.Bucket {
	var both sync.WaitGroup
	both.Add(2)
	var mu sync.Mutex
	writers := 0
	return Faulty(b, Faults{Write: func(key string, w io.Writer) io.Writer {
		mu.Lock()
		waits := !isRecord(key) && writers < 2
		if waits {
			writers++
		}
		mu.Unlock()
		if !waits {
			return w
		}
		both.Done()
		both.Wait()
		return writerFunc(func(p []byte) (int, error) { return w.Write(append([]byte{p[0] ^ 1}, p[1:]...)) })
	}})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// ignoringSlash lists a/10 below a/1.
type ignoringSlash struct{ *faulty }

func (d *ignoringSlash) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	sloppy := *opts
	sloppy.Prefix = strings.TrimSuffix(opts.Prefix, "/")
	return d.faulty.ListPaged(ctx, &sloppy)
}

// onePage forgets that there are more.
type onePage struct{ *faulty }

func (d *onePage) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	page, err := d.faulty.ListPaged(ctx, opts)
	if page != nil {
		page.NextPageToken = nil
	}
	return page, err
}

// ignoringCase is a store that has one object for two keys.
type ignoringCase struct{ *faulty }

func (d *ignoringCase) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	return d.faulty.Attributes(ctx, strings.ToLower(key))
}

func (d *ignoringCase) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	return d.faulty.NewRangeReader(ctx, strings.ToLower(key), offset, length, opts)
}

func (d *ignoringCase) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	return d.faulty.NewTypedWriter(ctx, strings.ToLower(key), contentType, opts)
}

func fails(op Op) func(*blob.Bucket) *blob.Bucket {
	return func(b *blob.Bucket) *blob.Bucket {
		return Faulty(b, Faults{Before: Fail(op, errors.New("refused"))})
	}
}

func ignoresExisting(b *blob.Bucket) *blob.Bucket {
	return blob.NewBucket(&careless{faulty{Bucket: wrapblob.Bucket{B: b}}})
}

// careless replaces what it must not.
type careless struct{ faulty }

func (d *careless) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	all := *opts
	all.IfNotExist = false
	return d.faulty.NewTypedWriter(ctx, key, contentType, &all)
}

// losesTail keeps 16 MiB of an object.
func losesTail(b *blob.Bucket) *blob.Bucket {
	return Faulty(b, Faults{Write: func(_ string, w io.Writer) io.Writer {
		left := 16 << 20
		return writerFunc(func(p []byte) (int, error) {
			n := min(left, len(p))
			left -= n
			_, err := w.Write(p[:n])
			return len(p), err
		})
	}})
}

// listsLate does not list the last object yet.
func listsLate(b *blob.Bucket) *blob.Bucket {
	return Faulty(b, Faults{List: func(page []*driver.ListObject) []*driver.ListObject { return page[:max(0, len(page)-1)] }})
}

// keeping deletes nothing.
type keeping struct{ faulty }

func (d *keeping) Delete(context.Context, string) error { return nil }

// late is a store whose clock is an hour behind.
type late struct{ faulty }

func (d *late) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := d.faulty.Attributes(ctx, key)
	if err == nil {
		a.ModTime = a.ModTime.Add(-time.Hour)
	}
	return a, err
}
