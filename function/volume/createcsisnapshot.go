package volume

import (
	"cmp"
	"context"
	"fmt"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/snapshot"
)

type createCSISnapshotArgs struct {
	PVC           string            `arg:"pvc" doc:"Name of the persistent volume claim."`
	Namespace     string            `arg:"namespace" doc:"Namespace of the claim and of the snapshot."`
	SnapshotClass string            `arg:"snapshotClass" doc:"Name of the VolumeSnapshotClass."`
	Name          string            `arg:"name,optional" doc:"Name of the snapshot; made from the claim's name if unset."`
	Labels        map[string]string `arg:"labels,optional" doc:"Labels of the snapshot; of keys and values, 63 characters are kept, in lower case, with _ for what is no letter, digit, _ or -."`
}

// madeSnapshot are the outputs about a snapshot.
type madeSnapshot struct {
	Name            string `out:"name" doc:"Name of the snapshot."`
	Namespace       string `out:"namespace" doc:"Namespace of the snapshot."`
	RestoreSize     string `out:"restoreSize" doc:"Smallest size of a volume that the snapshot can be restored to, such as 8Gi; empty where the storage does not say."`
	SnapshotContent string `out:"snapshotContent" doc:"Name of the VolumeSnapshotContent."`
}

func madeOf(s snapshot.Status) madeSnapshot {
	return madeSnapshot{s.Name, s.Namespace, s.RestoreSize, s.Content}
}

type createCSISnapshotOutputs struct {
	madeSnapshot
	PVC string `out:"pvc" doc:"Name of the claim."`
}

func createCSISnapshot(d Deps) function.Func {
	return function.Define("CreateCSISnapshot",
		"Takes a CSI snapshot of a claim and waits until it can be restored; one that fails or is cancelled is removed.",
		func(ctx context.Context, call *function.Call, in createCSISnapshotArgs) (createCSISnapshotOutputs, error) {
			status, err := create(ctx, call, d, in)
			return createCSISnapshotOutputs{madeOf(status), in.PVC}, err
		},
		&function.Options{Replay: function.Adopt, Rules: createRules, Example: `func: CreateCSISnapshot
name: snapshot
args:
  pvc: "{{ .PVC.Name }}"
  namespace: "{{ .PVC.Namespace }}"
  snapshotClass: csi-snapshots
`})
}

func create(ctx context.Context, call *function.Call, d Deps, in createCSISnapshotArgs) (snapshot.Status, error) {
	snapshots, err := d.snapshots(ctx, call)
	if err != nil {
		return snapshot.Status{}, err
	}
	labels, err := snapshotLabels(call, in.Labels)
	if err != nil {
		return snapshot.Status{}, err
	}
	status, err := snapshots.Create(ctx, snapshot.Request{
		Ref:    snapshot.Ref{Namespace: in.Namespace, Name: cmp.Or(in.Name, snapshotName(call, in.PVC))},
		Volume: in.PVC, Class: in.SnapshotClass, Labels: labels, Token: token(call),
	})
	if err != nil {
		return status, forGood(fmt.Errorf("snapshot of claim %s/%s: %w", in.Namespace, in.PVC, err))
	}
	return status, nil
}
