package azure

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Azure's own checksum, beside others
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

// undoTime bounds the clean-up after a failed write.
const undoTime = 30 * time.Second

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writer streams one object: as one request if it fits into a buffer, else in blocks.
type writer struct {
	ctx    context.Context
	b      *bucket
	client *blockblob.Client
	blocks *blocks
	id     string
	up     *location.Upload

	headers    *blob.HTTPHeaders
	metadata   map[string]*string
	conditions *blob.AccessConditions

	size int64
	crc  uint32
}

// NewTypedWriter writes an object. BeforeWrite can be asked for a *location.Upload; not for azureblob's options, which are not used.
func (b *bucket) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	up, err := wrapblob.Upload(opts)
	if err != nil {
		return nil, err
	}
	var seed [16]byte
	_, _ = rand.Read(seed[:]) // never fails
	client := b.store.container.NewBlockBlobClient(escapeKey(keyOf(key)))
	w := &writer{
		ctx: ctx, b: b, client: client, blocks: newBlocks(ctx, client, b.limits, seed), id: hex.EncodeToString(seed[:]), up: up,
		metadata: escapeMetadata(opts.Metadata),
		headers: &blob.HTTPHeaders{BlobContentType: &contentType, BlobCacheControl: some(opts.CacheControl), BlobContentDisposition: some(opts.ContentDisposition),
			BlobContentEncoding: some(opts.ContentEncoding), BlobContentLanguage: some(opts.ContentLanguage), BlobContentMD5: opts.ContentMD5},
	}
	w.metadata[identity] = &w.id
	if opts.IfNotExist {
		anything := azcore.ETagAny
		w.conditions = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: &anything}}
	}
	return w, nil
}

func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Write adds to the object.
func (w *writer) Write(p []byte) (int, error) {
	w.crc = crc32.Update(w.crc, castagnoli, p)
	w.size += int64(len(p))
	n, err := w.blocks.Write(p)
	return n, w.b.store.explain(w.ctx, "write", err)
}

// Close commits the object, unless the context has ended. After an error nothing is stored, as far as that is known; what could not be removed is named.
func (w *writer) Close() error {
	defer w.blocks.stop()
	if err := w.ctx.Err(); err != nil {
		return w.b.store.explain(w.ctx, "write", err)
	}
	confirmed, err := w.commit()
	if err != nil {
		if _, unsent := errors.AsType[*uncommitted](err); unsent {
			return w.b.store.explain(w.ctx, "write", err)
		}
		if err = w.b.store.explain(w.ctx, "write", err); storefault.IsFinal(err) {
			return err
		}
		if err = w.ours(err); err != nil {
			return err
		}
	}
	if err := w.keeps(); err != nil {
		return err
	}
	if confirmed {
		w.up.Confirm(w.crc)
	}
	return nil
}

// uncommitted is an error of a block: there was no commit yet.
type uncommitted struct{ error }

func (e *uncommitted) Unwrap() error { return e.error }

// commit stores the object and tells whether Azure has answered with the checksums of all it has.
func (w *writer) commit() (bool, error) {
	if w.blocks.count == 0 && len(w.blocks.group) <= 1 {
		return w.put()
	}
	ids, err := w.blocks.finish()
	if err != nil {
		return false, &uncommitted{err}
	}
	_, err = w.client.CommitBlockList(w.ctx, ids, &blockblob.CommitBlockListOptions{
		HTTPHeaders: w.headers, Metadata: w.metadata, AccessConditions: w.conditions, ImmutabilityPolicyMode: w.mode(), ImmutabilityPolicyExpiryTime: w.until(),
	})
	return !w.blocks.unconfirmed, err
}

// put stores an object of one request.
func (w *writer) put() (bool, error) {
	data := &body{parts: w.blocks.group}
	var validation blob.TransferValidationType
	if len(w.headers.BlobContentMD5) == 0 { // Azure takes one of the two
		validation = blob.TransferValidationTypeCRC64(data.crc())
	}
	resp, err := w.client.Upload(w.ctx, data, &blockblob.UploadOptions{
		HTTPHeaders: w.headers, Metadata: w.metadata, AccessConditions: w.conditions, ImmutabilityPolicyMode: w.mode(), ImmutabilityPolicyExpiryTime: w.until(),
		TransactionalValidation: validation,
	})
	if err != nil || len(resp.ContentMD5) == 0 {
		return false, err
	}
	sum := md5.New() //nolint:gosec // as above
	for _, p := range data.parts {
		sum.Write(p)
	}
	return bytes.Equal(sum.Sum(nil), resp.ContentMD5), nil
}

func (w *writer) mode() *blob.ImmutabilityPolicySetting {
	if w.up.Retention.IsZero() {
		return nil
	}
	mode := blob.ImmutabilityPolicySettingUnlocked
	if w.up.Retention.Compliance {
		mode = blob.ImmutabilityPolicySettingLocked
	}
	return &mode
}

func (w *writer) until() *time.Time {
	if w.up.Retention.IsZero() {
		return nil
	}
	until := w.up.Retention.Until.UTC()
	return &until
}

// ours looks whether the object was stored although its writer failed. What Azure has taken it has compared with the checksums that were sent.
func (w *writer) ours(failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), undoTime)
	defer cancel()
	got, err := w.client.GetProperties(ctx, nil)
	if err != nil {
		if err = w.b.store.explain(ctx, "look up", err); !errors.Is(err, location.ErrNotFound) {
			return fmt.Errorf("%w; whether the object is there could not be found out: %w", failed, err)
		}
		return failed
	}
	for k, v := range got.Metadata {
		if isIdentity(k) && v != nil && *v == w.id {
			return nil
		}
	}
	if w.conditions != nil && !errors.Is(failed, location.ErrExists) && w.ctx.Err() == nil { // another's commit has discarded the blocks
		return storefault.Exists.Failure("write", "another write has created it")
	}
	return failed
}

// keeps makes sure of the retention that was asked for: who does not know it does not refuse it.
func (w *writer) keeps() error {
	r := w.up.Retention
	if r.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), undoTime)
	defer cancel()
	got, err := w.client.GetProperties(ctx, nil)
	if err == nil && got.ImmutabilityPolicyExpiresOn != nil && !got.ImmutabilityPolicyExpiresOn.Before(r.Until.Truncate(time.Second)) {
		return nil
	}
	if err == nil {
		err = means(location.ErrUnsupported, gcerrors.Unimplemented, "make a container with version-level immutability, or ask for none").Failure("write",
			"the container keeps no retention of objects")
	}
	err = w.b.store.explain(ctx, "look up the retention", err)
	var mine *blob.AccessConditions
	if got.ETag != nil {
		mine = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: got.ETag}}
	}
	_, gone := w.client.Delete(ctx, &blob.DeleteOptions{AccessConditions: mine})
	if gone = w.b.store.explain(ctx, "remove", gone); gone != nil && !errors.Is(gone, location.ErrNotFound) {
		return fmt.Errorf("%w; the object is left behind: %w", err, gone)
	}
	return err
}
