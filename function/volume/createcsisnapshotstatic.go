package volume

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/snapshot"
)

type createCSISnapshotStaticArgs struct {
	Name           string `arg:"name" doc:"Name of the snapshot."`
	Namespace      string `arg:"namespace" doc:"Namespace of the snapshot."`
	Driver         string `arg:"driver" doc:"Name of the CSI driver."`
	SnapshotHandle string `arg:"snapshotHandle" doc:"Identifier of the snapshot in the storage system."`
	SnapshotClass  string `arg:"snapshotClass" doc:"Name of the VolumeSnapshotClass."`
	VolumeMode     string `arg:"volumeMode" default:"Filesystem" enum:"Filesystem,Block" doc:"Volume mode of the volume that the snapshot is of."`
}

func createCSISnapshotStatic(d Deps) function.Func {
	return function.Define("CreateCSISnapshotStatic",
		"Makes a snapshot that exists in the storage system known to the cluster and waits until it can be restored; when that fails, the storage's snapshot is kept.",
		func(ctx context.Context, call *function.Call, in createCSISnapshotStaticArgs) (madeSnapshot, error) {
			status, err := importStatic(ctx, call, d, in)
			return madeOf(status), err
		},
		&function.Options{Replay: function.Adopt, Rules: staticRules, Example: `func: CreateCSISnapshotStatic
name: import
args:
  name: imported
  namespace: "{{ .Namespace.Name }}"
  driver: hostpath.csi.k8s.io
  snapshotHandle: "{{ .Options.handle }}"
  snapshotClass: csi-snapshots
`})
}

func importStatic(ctx context.Context, call *function.Call, d Deps, in createCSISnapshotStaticArgs) (snapshot.Status, error) {
	snapshots, err := d.snapshots(ctx, call)
	if err != nil {
		return snapshot.Status{}, err
	}
	status, err := snapshots.Import(ctx, snapshot.ImportRequest{
		Ref:    snapshot.Ref{Namespace: in.Namespace, Name: in.Name},
		Driver: in.Driver, Handle: in.SnapshotHandle, Class: in.SnapshotClass, Block: in.VolumeMode == modeBlock, Labels: call.Labels, Token: token(call),
	})
	if err != nil {
		return status, forGood(fmt.Errorf("snapshot %q of driver %s: %w", in.SnapshotHandle, in.Driver, err))
	}
	return status, nil
}
