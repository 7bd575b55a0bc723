// Package snapshot takes snapshots of volumes: a small Driver talks to the storage, a Snapshotter waits, and a group of snapshots is cut while the application
// that writes to the volumes is held still.
//
// A snapshot has two moments: it is cut, when its content is fixed, and it is ready, when it can be restored. Storage that copies in the background has minutes
// or hours between them; an application need only be held until the first.
//
// # Errors
//
// ErrNotFound, ErrExists, ErrNoClass, ErrInvalid, ErrDenied, ErrFailed, ErrUnsupported, ErrLeft, ErrHoldLost and ErrMaxHold are matched with errors.Is.
//
// # Concurrency
//
// A Snapshotter keeps no state between calls and is safe for concurrent use, as every Driver is.
package snapshot

import (
	"errors"
	"io/fs"
	"time"
)

// Errors of drivers and of the Snapshotter.
var (
	// ErrNotFound means that the named object does not exist. It matches fs.ErrNotExist too.
	ErrNotFound error = notFound{}
	// ErrExists means that something else has the name that was asked for.
	ErrExists = errors.New("already exists")
	// ErrNoClass means that no snapshot class fits the volume.
	ErrNoClass = errors.New("no snapshot class fits")
	// ErrInvalid means that the request can never succeed as it is.
	ErrInvalid = errors.New("invalid request")
	// ErrDenied means that the host may not do this; its permissions must be widened.
	ErrDenied = errors.New("permission denied")
	// ErrFailed means that the storage reported a failure, and went on reporting it for Options.ErrorGrace.
	ErrFailed = errors.New("the storage reports a failure")
	// ErrUnsupported means that the driver has not the ability that was asked for.
	ErrUnsupported = errors.New("not supported by the driver")
	// ErrLeft means that what a failed call made is still there, all or some of it; the error names it. It comes beside the failure.
	ErrLeft = errors.New("left behind, as the clean-up failed")
	// ErrHoldLost means that the application did not stay held until every snapshot was cut, or that Release failed.
	ErrHoldLost = errors.New("the application was not held until the end")
	// ErrMaxHold means that the longest time to hold the application was over before every snapshot was cut.
	ErrMaxHold = errors.New("the longest time to hold the application is over")
)

type notFound struct{}

func (notFound) Error() string        { return "not found" }
func (notFound) Is(target error) bool { return target == fs.ErrNotExist }

// Ref names a snapshot, or a volume.
type Ref struct {
	Namespace, Name string
}

// String is "namespace/name".
func (r Ref) String() string { return r.Namespace + "/" + r.Name }

// Request asks for a snapshot of a volume.
type Request struct {
	// Ref is the snapshot's name; deterministic, so that a host that died finds it.
	Ref
	// Volume is the claim in the same namespace.
	Volume string
	// Class of the snapshot. Default "": the default class for the volume's storage.
	Class string
	// Labels and Annotations of the snapshot; nil for none.
	Labels, Annotations map[string]string
	// Token says who asks: a snapshot of this name with this token was asked for by an earlier call. Required.
	Token string
}

// ImportRequest asks for a snapshot object for what exists in the storage already.
type ImportRequest struct {
	Ref
	// Driver and Handle name the snapshot in the storage. Required.
	Driver, Handle string
	// Class of the snapshot; gives the secrets the driver needs. Default "": the default class of the driver.
	Class string
	// Policy says whether the storage's snapshot goes with the object. Default "": the class's.
	Policy Policy
	// Block tells that the snapshot is of a volume in block mode.
	Block bool
	// Labels, Annotations and Token as in Request.
	Labels, Annotations map[string]string
	Token               string
}

// Policy says what becomes of the storage's snapshot when its object is deleted.
type Policy string

// The policies. The empty one leaves it as it is.
const (
	Delete Policy = "Delete"
	Retain Policy = "Retain"
)

// RestoreRequest asks for a new volume with the content of a snapshot.
type RestoreRequest struct {
	// Ref is the claim to create, in the snapshot's namespace.
	Ref
	// Snapshot is the name of the snapshot.
	Snapshot string
	// StorageClass of the claim. Default "": the cluster's default class.
	StorageClass string
	// Size is a quantity such as "8Gi", more than zero. Required.
	Size string
	// AccessModes such as ReadWriteOnce. Default ReadWriteOnce.
	AccessModes []string
	// Block asks for a volume in block mode.
	Block bool
	// Labels, Annotations and Token as in Request.
	Labels, Annotations map[string]string
	Token               string
}

// Status is what is known of a snapshot.
type Status struct {
	Ref
	// UID tells this snapshot from another one that takes its name later.
	UID string
	// Volume is the claim it is of; empty for an imported one.
	Volume string
	// Class, and the Driver of the storage; Content is the cluster's object and Handle the storage's identifier. Empty while unknown.
	Class, Driver, Content, Handle string
	// CutAt is when the content was fixed, by the storage's clock; zero until it is.
	CutAt time.Time
	// Ready means that it can be restored.
	Ready bool
	// RestoreSize is the smallest size of a volume it can be restored to, as a quantity such as "8Gi"; empty where the storage does not say.
	RestoreSize string
	// Problem is what the storage last reported as wrong; empty when nothing is. Storage tries again by itself.
	Problem string
	// Token of the request that made it; empty for one made by somebody else.
	Token string
	// Confirmed tells that Confirm was called.
	Confirmed bool
	// Deleting tells that it is on its way out.
	Deleting bool
	// Policy says what becomes of the storage's snapshot, and of Content, when the snapshot is deleted; empty while unknown.
	Policy Policy
	// Labels of the snapshot.
	Labels map[string]string
}

// Cut tells whether the content is fixed. Storage that does not say when it cut an imported snapshot has done so once it is ready.
func (s Status) Cut() bool { return s.Ready || !s.CutAt.IsZero() }

// String names the snapshot and says what has become of it.
func (s Status) String() string { return s.Ref.String() + ": " + s.text() }

// VolumeStatus is what is known of a restored volume.
type VolumeStatus struct {
	Ref
	// Snapshot is the name of the snapshot it is made from; empty where it is made from none.
	Snapshot string
	// Bound means that there is storage behind the claim.
	Bound bool
	// Waiting means that the storage is only made when a pod first uses the claim, so that Bound is not to be waited for.
	Waiting bool
	// Size of the storage as a quantity; empty until bound.
	Size string
	// Problem is what was last reported as wrong; empty when nothing is.
	Problem string
	// Token of the request that made it.
	Token string
	// Deleting tells that it is on its way out.
	Deleting bool
}
