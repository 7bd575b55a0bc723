package location

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gocloud.dev/blob"
)

// sum is what an object was when it was written.
type sum struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Written is when, in UTC.
	Written time.Time `json:"written"`
	// Codecs are what it went through, in that order, and Content is its size before them.
	Codecs  []string `json:"codecs,omitempty"`
	Content *int64   `json:"content,omitempty"`
}

// content is the size before the codecs.
func (s *sum) content() int64 {
	if s.Content == nil {
		return s.Size
	}
	return *s.Content
}

// record is kept beside every object. It is stored before the object is committed, so that at no time an object that is
// there lacks it or is taken for a damaged one, wherever the writer dies.
type record struct {
	sum
	// Previous is what the object was, while it is being replaced.
	Previous *sum `json:"previous,omitempty"`
}

func (r *record) sums() []sum {
	if r.Previous == nil {
		return []sum{r.sum}
	}
	return []sum{r.sum, *r.Previous}
}

// matches tells whether an object of this size and hash is what was recorded.
func (r *record) matches(size int64, hash string) bool {
	for _, s := range r.sums() {
		if s.Size == size && s.SHA256 == hash {
			return true
		}
	}
	return false
}

// ofSize returns the first that an object of this size can be; nil if it can be none.
func (r *record) ofSize(size int64) *sum {
	for _, s := range r.sums() {
		if s.Size == size {
			return &s
		}
	}
	return nil
}

// hasSize tells whether an object of this size can match.
func (r *record) hasSize(size int64) bool { return r.ofSize(size) != nil }

// hashOf returns the hash of an object of this size; empty when there are two.
func (r *record) hashOf(size int64) string {
	hash := ""
	for _, s := range r.sums() {
		if s.Size != size || s.SHA256 == hash {
			continue
		}
		if hash != "" {
			return ""
		}
		hash = s.SHA256
	}
	return hash
}

// maxRecord bounds what is read of a record; one has about 300 bytes.
const maxRecord = 4 << 10

// readRecord returns nil without error when there is none.
func (b *Bucket) readRecord(ctx context.Context, full string) (*record, error) {
	return b.readRecordAt(ctx, full, b.recordKey(b.relative(full)))
}

// recordOf reads the record of the object anew, after it was found that one does not match: the object may have been replaced meanwhile, or created by one of
// several writers that died before it could make its record the only one. It returns the one that fits; nil if none does.
func (b *Bucket) recordOf(ctx context.Context, full string, fits func(*record) bool) (*record, error) {
	rec, err := b.readRecord(ctx, full)
	if err != nil || rec != nil && fits(rec) {
		return rec, err
	}
	for o, err := range b.under(ctx, b.claimsOf(full)) {
		if err != nil {
			return nil, err
		}
		if rec, err := b.readRecordAt(ctx, full, o.Key); err == nil && rec != nil && fits(rec) {
			return rec, nil
		}
	}
	return nil, nil
}

func (b *Bucket) readRecordAt(ctx context.Context, full, key string) (*record, error) {
	d, err := b.download(ctx, key, nil)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the record of object %q: %w", full, err)
	}
	defer d.close()
	var text bytes.Buffer
	if d.size <= maxRecord {
		if err := d.stream(ctx, &text, newMeter(nil)); err != nil {
			return nil, b.failed(ctx, "read the record of object", full, err)
		}
	}
	var rec record
	if json.Unmarshal(text.Bytes(), &rec) != nil || !rec.valid() {
		return nil, fmt.Errorf("%w: object %q: its record %q is damaged; verify the object by other means, then delete the record",
			ErrCorrupt, full, key)
	}
	return &rec, nil
}

func (r *record) valid() bool {
	for _, s := range r.sums() {
		if h, err := hex.DecodeString(s.SHA256); err != nil || len(h) != 32 || s.Size < 0 || s.content() < 0 {
			return false
		}
	}
	return true
}

// writeRecord stores a record of the object there, locked as the object is. A conditional one must not be there yet.
func (w *write) writeRecord(ctx context.Context, key string, rec record, conditional bool) error {
	text, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var driver *Upload
	to, err := w.b.blob.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: "application/json", IfNotExist: conditional, BeforeWrite: func(as func(any) bool) error { return w.ask(as, &driver) },
	})
	if err != nil {
		return w.b.failed(ctx, "write the record of object", w.full, err)
	}
	if _, err = to.Write(text); err != nil {
		cancel()
		_ = to.Close()
		return w.b.failed(context.WithoutCancel(ctx), "write the record of object", w.full, err)
	}
	if err = to.Close(); err != nil {
		return w.b.failed(ctx, "write the record of object", w.full, err)
	}
	return nil
}

func (w *write) recordKey() string { return w.b.recordKey(w.b.relative(w.full)) }

// deleteRecord removes the record if there is one.
func (b *Bucket) deleteRecord(ctx context.Context, full string) error {
	err := b.blob.Delete(ctx, b.recordKey(b.relative(full)))
	if err != nil && !isAbsent(err) {
		return b.failed(ctx, "delete the record of object", full, err)
	}
	return nil
}

func corrupt(full string, rec *record, size int64, hash string) error {
	if !rec.hasSize(size) {
		return fmt.Errorf("%w: object %q has %d bytes, recorded were %d: it was damaged, or replaced by another tool", ErrCorrupt, full,
			size, rec.Size)
	}
	return fmt.Errorf("%w: object %q has SHA-256 %s, recorded was %s: it was damaged, or replaced by another tool", ErrCorrupt, full,
		hash, rec.SHA256)
}
