package locationtest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/davit-project/davit/location"
)

// family are names that begin alike.
func family() []string {
	var keys []string
	for _, k := range []string{"a-0", "a.gz", "a/1.gz", "a/1/x", "a/1/y/z", "a/10", "ab"} {
		keys = append(keys, home+"/"+k)
	}
	return keys
}

func writeFamily(ctx context.Context, b *location.Bucket) error {
	for i, k := range family() {
		if err := write(ctx, b, k, data(uint64(i), 10)); err != nil {
			return err
		}
	}
	return nil
}

func listNames(ctx context.Context, b *location.Bucket) error {
	if err := writeFamily(ctx, b); err != nil {
		return err
	}
	all := family()
	for prefix, want := range map[string][]string{
		home: all, home + "/a": all[2:6], home + "/a/1": all[3:5], home + "/a/10": all[5:6], home + "/a.gz": all[1:2], home + "/a/2": nil,
	} {
		if err := lists(ctx, b, prefix, want...); err != nil {
			return err
		}
	}
	return nil
}

// pages is more than one page of a thousand, the usual size.
const pages = 1050

func listPages(ctx context.Context, b *location.Bucket) error {
	var want []string
	for i := range pages {
		want = append(want, fmt.Sprintf("%s/page/%04d", home, i))
	}
	if err := writeMany(ctx, b, want); err != nil {
		return err
	}
	if err := lists(ctx, b, home+"/page", want...); err != nil {
		return err
	}
	n, err := b.Delete(ctx, home+"/page")
	if err == nil && n != pages {
		return fmt.Errorf("deleted %d objects of %d", n, pages)
	}
	return err
}

func deleteNames(ctx context.Context, b *location.Bucket) error {
	if err := writeFamily(ctx, b); err != nil {
		return err
	}
	n, err := b.Delete(ctx, home+"/a/1")
	if err != nil {
		return err
	}
	if n != 2 {
		return fmt.Errorf("delete of two objects: %d were deleted", n)
	}
	all := family()
	if err := lists(ctx, b, home, all[0], all[1], all[2], all[5], all[6]); err != nil {
		return err
	}
	if err := notFound(ctx, b, all[3]); err != nil {
		return err
	}
	return holds(ctx, b, all[5], data(5, 10))
}

func deleteNothing(ctx context.Context, b *location.Bucket) error {
	if err := write(ctx, b, home+"/there", []byte("there")); err != nil {
		return err
	}
	for _, prefix := range []string{home + "/nothing", home + "/the", home + "/there/below"} {
		if n, err := b.Delete(ctx, prefix); err != nil || n != 0 {
			return fmt.Errorf("delete of nothing at %q: %d, %w", prefix, n, orNil(err))
		}
	}
	return holds(ctx, b, home+"/there", []byte("there"))
}

// writeMany writes empty objects, some at a time, as a remote store takes a while for each.
func writeMany(ctx context.Context, b *location.Bucket, keys []string) error {
	const atOnce = 16
	errs := make([]error, atOnce)
	var all sync.WaitGroup
	for i := range atOnce {
		all.Go(func() {
			for n := i; n < len(keys) && errs[i] == nil; n += atOnce {
				errs[i] = write(ctx, b, keys[n], nil)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
