package volume

import (
	"strings"

	"github.com/davit-project/davit/function"
)

type createCSISnapshotArgs struct {
	PVC           string            `arg:"pvc" doc:"Name of the persistent volume claim."`
	Namespace     string            `arg:"namespace" doc:"Namespace of the claim and of the snapshot."`
	SnapshotClass string            `arg:"snapshotClass" doc:"Name of the VolumeSnapshotClass."`
	Name          string            `arg:"name,optional" doc:"Name of the snapshot; made from the claim's name if unset."`
	Labels        map[string]string `arg:"labels,optional" doc:"Labels of the snapshot."`
}

type createCSISnapshotOutputs struct {
	Name            string `out:"name" doc:"Name of the snapshot."`
	PVC             string `out:"pvc" doc:"Name of the claim."`
	Namespace       string `out:"namespace" doc:"Namespace of the snapshot."`
	RestoreSize     string `out:"restoreSize" doc:"Smallest size of a volume that the snapshot can be restored to, such as 8Gi."`
	SnapshotContent string `out:"snapshotContent" doc:"Name of the VolumeSnapshotContent."`
}

func createCSISnapshot() function.Func {
	return function.Declare[createCSISnapshotArgs, createCSISnapshotOutputs]("CreateCSISnapshot",
		"Takes a CSI snapshot of a claim and waits until it can be used.",
		&function.Options{Example: `func: CreateCSISnapshot
name: snapshot
args:
  pvc: "{{ .PVC.Name }}"
  namespace: "{{ .PVC.Namespace }}"
  snapshotClass: csi-snapshots
`})
}

type createCSISnapshotStaticArgs struct {
	Name           string `arg:"name" doc:"Name of the snapshot."`
	Namespace      string `arg:"namespace" doc:"Namespace of the snapshot."`
	Driver         string `arg:"driver" doc:"Name of the CSI driver."`
	SnapshotHandle string `arg:"snapshotHandle" doc:"Identifier of the snapshot in the storage system."`
	SnapshotClass  string `arg:"snapshotClass" doc:"Name of the VolumeSnapshotClass."`
}

type createCSISnapshotStaticOutputs struct {
	Name            string `out:"name" doc:"Name of the snapshot."`
	Namespace       string `out:"namespace" doc:"Namespace of the snapshot."`
	RestoreSize     string `out:"restoreSize" doc:"Smallest size of a volume that the snapshot can be restored to, such as 8Gi."`
	SnapshotContent string `out:"snapshotContent" doc:"Name of the VolumeSnapshotContent."`
}

func createCSISnapshotStatic() function.Func {
	return function.Declare[createCSISnapshotStaticArgs, createCSISnapshotStaticOutputs]("CreateCSISnapshotStatic",
		"Makes a snapshot that exists in the storage system known to the cluster and waits until it can be used.",
		&function.Options{Example: `func: CreateCSISnapshotStatic
name: import
args:
  name: imported
  namespace: "{{ .Namespace.Name }}"
  driver: hostpath.csi.k8s.io
  snapshotHandle: "{{ .Options.handle }}"
  snapshotClass: csi-snapshots
`})
}

type restoreCSISnapshotArgs struct {
	Name         string            `arg:"name" doc:"Name of the snapshot."`
	PVC          string            `arg:"pvc" doc:"Name of the claim to create."`
	Namespace    string            `arg:"namespace" doc:"Namespace of the snapshot and of the claim."`
	StorageClass string            `arg:"storageClass" doc:"Storage class of the claim."`
	RestoreSize  string            `arg:"restoreSize,nonempty" doc:"Size of the claim, more than zero, such as 8Gi."`
	AccessModes  []string          `arg:"accessModes" default:"ReadWriteOnce" enum:"ReadWriteOnce,ReadOnlyMany,ReadWriteMany,ReadWriteOncePod" doc:"Access modes of the claim."`
	VolumeMode   string            `arg:"volumeMode" default:"Filesystem" enum:"Filesystem,Block" doc:"Volume mode of the claim."`
	Labels       map[string]string `arg:"labels,optional" doc:"Labels of the claim."`
}

func restoreCSISnapshot() function.Func {
	return function.Declare[restoreCSISnapshotArgs, struct{}]("RestoreCSISnapshot",
		"Creates a claim from a CSI snapshot.",
		&function.Options{
			Check: positiveSize,
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

// positiveSize finds sizes that are written as zero.
func positiveSize(args map[string]any) []function.Problem {
	text, ok := args["restoreSize"].(string)
	if ok && !strings.Contains(text, "{{") && text != "" && strings.Trim(strings.TrimRight(text, "EPTGMKikmun"), "0.+") == "" {
		return []function.Problem{{Path: "restoreSize", Fault: function.FaultValue, Message: "must be more than zero"}}
	}
	return nil
}

type deleteCSISnapshotArgs struct {
	Name      string `arg:"name" doc:"Name of the snapshot."`
	Namespace string `arg:"namespace" doc:"Namespace of the snapshot."`
}

func deleteCSISnapshot() function.Func {
	return function.Declare[deleteCSISnapshotArgs, struct{}]("DeleteCSISnapshot",
		"Deletes a CSI snapshot and waits until it is gone; one that does not exist is no error.",
		&function.Options{Replay: function.Idempotent, Example: `func: DeleteCSISnapshot
name: delete
args:
  name: "{{ .ArtifactsIn.snapshot.KeyValue.name }}"
  namespace: "{{ .ArtifactsIn.snapshot.KeyValue.namespace }}"
`})
}

type deleteCSISnapshotContentArgs struct {
	Name string `arg:"name" doc:"Name of the VolumeSnapshotContent."`
}

func deleteCSISnapshotContent() function.Func {
	return function.Declare[deleteCSISnapshotContentArgs, struct{}]("DeleteCSISnapshotContent",
		"Deletes a VolumeSnapshotContent; one that does not exist is no error.",
		&function.Options{Replay: function.Idempotent, Example: `func: DeleteCSISnapshotContent
name: deleteContent
args:
  name: "{{ .ArtifactsIn.snapshot.KeyValue.content }}"
`})
}
