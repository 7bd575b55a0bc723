package volume

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/snapshot"
)

type deleteCSISnapshotArgs struct {
	Name      string `arg:"name" doc:"Name of the snapshot."`
	Namespace string `arg:"namespace" doc:"Namespace of the snapshot."`
}

func deleteCSISnapshot(d Deps) function.Func {
	return function.Define("DeleteCSISnapshot",
		"Deletes a CSI snapshot and waits until it is gone; one that does not exist is no error. Of a class that retains, its VolumeSnapshotContent and the storage's snapshot stay.",
		func(ctx context.Context, call *function.Call, in deleteCSISnapshotArgs) (struct{}, error) {
			snapshots, err := d.snapshots(ctx, call)
			if err != nil {
				return struct{}{}, err
			}
			ref := snapshot.Ref{Namespace: in.Namespace, Name: in.Name}
			if err := snapshots.Delete(ctx, ref, ""); err != nil {
				return struct{}{}, forGood(fmt.Errorf("delete snapshot %s: %w", ref, err))
			}
			return struct{}{}, nil
		},
		&function.Options{Replay: function.Idempotent, Rules: deleteRules, Example: `func: DeleteCSISnapshot
name: delete
args:
  name: "{{ .ArtifactsIn.snapshot.KeyValue.name }}"
  namespace: "{{ .ArtifactsIn.snapshot.KeyValue.namespace }}"
`})
}

type deleteCSISnapshotContentArgs struct {
	Name string `arg:"name" doc:"Name of the VolumeSnapshotContent."`
}

func deleteCSISnapshotContent(d Deps) function.Func {
	return function.Define("DeleteCSISnapshotContent",
		"Deletes a VolumeSnapshotContent and waits until it is gone; one that does not exist is no error. Its deletion policy decides whether the storage's snapshot goes too.",
		func(ctx context.Context, call *function.Call, in deleteCSISnapshotContentArgs) (struct{}, error) {
			snapshots, err := d.snapshots(ctx, call)
			if err != nil {
				return struct{}{}, err
			}
			if err := snapshots.DeleteContent(ctx, in.Name); err != nil {
				return struct{}{}, forGood(fmt.Errorf("delete snapshot content %s: %w", in.Name, err))
			}
			return struct{}{}, nil
		},
		&function.Options{Replay: function.Idempotent, Rules: deleteContentRules, Example: `func: DeleteCSISnapshotContent
name: deleteContent
args:
  name: "{{ .ArtifactsIn.snapshot.KeyValue.content }}"
`})
}
