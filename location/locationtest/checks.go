// Package locationtest holds checks that every bucket must pass, and a bucket that fails on purpose.
//
// A check returns an error instead of taking a testing.T, so that a host can try a location before it trusts it, in
// production too. Checks need an empty place of their own: give them a bucket with a prefix that nothing else uses.
// They remove what they wrote.
//
// # Errors
//
// A check's error says what was expected and what was found.
//
// # Concurrency
//
// Checks of one bucket run one after the other.
package locationtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/davit-project/davit/location"
)

// Check is one property of buckets. Its Run returns an error when the bucket does not have it. The bucket must be empty; it is empty afterwards unless the
// error says otherwise.
type Check = location.Trial

// Checks returns all checks: those of location.Check, and those that only tests need. Together they move about 90 MiB.
func Checks() []Check {
	checks := []Check{
		{Name: "what is written is read", Run: roundTrip},
		{Name: "an empty object", Run: empty},
		{Name: "an absent object is not found", Run: absent},
		{Name: "a failed write stores nothing", Run: failedWrite},
		{Name: "a cancelled write stores nothing", Run: cancelledWrite},
		{Name: "a failed overwrite keeps the old object", Run: failedOverwrite},
		{Name: "an overwrite replaces the whole object", Run: overwrite},
		{Name: "keys are told apart", Run: distinctKeys},
		{Name: "lists keep to whole names", Run: listNames},
		{Name: "lists have no end of page", Run: listPages},
		{Name: "deletes keep to whole names", Run: deleteNames},
		{Name: "deleting nothing is no error", Run: deleteNothing},
		{Name: "writers do not mix", Run: concurrent},
		{Name: "of racing creates one wins", Run: race},
	}
	for i := range checks {
		checks[i].Run = tidy(checks[i].Run)
	}
	return append(location.Trials(), checks...)
}

// Run runs all checks and returns their errors, joined, each with the name of its check.
func Run(ctx context.Context, b *location.Bucket) error {
	var faults []error
	for _, c := range Checks() {
		if err := c.Run(ctx, b); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	return errors.Join(faults...)
}

// home is the folder that checks write to.
const home = "davit-check"

// tidy runs the check and then removes what it wrote, also if it failed.
func tidy(run func(context.Context, *location.Bucket) error) func(context.Context, *location.Bucket) error {
	return func(ctx context.Context, b *location.Bucket) error {
		err := run(ctx, b)
		if _, derr := b.Delete(context.WithoutCancel(ctx), home); derr != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", derr))
		}
		return err
	}
}

// data returns bytes that look random and are the same for the same seed.
func data(seed uint64, size int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	p := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(p)
	return p
}

func write(ctx context.Context, b *location.Bucket, key string, content []byte) error {
	info, err := b.Write(ctx, key, bytes.NewReader(content), nil)
	if err == nil && info.Content != int64(len(content)) {
		return fmt.Errorf("wrote %d bytes to %q, the bucket says %d", len(content), key, info.Content)
	}
	return err
}

// holds checks that the object is there, verified, with that content.
func holds(ctx context.Context, b *location.Bucket, key string, content []byte) error {
	var got bytes.Buffer
	info, err := b.Read(ctx, key, &got, nil)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(content, got.Bytes()):
		return fmt.Errorf("object %q: read other content than was written", key)
	case info.SHA256 == "":
		return fmt.Errorf("object %q: there is no record of what was written", key)
	default:
		return nil
	}
}

func notFound(ctx context.Context, b *location.Bucket, key string) error {
	if _, err := b.Read(ctx, key, io.Discard, nil); !errors.Is(err, location.ErrNotFound) {
		return fmt.Errorf("read of absent object %q: want ErrNotFound, got %w", key, orNil(err))
	}
	if _, err := b.Stat(ctx, key); !errors.Is(err, location.ErrNotFound) {
		return fmt.Errorf("look up of absent object %q: want ErrNotFound, got %w", key, orNil(err))
	}
	return nil
}

var errNil = errors.New("no error")

func orNil(err error) error {
	if err == nil {
		return errNil
	}
	return err
}

// lists checks what the bucket lists below prefix.
func lists(ctx context.Context, b *location.Bucket, prefix string, want ...string) error {
	var got []string
	for info, err := range b.List(ctx, prefix) {
		if err != nil {
			return err
		}
		got = append(got, info.Key)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("list %q: want %q, got %q", prefix, brief(want), brief(got))
	}
	return nil
}

func brief(keys []string) []string {
	const most = 12
	if len(keys) <= most {
		return keys
	}
	return append(slices.Clone(keys[:most]), fmt.Sprintf("and %d more", len(keys)-most))
}
