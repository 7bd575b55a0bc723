package location

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
)

// Trial is one property of a location that can be tried without harm to what is there.
type Trial struct {
	// Name is stable, in lower case: "get".
	Name string
	// Run returns an error when the location does not have the property. It works below a folder of its own, which it removes.
	Run func(ctx context.Context, b *Bucket) error
}

// Finding is what Check found out by one trial.
type Finding struct {
	Name string
	// Err is nil when the location has the property.
	Err  error
	Took time.Duration
	// NotTried tells that an earlier failure made the trial pointless.
	NotTried bool
}

// basic is how many of the trials need one right each; without it, the others would only say so again.
const basic = 4

// Trials are what Check tries, in its order: whether objects can be listed, written, read and deleted, each with one request of the store and one right; then whether
// they can be replaced, created only if absent, written in several parts, whether every kind of request sees at once what was written, and whether the clocks
// agree. Together they move about 100 MiB.
func Trials() []Trial {
	return []Trial{
		{"list", own(tryList)},
		{"put", own(tryPut)},
		{"get", own(tryGet)},
		{"delete", own(tryDelete)},
		{"overwrite", tidied(tryOverwrite)},
		{"conditional create", tidied(tryCreate)},
		{"multipart", tidied(tryMultipart)},
		{"read after write", tidied(tryReadAfterWrite)},
		{"clock", tidied(tryClock)},
	}
}

// Check tries a location with its credential: whether it can hold backups, and which right is missing if not. It writes below davit-check/ and removes
// that again, if it may. The error joins those of the findings; it is nil when all is well.
func Check(ctx context.Context, b *Bucket) ([]Finding, error) {
	var findings []Finding
	var faults []error
	pointless := false
	for i, t := range Trials() {
		f := Finding{Name: t.Name}
		if i == basic && faults != nil || ctx.Err() != nil && i > 0 {
			pointless = true
		}
		if f.NotTried = pointless; !pointless {
			began := time.Now()
			f.Err = t.Run(ctx, b)
			f.Took = time.Since(began)
		}
		if f.Err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", f.Name, f.Err))
		}
		if f.Err != nil && t.Name == "put" {
			pointless = true
		}
		findings = append(findings, f)
	}
	return findings, errors.Join(faults...)
}

// own gives the trial a folder of its own.
func own(run func(context.Context, *Bucket) error) func(context.Context, *Bucket) error {
	return func(ctx context.Context, b *Bucket) error {
		part, err := b.part("davit-check/" + hex.EncodeToString(random(8)))
		if err != nil {
			return err
		}
		return run(ctx, part)
	}
}

// tidied is own, and removes the folder.
func tidied(run func(context.Context, *Bucket) error) func(context.Context, *Bucket) error {
	return own(func(ctx context.Context, b *Bucket) error {
		err := run(ctx, b)
		if _, derr := b.Delete(context.WithoutCancel(ctx), "trial"); derr != nil && err == nil {
			err = fmt.Errorf("clean up: %w", derr)
		}
		return err
	})
}

// part is the part of the bucket under a prefix.
func (b *Bucket) part(prefix string) (*Bucket, error) {
	full, err := b.fullKey(prefix)
	if err != nil {
		return nil, err
	}
	p := New(b.blob, &Options{Prefix: full, ReadBack: b.readBack, Codecs: b.codecs})
	return p, p.err
}

const trialKey = "trial/object"

// random is a content that no codec makes smaller.
func random(size int) []byte {
	p := make([]byte, size)
	_, _ = rand.Read(p) // it never fails
	return p
}

func put(ctx context.Context, b *Bucket, content []byte) error {
	_, err := b.Write(ctx, trialKey, bytes.NewReader(content), nil)
	return err
}

// has checks that the object is there with that content.
func has(ctx context.Context, b *Bucket, key string, content []byte) error {
	var got bytes.Buffer
	if _, err := b.Read(ctx, key, &got, nil); err != nil {
		return err
	}
	if !bytes.Equal(got.Bytes(), content) {
		return fmt.Errorf("object %q: %d bytes were written, and %d others read", key, len(content), got.Len())
	}
	return nil
}

func gone(ctx context.Context, b *Bucket, key string) error {
	if _, err := b.Read(ctx, key, io.Discard, nil); err == nil {
		return fmt.Errorf("object %q was deleted and can still be read", key)
	} else if !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("object %q was deleted: %w", key, err)
	}
	return nil
}

// The basic trials go to the store itself: they are about one right each, and a Bucket needs more than one for most of what it does.

func tryList(ctx context.Context, b *Bucket) error {
	for _, err := range b.under(ctx, join(b.prefix, "trial")) {
		if err != nil {
			return err
		}
	}
	return nil
}

func tryPut(ctx context.Context, b *Bucket) error {
	full, err := b.fullKey(trialKey)
	if err != nil {
		return err
	}
	if err := b.blob.WriteAll(ctx, full, []byte("a trial"), nil); err != nil {
		return b.failed(ctx, "write object", full, err)
	}
	b.discard(ctx, full)
	return nil
}

// discard removes an object of a basic trial. Whether that can be done is another trial's matter.
func (b *Bucket) discard(ctx context.Context, full string) {
	_ = b.remove(context.WithoutCancel(ctx), full)
}

// remove deletes with one request, where blob.Bucket.Delete of some drivers looks first.
func (b *Bucket) remove(ctx context.Context, full string) error {
	refused, err := b.batcher().DeleteBatch(ctx, []string{full})
	return cmp.Or(err, refused[full])
}

