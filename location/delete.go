package location

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxFailures is how many objects may resist before Delete gives up.
const maxFailures = 10

// Delete removes what List yields and returns how many objects that were. An empty prefix is refused. None is no error, so
// a second call does no harm. An object that cannot be removed does not stop the others; after ten of them Delete
// gives up. Its error says how many are gone, and which are not and why.
func (b *Bucket) Delete(ctx context.Context, prefix string) (int, error) {
	full, err := b.fullKey(prefix)
	if err != nil {
		return 0, err
	}
	deleted := 0
	var failures []error
	for o, err := range b.objects(ctx, full) {
		if err == nil {
			err = b.deleteObject(ctx, o.Key)
		}
		if err == nil {
			deleted++
			continue
		}
		failures = append(failures, err)
		if len(failures) == maxFailures || ctx.Err() != nil {
			break
		}
	}
	if failures == nil {
		// Records of objects that are gone: an earlier Delete or Write died before it came to them.
		if err := b.sweep(ctx, full); err != nil {
			failures = append(failures, err)
		}
	}
	if failures != nil {
		return deleted, fmt.Errorf("delete %q: %d objects deleted, then: %w", full, deleted, errors.Join(failures...))
	}
	return deleted, nil
}

func (b *Bucket) deleteObject(ctx context.Context, full string) error {
	if err := b.blob.Delete(ctx, full); err != nil && !isAbsent(err) {
		return failed(ctx, "delete object", full, err)
	}
	return b.deleteRecord(ctx, full)
}

// sweep removes the records at and below the full key.
func (b *Bucket) sweep(ctx context.Context, full string) error {
	if err := b.deleteRecord(ctx, full); err != nil {
		return err
	}
	for o, err := range b.below(ctx, join(b.prefix, records+"/"+b.relative(full))) {
		if err != nil {
			return err
		}
		if there, err := b.recordsAnObject(ctx, o.Key); err != nil {
			return err
		} else if there {
			continue
		}
		if err := b.blob.Delete(ctx, o.Key); err != nil && !isAbsent(err) {
			return failed(ctx, "delete the record", o.Key, err)
		}
	}
	return nil
}

// recordsAnObject tells whether there is an object that belongs to the record; somebody may just have written it.
func (b *Bucket) recordsAnObject(ctx context.Context, recordKey string) (bool, error) {
	key := strings.TrimSuffix(strings.TrimPrefix(recordKey, join(b.prefix, records)+"/"), recorded)
	full := join(b.prefix, key)
	_, err := b.blob.Attributes(ctx, full)
	if err != nil && !isAbsent(err) {
		return false, failed(ctx, "look up object", full, err)
	}
	return err == nil, nil
}
