package volume

import (
	"context"
	"fmt"
	"strings"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/snapshot"
)

// modeBlock is the volume mode of claims without a file system.
const modeBlock = "Block"

type restoreCSISnapshotArgs struct {
	Name         string            `arg:"name" doc:"Name of the snapshot."`
	PVC          string            `arg:"pvc" doc:"Name of the claim to create."`
	Namespace    string            `arg:"namespace" doc:"Namespace of the snapshot and of the claim."`
	StorageClass string            `arg:"storageClass" doc:"Storage class of the claim."`
	RestoreSize  string            `arg:"restoreSize,nonempty" doc:"Size of the claim, at least the restoreSize of the snapshot, such as 8Gi; that of the volume it is of where the storage gives none."`
	AccessModes  []string          `arg:"accessModes" default:"ReadWriteOnce" enum:"ReadWriteOnce,ReadOnlyMany,ReadWriteMany,ReadWriteOncePod" doc:"Access modes of the claim."`
	VolumeMode   string            `arg:"volumeMode" default:"Filesystem" enum:"Filesystem,Block" doc:"Volume mode of the claim: that of the volume which the snapshot is of."`
	Labels       map[string]string `arg:"labels,optional" doc:"Labels of the claim."`
}

func restoreCSISnapshot(d Deps) function.Func {
	return function.Define("RestoreCSISnapshot",
		"Creates a claim from a CSI snapshot and waits until there is storage behind it, or until that waits for its first pod.",
		func(ctx context.Context, call *function.Call, in restoreCSISnapshotArgs) (struct{}, error) {
			return struct{}{}, restore(ctx, call, d, in)
		},
		&function.Options{
			Replay: function.Adopt, Check: positiveSize, Rules: restoreRules,
			Example: `func: RestoreCSISnapshot
name: restore
args:
  name: "{{ .ArtifactsIn.snapshot.KeyValue.name }}"
  pvc: "{{ .ArtifactsIn.snapshot.KeyValue.pvc }}"
  namespace: "{{ .ArtifactsIn.snapshot.KeyValue.namespace }}"
  storageClass: csi-storage
  restoreSize: "{{ .ArtifactsIn.snapshot.KeyValue.restoreSize }}"
`,
		})
}

func restore(ctx context.Context, call *function.Call, d Deps, in restoreCSISnapshotArgs) error {
	snapshots, err := d.snapshots(ctx, call)
	if err != nil {
		return err
	}
	call.Report(ctx, function.Progress{Note: fmt.Sprintf("restoring snapshot %s/%s to claim %s", in.Namespace, in.Name, in.PVC)})
	status, err := snapshots.Restore(ctx, snapshot.RestoreRequest{
		Ref:      snapshot.Ref{Namespace: in.Namespace, Name: in.PVC},
		Snapshot: in.Name, StorageClass: in.StorageClass, Size: in.RestoreSize, AccessModes: in.AccessModes, Block: in.VolumeMode == modeBlock,
		Labels: claimLabels(call, in.Labels), Token: token(call),
	})
	if err != nil {
		return forGood(fmt.Errorf("restore snapshot %s/%s to claim %s: %w", in.Namespace, in.Name, in.PVC, err))
	}
	if status.Waiting {
		call.Report(ctx, function.Progress{Note: fmt.Sprintf("claim %s/%s is made; its storage is when a pod first uses it", in.Namespace, in.PVC)})
	}
	return nil
}

// positiveSize finds sizes that are written as zero.
func positiveSize(args map[string]any) []function.Problem {
	text, ok := args["restoreSize"].(string)
	if ok && !hasTemplate(text) && text != "" && strings.Trim(strings.TrimRight(text, "EPTGMKikmun"), "0.+") == "" {
		return []function.Problem{{Path: "restoreSize", Fault: function.FaultValue, Message: "must be more than zero"}}
	}
	return nil
}

func hasTemplate(text string) bool { return strings.Contains(text, "{{") }
