package rds

import "github.com/davit-project/davit/function"

type exportRDSSnapshotToLocationArgs struct {
	Namespace            string          `arg:"namespace" doc:"Namespace of the pod that dumps the databases."`
	InstanceID           string          `arg:"instanceID" doc:"Identifier of the instance the snapshot was taken of."`
	SnapshotID           string          `arg:"snapshotID" doc:"Identifier of the snapshot."`
	DBEngine             string          `arg:"dbEngine" enum:"PostgreSQL" doc:"Engine; only PostgreSQL can be exported."`
	Username             string          `arg:"username,optional" doc:"Name of the database user."`
	Password             function.Secret `arg:"password,optional" doc:"Password of the database user."`
	BackupArtifactPrefix string          `arg:"backupArtifactPrefix,optional" doc:"Path in the location; the instance's identifier if unset."`
	Databases            []string        `arg:"databases,optional" doc:"Databases to export; all if unset."`
	SecurityGroupID      []string        `arg:"securityGroupID,yaml,optional" doc:"Security groups of the temporary instance."`
	DBSubnetGroup        string          `arg:"dbSubnetGroup" default:"default" doc:"Subnet group of the temporary instance."`
	podMetadata
	credentials
}

type exportRDSSnapshotToLocationOutputs struct {
	BackupID        string `out:"backupID" doc:"Name of the dump below backupArtifactPrefix."`
	SnapshotID      string `out:"snapshotID" doc:"Identifier of the snapshot."`
	InstanceID      string `out:"instanceID" doc:"Identifier of the instance."`
	SecurityGroupID string `out:"securityGroupID" doc:"YAML list of the security groups."`
}

func exportRDSSnapshotToLocation() function.Func {
	return function.Declare[exportRDSSnapshotToLocationArgs, exportRDSSnapshotToLocationOutputs]("ExportRDSSnapshotToLocation",
		"Dumps the databases of a snapshot to the location of the profile, through a temporary instance.",
		&function.Options{Check: checkCredentials, Example: `func: ExportRDSSnapshotToLocation
name: export
args:
  namespace: "{{ .Namespace.Name }}"
  instanceID: "{{ .ArtifactsIn.snapshot.KeyValue.instance }}"
  snapshotID: "{{ .ArtifactsIn.snapshot.KeyValue.id }}"
  dbEngine: PostgreSQL
  username: "{{ .Secrets.db.Data.username | toString }}"
  password: "{{ .Secrets.db.Data.password | toString }}"
`})
}

type restoreRDSSnapshotArgs struct {
	InstanceID           string          `arg:"instanceID" doc:"Identifier of the instance, or of the cluster for Aurora; with snapshotID it is replaced."`
	SnapshotID           string          `arg:"snapshotID,optional" doc:"Identifier of the snapshot; an exported dump is restored if unset."`
	DBEngine             string          `arg:"dbEngine,optional" doc:"Engine; aurora, aurora-mysql and aurora-postgresql are clusters, and only dumps of PostgreSQL can be restored."`
	BackupArtifactPrefix string          `arg:"backupArtifactPrefix,optional" doc:"Path of the dump in the location."`
	BackupID             string          `arg:"backupID,optional" doc:"Name of the dump below backupArtifactPrefix."`
	Username             string          `arg:"username,optional" doc:"Name of the database user, for a dump."`
	Password             function.Secret `arg:"password,optional" doc:"Password of the database user, for a dump."`
	Namespace            string          `arg:"namespace,optional" doc:"Namespace of the pod that restores a dump."`
	SecurityGroupID      []string        `arg:"securityGroupID,yaml,optional" doc:"Security groups of the restored instance; those of the present one if unset."`
	DBSubnetGroup        string          `arg:"dbSubnetGroup" default:"default" doc:"Subnet group of the restored instance."`
	podMetadata
	credentials
}

type restoreRDSSnapshotOutputs struct {
	Endpoint string `out:"endpoint,optional" doc:"Host name of the instance a dump was restored to."`
}

func restoreRDSSnapshot() function.Func {
	return function.Declare[restoreRDSSnapshotArgs, restoreRDSSnapshotOutputs]("RestoreRDSSnapshot",
		"Replaces an instance or Aurora cluster by a snapshot of it, or restores an exported dump to an instance.",
		&function.Options{
			Check: func(args map[string]any) []function.Problem {
				snapshot, given := args["snapshotID"]
				dump := !given || snapshot == nil || snapshot == ""
				return append(checkCredentials(args), function.RequireWith(args, dump, "where snapshotID is unset",
					"backupArtifactPrefix", "backupID", "username", "password", "namespace", "dbEngine")...)
			},
			Example: `func: RestoreRDSSnapshot
name: restore
args:
  instanceID: "{{ .ArtifactsIn.snapshot.KeyValue.instance }}"
  snapshotID: "{{ .ArtifactsIn.snapshot.KeyValue.id }}"
`,
		})
}
