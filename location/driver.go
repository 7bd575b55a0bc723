package location

import (
	"context"
	"time"
)

// What follows is how a bucket and the driver below it speak of more than gocloud's interface has. Each is asked for with an As of gocloud's: a
// driver that does not know it answers false, and the bucket does without.

// Upload is one write. A bucket asks for it in blob.WriterOptions.BeforeWrite with a **Upload, which the driver fills in with a new one; the bucket sets what
// it wants of the write, and reads after the writer's Close what the driver has to say.
type Upload struct {
	// Content, if it is not nil, is all that is going to be written: a driver may send it from there, in one request, without a copy of what it is given. It does not change until
	// the writer's Close has returned.
	Content []byte
	// Retention asks the store to keep the object; the driver refuses the write if it cannot.
	Retention Retention

	confirmed bool
	crc       uint32
}

// Confirm says that the store has itself computed checksums of every byte it has kept, that they were equal to those of the bytes the driver was given, in
// that order, and what the CRC-32C (Castagnoli) of all these bytes is. A driver calls it before its Close returns nil.
func (u *Upload) Confirm(crc32c uint32) { u.confirmed, u.crc = true, crc32c }

// Retention is an object lock. The zero value asks for none.
type Retention struct {
	// Until is the time before which the object cannot be deleted or replaced.
	Until time.Time
	// Compliance is a lock that nobody can take away, not even the owner of the account. Default: those with a right of their own can
	// (S3's governance mode).
	Compliance bool
}

// IsZero tells whether none is asked for.
func (r Retention) IsZero() bool { return r.Until.IsZero() }

// ETag is the version of an object that a reader of the driver reads; a bucket asks a blob.Reader for it with a *ETag. All that is read under one ETag is of
// one write. A driver that gives it lets its objects be read in several ranges at once.
type ETag string

// BatchDeleter deletes many objects in one request; a bucket asks a blob.Bucket for it with a *BatchDeleter.
type BatchDeleter interface {
	// MaxBatch is how many keys DeleteBatch takes at most.
	MaxBatch() int
	// DeleteBatch deletes the objects and returns the error of each key that it could not delete; an absent one is deleted. The second error is that of
	// the whole request, of which nothing is known then.
	DeleteBatch(ctx context.Context, keys []string) (map[string]error, error)
}

// Permissions are the store's own names of the rights that operations need, such as s3:PutObject, for errors; a bucket asks a blob.Bucket for
// them with a *Permissions.
type Permissions struct{ List, Read, Write, Delete string }

// NoMetadata is what a driver answers for that keeps no metadata with its objects; a bucket asks a blob.Bucket for it with a *NoMetadata.
type NoMetadata struct{}
