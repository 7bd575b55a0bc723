package location

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// maxFailures is how many objects may resist before Delete gives up.
const maxFailures = 10

// deleters is how many requests of a Delete are under way at once where the store deletes one object a request.
const deleters = 8

// Delete removes what List yields and returns how many objects that were. An empty prefix is refused. None is no error, so
// a second call does no harm. An object that cannot be removed does not stop the others; after ten of them Delete
// gives up. Its error says how many are gone, and which are not and why. Objects go in batches where the store can, else several at once.
func (b *Bucket) Delete(ctx context.Context, prefix string) (int, error) {
	full, err := b.fullKey(prefix)
	if err != nil {
		return 0, err
	}
	d := &deletion{b: b, batcher: b.batcher()}
	for o, err := range b.objects(ctx, full) {
		if err != nil {
			d.failures = append(d.failures, err)
			break
		}
		if d.keys = append(d.keys, o.Key); len(d.keys) == d.batcher.MaxBatch() {
			d.flush(ctx)
		}
		if len(d.failures) >= maxFailures || ctx.Err() != nil {
			break
		}
	}
	d.flush(ctx)
	if d.failures == nil {
		// Records of objects that are gone: an earlier Delete or Write died before it came to them.
		if err := b.sweep(ctx, full); err != nil {
			d.failures = append(d.failures, err)
		}
	}
	if d.failures != nil {
		return d.deleted, fmt.Errorf("delete %q: %d objects deleted, then: %w", full, d.deleted, errors.Join(d.failures[:min(maxFailures, len(d.failures))]...))
	}
	return d.deleted, nil
}

// deletion is one Delete under way.
type deletion struct {
	b        *Bucket
	batcher  BatchDeleter
	keys     []string
	deleted  int
	failures []error
}

// flush deletes the objects that were collected, then their records.
func (d *deletion) flush(ctx context.Context) {
	gone := d.delete(ctx, "delete object", d.keys)
	d.deleted += len(gone)
	for i, full := range gone {
		gone[i] = d.b.recordKey(d.b.relative(full))
	}
	d.delete(ctx, "delete the record", gone)
	d.keys = d.keys[:0]
}

func (d *deletion) delete(ctx context.Context, verb string, keys []string) (gone []string) {
	if len(keys) == 0 || len(d.failures) >= maxFailures || ctx.Err() != nil && len(d.failures) > 0 {
		return nil
	}
	refused, err := d.batcher.DeleteBatch(ctx, keys)
	if err != nil {
		d.failures = append(d.failures, d.b.failed(ctx, fmt.Sprintf("%s, one of %d of which the first is", verb, len(keys)), keys[0], err))
		return nil
	}
	for _, key := range keys {
		if err := refused[key]; err != nil {
			d.failures = append(d.failures, d.b.failed(ctx, verb, key, err))
		} else {
			gone = append(gone, key)
		}
	}
	return gone
}

func (b *Bucket) batcher() BatchDeleter {
	var batch BatchDeleter
	if b.blob.As(&batch) {
		return batch
	}
	return &oneByOne{b}
}

// oneByOne deletes with one request an object.
type oneByOne struct{ b *Bucket }

func (o *oneByOne) MaxBatch() int { return 100 }

func (o *oneByOne) DeleteBatch(ctx context.Context, keys []string) (map[string]error, error) {
	var mu sync.Mutex
	refused := map[string]error{}
	var tasks sync.WaitGroup
	slots := make(chan struct{}, deleters)
	for _, key := range keys {
		slots <- struct{}{}
		mu.Lock()
		enough := len(refused) >= maxFailures
		if enough || ctx.Err() != nil {
			refused[key] = cmp.Or(context.Cause(ctx), errNotTried)
		}
		mu.Unlock()
		if enough || ctx.Err() != nil {
			<-slots
			continue
		}
		tasks.Go(func() {
			defer func() { <-slots }()
			if err := o.b.blob.Delete(ctx, key); err != nil && !isAbsent(err) {
				mu.Lock()
				defer mu.Unlock()
				refused[key] = err
			}
		})
	}
	tasks.Wait()
	return refused, nil
}

var errNotTried = errors.New("not tried, as too many others could not be deleted")

// sweep removes the records at and below the full key.
func (b *Bucket) sweep(ctx context.Context, full string) error {
	if err := b.sweepClaims(ctx, full); err != nil {
		return err
	}
	if err := b.deleteRecord(ctx, full); err != nil {
		return err
	}
	for o, err := range b.under(ctx, join(b.prefix, records+"/"+b.relative(full))) {
		if err != nil {
			return err
		}
		if there, err := b.recordsAnObject(ctx, o.Key); err != nil {
			return err
		} else if there {
			continue
		}
		if err := b.blob.Delete(ctx, o.Key); err != nil && !isAbsent(err) {
			return b.failed(ctx, "delete the record", o.Key, err)
		}
	}
	return nil
}

// sweepClaims removes the records that creates have left beside others at and below the full key.
func (b *Bucket) sweepClaims(ctx context.Context, full string) error {
	for o, err := range b.under(ctx, b.claimsOf(full)) {
		if err != nil {
			return err
		}
		if err := b.blob.Delete(ctx, o.Key); err != nil && !isAbsent(err) {
			return b.failed(ctx, "delete the record", o.Key, err)
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
		return false, b.failed(ctx, "look up object", full, err)
	}
	return err == nil, nil
}
