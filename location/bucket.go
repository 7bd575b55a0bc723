package location

import (
	"context"
	"slices"
	"sync"
	"time"

	"gocloud.dev/blob"
)

// Options of a bucket. Nil and zero are ready to use.
type Options struct {
	// Prefix is put before every key. Default none.
	Prefix string
	// ReadBack reads every object again after it was written, from its first byte to its last, although the store has confirmed a checksum of every
	// byte it keeps. Default: only where the store has not.
	ReadBack bool
	// Codecs are what objects go through on their way to the store, in this order, and back. Default none: objects are stored as they are.
	Codecs []Codec
}

// Bucket is a portable type over a blob bucket: writes are all or nothing and confirmed, reads are verified.
//
// Keys are cleaned: leading, trailing and double slashes go, and dots are resolved. A key that is empty, leads out of the
// prefix, holds control characters, is longer than about a thousand bytes or has a part named .davit is ErrKey.
type Bucket struct {
	blob     *blob.Bucket
	prefix   string
	err      error
	readBack bool
	codecs   []Codec
	buffers  sync.Pool
	// large are the buffers of reads.
	large sync.Pool
}

// New makes a bucket; Close closes b. A bad prefix or codec is reported by every method but Close.
func New(b *blob.Bucket, opts *Options) *Bucket {
	made := &Bucket{blob: b}
	made.buffers.New = func() any { return new([bufferSize]byte) }
	made.large.New = func() any { return new([readSize]byte) }
	if opts != nil {
		made.prefix, made.err = cleanPrefix(opts.Prefix)
		made.readBack, made.codecs = opts.ReadBack, slices.Clone(opts.Codecs)
		if made.err == nil {
			made.err = checkCodecs(made.codecs)
		}
	}
	return made
}

// Close closes the blob bucket.
func (b *Bucket) Close() error { return b.blob.Close() }

// Info describes an object.
type Info struct {
	// Key is without the bucket's prefix.
	Key string
	// Size in bytes, as it is stored.
	Size int64
	// Content is the size in bytes before the codecs; equal to Size where there are none. Not in what List yields.
	Content int64
	// Codecs are the names of those that the object went through, in the order of writing. Not in what List yields.
	Codecs []string
	// SHA256 is that of the object as it is stored, in lower-case hex; empty when it was never recorded, in what List yields, and in what Stat gives while the object is being
	// replaced by one of the same size.
	SHA256 string
	// ModTime is the store's.
	ModTime time.Time
}

// Stat describes the object as it was recorded, without reading it. It does not verify anything; an object whose
// size is not the recorded one is ErrCorrupt all the same. An absent one is ErrNotFound.
func (b *Bucket) Stat(ctx context.Context, key string) (Info, error) {
	full, err := b.fullKey(key)
	if err != nil {
		return Info{}, err
	}
	var info Info
	var rec *record
	for range statTries {
		attrs, err := b.blob.Attributes(ctx, full)
		if err != nil {
			return Info{}, b.absentOr(ctx, "look up object", full, err)
		}
		info = Info{Key: b.relative(full), Size: attrs.Size, Content: attrs.Size, ModTime: attrs.ModTime}
		if rec, err = b.readRecord(ctx, full); err != nil {
			return info, err
		}
		if rec == nil {
			info.Codecs = codecsOf(attrs.Metadata)
			info.Content = contentOf(info)
			return info, nil
		}
		if !rec.hasSize(info.Size) {
			if now, err := b.recordOf(ctx, full, func(r *record) bool { return r.hasSize(info.Size) }); err == nil && now != nil {
				rec = now
			}
		}
		if s := rec.ofSize(info.Size); s != nil {
			info.SHA256, info.Content, info.Codecs = rec.hashOf(info.Size), s.content(), s.Codecs
			return info, nil
		}
	}
	return info, corrupt(full, rec, info.Size, "")
}

// statTries is how often Stat looks: the object may be replaced between the look at it and that at its record.
const statTries = 4
