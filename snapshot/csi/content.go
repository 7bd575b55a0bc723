package csi

import (
	"context"
	"errors"
	"time"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"

	"github.com/davit-project/davit/snapshot"
)

// reminded is when a content that is being deleted was last changed for no other purpose than that the csi-snapshotter looks at it again.
const reminded = "davit.io/reminded"

// When a content is reminded of: some time after its deletion began, and then now and again.
const (
	remindAfter = time.Second
	remindEvery = 10 * time.Second
)

// HasContent looks for a VolumeSnapshotContent. The csi-snapshotter may forget one whose snapshot was deleted while the driver was still at work on it, and look at it again
// only minutes later: such a one gets an annotation, every ten seconds at most, and that wakes it. The verb is get; without patch it takes those minutes.
func (d *Driver) HasContent(ctx context.Context, name string) (bool, error) {
	if name == "" {
		return false, invalid("a content needs a name")
	}
	content, err := d.getContent(ctx, name)
	if errors.Is(err, snapshot.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d.remind(ctx, content)
	return true, nil
}

// remind wakes the csi-snapshotter for a content that it may have forgotten. What goes wrong does not matter: it looks again some time.
func (d *Driver) remind(ctx context.Context, content *v1.VolumeSnapshotContent) {
	switch {
	case content.DeletionTimestamp == nil || content.Annotations[beingDeleted] == "" || content.Annotations[beingCreated] != "":
		return
	case near(content.DeletionTimestamp.Time, remindAfter):
		return
	}
	now := time.Now()
	if last, err := time.Parse(time.RFC3339, content.Annotations[reminded]); err == nil && near(last, remindEvery) {
		return
	}
	_ = d.patchContent(ctx, content, patch{"metadata": patch{"annotations": patch{reminded: now.UTC().Format(time.RFC3339)}}})
}

// near tells whether a moment, by a clock that may be off, is within d of now.
func near(t time.Time, d time.Duration) bool { return time.Since(t).Abs() < d }
