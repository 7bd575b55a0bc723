package locationtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/davit-project/davit/location"
)

func roundTrip(ctx context.Context, b *location.Bucket) error {
	for i, size := range []int{1, 511, 513, 1 << 20, 5<<20 + 7} {
		key := fmt.Sprintf("%s/size/%d", home, size)
		content := data(uint64(i), size)
		if err := write(ctx, b, key, content); err != nil {
			return err
		}
		if err := holds(ctx, b, key, content); err != nil {
			return err
		}
		if _, err := b.Verify(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func empty(ctx context.Context, b *location.Bucket) error {
	if err := write(ctx, b, home+"/empty", nil); err != nil {
		return err
	}
	return holds(ctx, b, home+"/empty", nil)
}

func absent(ctx context.Context, b *location.Bucket) error {
	if err := write(ctx, b, home+"/there", []byte("there")); err != nil {
		return err
	}
	return errors.Join(notFound(ctx, b, home+"/absent"), notFound(ctx, b, home+"/there2"))
}

var errStop = errors.New("stopped on purpose")

// broken gives some bytes and then fails.
func broken(size int) io.Reader {
	return io.MultiReader(bytes.NewReader(data(1, size)), failing{})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errStop }

func failedWrite(ctx context.Context, b *location.Bucket) error {
	for _, size := range []int{0, 10, 3 << 20} {
		key := fmt.Sprintf("%s/failed-%d", home, size)
		if _, err := b.Write(ctx, key, broken(size), nil); !errors.Is(err, errStop) {
			return fmt.Errorf("want the reader's error, got %w", orNil(err))
		}
		if err := notFound(ctx, b, key); err != nil {
			return err
		}
	}
	return lists(ctx, b, home)
}

func cancelledWrite(ctx context.Context, b *location.Bucket) error {
	cctx, cancel := context.WithCancelCause(ctx)
	r := io.MultiReader(bytes.NewReader(data(1, 3<<20)), cancelling{cancel}, bytes.NewReader(data(2, 100)))
	if _, err := b.Write(cctx, home+"/cancelled", r, nil); !errors.Is(err, errStop) {
		return fmt.Errorf("want the context's cause, got %w", orNil(err))
	}
	return errors.Join(notFound(ctx, b, home+"/cancelled"), lists(ctx, b, home))
}

// cancelling ends the context when it is read.
type cancelling struct{ cancel context.CancelCauseFunc }

func (c cancelling) Read([]byte) (int, error) {
	c.cancel(errStop)
	return 0, io.EOF
}

func failedOverwrite(ctx context.Context, b *location.Bucket) error {
	old := data(1, 2<<20)
	if err := write(ctx, b, home+"/kept", old); err != nil {
		return err
	}
	if _, err := b.Write(ctx, home+"/kept", broken(100), nil); !errors.Is(err, errStop) {
		return fmt.Errorf("want the reader's error, got %w", orNil(err))
	}
	return holds(ctx, b, home+"/kept", old)
}

func overwrite(ctx context.Context, b *location.Bucket) error {
	for i, size := range []int{2 << 20, 100, 0, 1000} {
		content := data(uint64(i), size)
		if err := write(ctx, b, home+"/replaced", content); err != nil {
			return err
		}
		if err := holds(ctx, b, home+"/replaced", content); err != nil {
			return err
		}
	}
	return lists(ctx, b, home, home+"/replaced")
}

func distinctKeys(ctx context.Context, b *location.Bucket) error {
	keys := []string{"case", "Case", "sp ace", "ümläut", "日本", "per%20cent", "per cent", "a+b", "a&b", "q?x=1", "#", "~", "back\\slash", "__0x2f__", "x.attrs2"}
	for i, k := range keys {
		if err := write(ctx, b, home+"/"+k, data(uint64(i), 100)); err != nil {
			return err
		}
	}
	for i, k := range keys {
		if err := holds(ctx, b, home+"/"+k, data(uint64(i), 100)); err != nil {
			return err
		}
	}
	return nil
}

func concurrent(ctx context.Context, b *location.Bucket) error {
	const writers = 4
	errs := make([]error, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() { errs[i] = write(ctx, b, fmt.Sprintf("%s/writer/%d", home, i), data(uint64(i), 1<<20+i)) })
	}
	all.Wait()
	for i := range writers {
		if errs[i] == nil {
			errs[i] = holds(ctx, b, fmt.Sprintf("%s/writer/%d", home, i), data(uint64(i), 1<<20+i))
		}
	}
	return errors.Join(errs...)
}
