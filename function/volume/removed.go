package volume

import "github.com/davit-project/davit/function"

// The functions of this file were removed from Kanister. They are declared so that lint can say so and what to use.

type createVolumeSnapshotArgs struct {
	Namespace string   `arg:"namespace" doc:"Namespace of the claims."`
	PVCs      []string `arg:"pvcs,optional" doc:"Names of the claims; those of the action's subject if unset."`
	SkipWait  bool     `arg:"skipWait" default:"false" doc:"Return before the snapshots are complete."`
}

type createVolumeSnapshotOutputs struct {
	VolumeSnapshotInfo string `out:"volumeSnapshotInfo" doc:"JSON list of the snapshots."`
}

func createVolumeSnapshot() function.Func {
	return function.Declare[createVolumeSnapshotArgs, createVolumeSnapshotOutputs]("CreateVolumeSnapshot",
		"Takes snapshots of the cloud disks behind claims.",
		&function.Options{Deprecated: "removed from Kanister in 0.115; use CreateCSISnapshot"})
}

type waitForSnapshotCompletionArgs struct {
	Snapshots string `arg:"snapshots" doc:"Output volumeSnapshotInfo of CreateVolumeSnapshot."`
}

func waitForSnapshotCompletion() function.Func {
	return function.Declare[waitForSnapshotCompletionArgs, struct{}]("WaitForSnapshotCompletion",
		"Waits until snapshots of cloud disks are complete.",
		&function.Options{Replay: function.Idempotent,
			Deprecated: "removed from Kanister in 0.115; use CreateCSISnapshot, which waits"})
}

type createVolumeFromSnapshotArgs struct {
	Namespace string   `arg:"namespace" doc:"Namespace of the claims."`
	Snapshots string   `arg:"snapshots" doc:"Output volumeSnapshotInfo of CreateVolumeSnapshot."`
	PVCNames  []string `arg:"pvcNames,optional" doc:"Names of the claims to create; those that were snapshotted if unset."`
}

func createVolumeFromSnapshot() function.Func {
	return function.Declare[createVolumeFromSnapshotArgs, function.Outputs]("CreateVolumeFromSnapshot",
		"Creates claims from snapshots of cloud disks.",
		&function.Options{Deprecated: "removed from Kanister in 0.115; use RestoreCSISnapshot"})
}

type deleteVolumeSnapshotArgs struct {
	Namespace string `arg:"namespace" doc:"Namespace of the claims."`
	Snapshots string `arg:"snapshots" doc:"Output volumeSnapshotInfo of CreateVolumeSnapshot."`
}

func deleteVolumeSnapshot() function.Func {
	return function.Declare[deleteVolumeSnapshotArgs, struct{}]("DeleteVolumeSnapshot",
		"Deletes snapshots of cloud disks.",
		&function.Options{Replay: function.Idempotent,
			Deprecated: "removed from Kanister in 0.115; use DeleteCSISnapshot"})
}
