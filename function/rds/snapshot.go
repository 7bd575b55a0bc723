package rds

import "github.com/davit-project/davit/function"

type createRDSSnapshotArgs struct {
	InstanceID string `arg:"instanceID" doc:"Identifier of the instance, or of the cluster for Aurora."`
	DBEngine   string `arg:"dbEngine,optional" doc:"Engine; aurora, aurora-mysql and aurora-postgresql are clusters, all else is an instance."`
	credentials
}

type createRDSSnapshotOutputs struct {
	SnapshotID       string `out:"snapshotID" doc:"Identifier of the snapshot."`
	InstanceID       string `out:"instanceID" doc:"Identifier of the instance or cluster."`
	SecurityGroupID  string `out:"securityGroupID" doc:"YAML list of the security groups of the instance."`
	AllocatedStorage string `out:"allocatedStorage" doc:"Size of the instance's storage, such as 20GiB; 0GiB for Aurora."`
	DBSubnetGroup    string `out:"dbSubnetGroup" doc:"Name of the instance's subnet group."`
}

func createRDSSnapshot() function.Func {
	return function.Declare[createRDSSnapshotArgs, createRDSSnapshotOutputs]("CreateRDSSnapshot",
		"Takes a snapshot of a database instance or Aurora cluster and waits until it can be used.",
		&function.Options{Check: checkCredentials, Example: `func: CreateRDSSnapshot
name: snapshot
args:
  instanceID: "{{ .Object.data.instanceID }}"
`})
}

type deleteRDSSnapshotArgs struct {
	SnapshotID string `arg:"snapshotID" doc:"Identifier of the snapshot."`
	DBEngine   string `arg:"dbEngine,optional" doc:"Engine; aurora, aurora-mysql and aurora-postgresql are clusters, all else is an instance."`
	credentials
}

func deleteRDSSnapshot() function.Func {
	return function.Declare[deleteRDSSnapshotArgs, struct{}]("DeleteRDSSnapshot",
		"Deletes a snapshot of a database instance or Aurora cluster; one that does not exist is no error.",
		&function.Options{Replay: function.Idempotent, Check: checkCredentials, Example: `func: DeleteRDSSnapshot
name: delete
args:
  snapshotID: "{{ .ArtifactsIn.snapshot.KeyValue.id }}"
`})
}
