package location

import (
	"context"
	"io"
	"iter"

	"gocloud.dev/blob"
)

// List yields the objects at key prefix and below it (prefix itself, or prefix followed by a slash), in constant memory. An
// empty prefix yields all. None is no error. They are sorted by their bytes wherever the store sorts, as location/file,
// memblob and the usual object stores do. SHA256 is left empty: Stat gives it. An error is yielded once, as the last
// element.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		full, err := b.fullPrefix(prefix)
		if err != nil {
			yield(Info{}, err)
			return
		}
		for o, err := range b.objects(ctx, full) {
			if err != nil {
				yield(Info{}, err)
				return
			}
			if !yield(Info{Key: b.relative(o.Key), Size: o.Size, ModTime: o.ModTime}, nil) {
				return
			}
		}
	}
}

// objects yields what is at and below the full key, but nothing that is reserved.
func (b *Bucket) objects(ctx context.Context, full string) iter.Seq2[blob.ListObject, error] {
	return func(yield func(blob.ListObject, error) bool) {
		if full != "" && full != b.prefix {
			attrs, err := b.blob.Attributes(ctx, full)
			switch {
			case isAbsent(err):
			case err != nil:
				yield(blob.ListObject{}, b.failed(ctx, "look up object", full, err))
				return
			default:
				if !yield(blob.ListObject{Key: full, Size: attrs.Size, ModTime: attrs.ModTime}, nil) {
					return
				}
			}
		}
		for o, err := range b.under(ctx, full) {
			if err == nil && isReserved(o.Key) {
				continue
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// under yields everything whose key begins with dir and a slash.
func (b *Bucket) under(ctx context.Context, dir string) iter.Seq2[blob.ListObject, error] {
	return func(yield func(blob.ListObject, error) bool) {
		opts := &blob.ListOptions{}
		if dir != "" {
			opts.Prefix = dir + "/"
		}
		it := b.blob.List(opts)
		for {
			err := context.Cause(ctx)
			var o *blob.ListObject
			if err == nil {
				o, err = it.Next(ctx)
			}
			if err == io.EOF { //nolint:errorlint // it is the iterator's documented end
				return
			}
			if err != nil {
				yield(blob.ListObject{}, b.failed(ctx, "list objects below", dir, err))
				return
			}
			if !yield(*o, nil) {
				return
			}
		}
	}
}