func tryGet(ctx context.Context, b *Bucket) error {
	full, err := b.fullKey(trialKey)
	if err != nil {
		return err
	}
	content := random(4 << 10)
	if err := b.blob.WriteAll(ctx, full, content, nil); err != nil {
		return b.failed(ctx, "write object", full, err)
	}
	defer b.discard(ctx, full)
	for range 2 {
		got, err := b.blob.ReadAll(ctx, full)
		if err != nil {
			return b.failed(ctx, "read object", full, err)
		}
		if !bytes.Equal(got, content) {
			return fmt.Errorf("object %q: %d bytes were written, and %d others read", full, len(content), len(got))
		}
	}
	return nil
}

func tryDelete(ctx context.Context, b *Bucket) error {
	full, err := b.fullKey(trialKey)
	if err != nil {
		return err
	}
	if err := b.blob.WriteAll(ctx, full, []byte("a trial"), nil); err != nil {
		return b.failed(ctx, "write object", full, err)
	}
	if err := b.remove(ctx, full); err != nil {
		return fmt.Errorf("%w; what was tried is left behind below davit-check/", b.failed(ctx, "delete object", full, err))
	}
	if _, err := b.blob.Attributes(ctx, full); err == nil {
		return fmt.Errorf("object %q was deleted and is still there", full)
	}
	return nil
}

func tryOverwrite(ctx context.Context, b *Bucket) error {
	for _, size := range []int{2 << 10, 3 << 10, 1 << 10, 0} {
		content := random(size)
		if err := put(ctx, b, content); err != nil {
			return err
		}
		if err := has(ctx, b, trialKey, content); err != nil {
			return err
		}
	}
	return nil
}

// tryCreate checks conditional creates of small objects and of those in parts: a store may refuse the one and not the other.
func tryCreate(ctx context.Context, b *Bucket) error {
	for _, size := range []int{1 << 10, 2*rangeSize + 1} {
		first, key := random(size), fmt.Sprintf("trial/create-%d", size)
		opts := &WriteOptions{IfNotExist: true}
		if _, err := b.Write(ctx, key, bytes.NewReader(first), opts); err != nil {
			return err
		}
		if _, err := b.Write(ctx, key, bytes.NewReader(first[:1]), opts); !errors.Is(err, ErrExists) {
			return fmt.Errorf("object %q was there and was created again: want ErrExists, got %w", key, orNone(err))
		}
		if err := b.createsOnce(ctx, key, size); err != nil {
			return err
		}
		if err := has(ctx, b, key, first); err != nil {
			return err
		}
	}
	return nil
}

// createsOnce asks the store itself: a Write looks before.
func (b *Bucket) createsOnce(ctx context.Context, key string, size int) error {
	full, err := b.fullKey(key)
	if err != nil {
		return err
	}
	w := &write{b: b, full: full, opts: &WriteOptions{IfNotExist: true}}
	wctx, abort := context.WithCancel(ctx)
	defer abort()
	to, err := b.blob.NewWriter(wctx, full, w.options(nil))
	if err == nil {
		if _, err = to.Write(random(size)); err != nil {
			abort()
		}
		if cerr := to.Close(); err == nil {
			err = cerr
		}
	}
	if err = w.exists(err); !errors.Is(err, ErrExists) {
		return fmt.Errorf("the store lets a conditional create replace object %q: want ErrExists, got %w; two writers cannot be told apart there", key, orNone(err))
	}
	return nil
}

var errNone = errors.New("no error")

func orNone(err error) error {
	if err == nil {
		return errNone
	}
	return err
}

func tryMultipart(ctx context.Context, b *Bucket) error {
	content := random(2*rangeSize + rangeSize/2 + 1)
	if err := put(ctx, b, content); err != nil {
		return err
	}
	return has(ctx, b, trialKey, content)
}

func tryReadAfterWrite(ctx context.Context, b *Bucket) error {
	for range 4 {
		content := random(1 << 10)
		if err := put(ctx, b, content); err != nil {
			return err
		}
		if err := has(ctx, b, trialKey, content); err != nil {
			return err
		}
		listed := 0
		for _, err := range b.List(ctx, "trial") {
			if err != nil {
				return err
			}
			listed++
		}
		if listed != 1 {
			return fmt.Errorf("one object was written, and %d are listed: lists of this store lag behind", listed)
		}
		if _, err := b.Delete(ctx, "trial"); err != nil {
			return err
		}
		if err := gone(ctx, b, trialKey); err != nil {
			return err
		}
	}
	return nil
}

// maxDrift is how far the clocks may be apart. S3 refuses requests at 15 minutes; locks and the ages of objects are wrong long before.
const maxDrift = 3 * time.Minute

func tryClock(ctx context.Context, b *Bucket) error {
	before := time.Now()
	if err := put(ctx, b, []byte{1}); err != nil {
		return err
	}
	info, err := b.Stat(ctx, trialKey)
	if err != nil {
		return err
	}
	drift := info.ModTime.Sub(before)
	if after := time.Until(info.ModTime); drift < 0 && after < 0 {
		drift = after
	}
	if drift.Abs() > maxDrift {
		return fmt.Errorf("%w: that of the store is %s off, at most %s are allowed: set the clocks by NTP", ErrClock, drift.Round(time.Second), maxDrift)
	}
	return nil
}
