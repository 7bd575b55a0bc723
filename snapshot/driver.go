package snapshot

import "context"

// Driver asks storage for snapshots. None of its methods waits for storage: they ask and look. It may have the abilities Checker, Importer, Restorer, Contents and Lister too.
//
// All methods are safe for concurrent use and return soon after ctx ends. While an application is held, every snapshot of a group is looked at ten times a second: a driver whose client
// limits itself to fewer requests makes the hold longer. An error that matches none of this package's errors is taken for one that passes: what failed is tried again for a while.
type Driver interface {
	// Create asks for a snapshot. One of that name and token was asked for by an earlier call: that is no error. Any other of that name is ErrExists, an
	// absent volume ErrNotFound, no class that fits ErrNoClass.
	Create(ctx context.Context, req Request) error
	// Get returns what is known of a snapshot. An absent one is ErrNotFound.
	Get(ctx context.Context, ref Ref) (Status, error)
	// Delete asks for the removal of the snapshot with this UID; with "", of whichever has the name. Policy decides, when it is not empty, what becomes of the storage's
	// snapshot. An absent one, and one of another UID, is left alone and no error.
	Delete(ctx context.Context, ref Ref, uid string, policy Policy) error
	// Confirm records on the snapshot with this UID that it belongs to a finished group. A second call changes nothing. An absent one is ErrNotFound, one of another UID
	// ErrExists; it is left alone.
	Confirm(ctx context.Context, ref Ref, uid string) error
}

// Checker finds what would make Create fail, without touching anything.
type Checker interface {
	// Check returns the error Create would return for an absent snapshot.
	Check(ctx context.Context, req Request) error
}

// Importer makes snapshot objects for what exists in the storage.
type Importer interface {
	// Import asks for the object; as Create otherwise. When ctx ends or the call fails halfway, what it made is removed or found by the next call with the same token.
	Import(ctx context.Context, req ImportRequest) error
}

// Restorer makes volumes from snapshots.
type Restorer interface {
	// Restore asks for the volume; as Create otherwise. An absent snapshot is ErrNotFound, a size that is none or less than the snapshot's RestoreSize ErrInvalid.
	Restore(ctx context.Context, req RestoreRequest) error
	// Volume returns what is known of a restored volume. An absent one is ErrNotFound.
	Volume(ctx context.Context, ref Ref) (VolumeStatus, error)
	// DeleteVolume asks for the removal of a volume that Restore made with this token; any other is ErrExists, an absent one no error.
	DeleteVolume(ctx context.Context, ref Ref, token string) error
}

// Contents removes the cluster-wide objects that stand for storage's snapshots.
type Contents interface {
	// DeleteContent asks for the removal of the object; its policy decides what becomes of the storage's snapshot. An absent one is no error, one whose snapshot
	// still exists ErrInvalid.
	DeleteContent(ctx context.Context, name string) error
	// HasContent tells whether the object is there.
	HasContent(ctx context.Context, name string) (bool, error)
}

// Lister lists snapshots.
type Lister interface {
	// List returns the snapshots of a namespace that carry all the labels, by name.
	List(ctx context.Context, namespace string, labels map[string]string) ([]Status, error)
}
