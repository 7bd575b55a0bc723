package rds

import (
	"context"
	"strings"

	"github.com/davit-project/davit/function"
)

// podMetadata is added to the pod that dumps or restores.
type podMetadata struct {
	PodAnnotations map[string]string `arg:"podAnnotations,optional" doc:"Annotations of the pod."`
	PodLabels      map[string]string `arg:"podLabels,optional" doc:"Labels of the pod."`
}

// postgres is the engine whose databases can be dumped, as arguments name it; RDS says engine.
const (
	postgres       = "PostgreSQL"
	postgresEngine = "postgres"
)

type exportRDSSnapshotToLocationArgs struct {
	Namespace            string          `arg:"namespace" doc:"Namespace of the pod that dumps the databases."`
	InstanceID           string          `arg:"instanceID" doc:"Identifier of the instance the snapshot was taken of."`
	SnapshotID           string          `arg:"snapshotID" doc:"Identifier of the snapshot."`
	DBEngine             string          `arg:"dbEngine" enum:"PostgreSQL" doc:"Engine; only PostgreSQL can be exported."`
	Username             string          `arg:"username,optional" doc:"Name of the database user."`
	Password             function.Secret `arg:"password,optional" doc:"Password of the database user."`
	BackupArtifactPrefix string          `arg:"backupArtifactPrefix,optional" doc:"Path in the location; the instance's identifier if unset."`
	Databases            []string        `arg:"databases,optional" doc:"Databases to export; all if unset."`
	SecurityGroupID      []string        `arg:"securityGroupID,yaml,optional" doc:"Security groups of the temporary instance; those of the present one if unset."`
	DBSubnetGroup        string          `arg:"dbSubnetGroup,optional" doc:"Subnet group of the temporary instance; that of the present one if unset, or else default."`
	Image                string          `arg:"image,optional" doc:"Image of the pod; the host program's if unset."`
	podMetadata
	credentials
}

type exportRDSSnapshotToLocationOutputs struct {
	BackupID        string `out:"backupID" doc:"Name of the dump below backupArtifactPrefix."`
	SnapshotID      string `out:"snapshotID" doc:"Identifier of the snapshot."`
	InstanceID      string `out:"instanceID" doc:"Identifier of the instance."`
	SecurityGroupID string `out:"securityGroupID" doc:"YAML list of the security groups."`
}

func exportRDSSnapshotToLocation(d *deps) function.Func {
	return function.Define("ExportRDSSnapshotToLocation",
		"Dumps the databases of a snapshot to the location of the profile, through a temporary instance that it restores and deletes.", d.export,
		&function.Options{Replay: function.Adopt, Check: checkCredentials, Rules: podRules, Example: `func: ExportRDSSnapshotToLocation
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
	InstanceID           string          `arg:"instanceID" doc:"Identifier of the instance, or of the cluster for Aurora; with snapshotID it is deleted and made anew."`
	SnapshotID           string          `arg:"snapshotID,optional" doc:"Identifier of the snapshot; an exported dump is restored if unset."`
	DBEngine             string          `arg:"dbEngine,optional" doc:"Engine; aurora, aurora-mysql and aurora-postgresql are clusters, and only dumps of PostgreSQL can be restored."`
	BackupArtifactPrefix string          `arg:"backupArtifactPrefix,optional" doc:"Path of the dump in the location."`
	BackupID             string          `arg:"backupID,optional" doc:"Name of the dump below backupArtifactPrefix."`
	Username             string          `arg:"username,optional" doc:"Name of the database user, for a dump."`
	Password             function.Secret `arg:"password,optional" doc:"Password of the database user, for a dump."`
	Namespace            string          `arg:"namespace,optional" doc:"Namespace of the pod that restores a dump."`
	SecurityGroupID      []string        `arg:"securityGroupID,yaml,optional" doc:"Security groups of the restored instance; those of the present one if unset."`
	DBSubnetGroup        string          `arg:"dbSubnetGroup,optional" doc:"Subnet group of the restored instance; that of the present one if unset, or else default."`
	Image                string          `arg:"image,optional" doc:"Image of the pod that restores a dump; the host program's if unset."`
	podMetadata
	credentials
}

type restoreRDSSnapshotOutputs struct {
	Endpoint string `out:"endpoint,optional" doc:"Host name of the instance a dump was restored to."`
}

func restoreRDSSnapshot(d *deps) function.Func {
	return function.Define("RestoreRDSSnapshot",
		"Replaces an instance or Aurora cluster, which it deletes, by a snapshot of it, or restores an exported dump to an instance.", d.restore,
		&function.Options{
			Replay: function.Adopt, Rules: restoreRules,
			Check: func(args map[string]any) []function.Problem {
				return append(checkCredentials(args), function.RequireWith(args, fromDump(args), "where snapshotID is unset",
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

// fromDump tells of arguments that ask for a dump to be restored.
func fromDump(args map[string]any) bool {
	snapshot, given := args["snapshotID"]
	return !given || snapshot == nil || snapshot == ""
}

// podRules are those of a pod that runs to its end, with a secret for what it must know.
func podRules(args map[string]any) []function.Rule {
	namespace, _ := args["namespace"].(string)
	return []function.Rule{
		{Namespace: namespace, Resource: "pods", Verbs: []string{"create", "get", "list", "watch", "delete"}},
		{Namespace: namespace, Resource: "pods/log", Verbs: []string{"get"}},
		{Namespace: namespace, Resource: "events", Verbs: []string{"list"}},
		{Namespace: namespace, Resource: "secrets", Verbs: []string{"create"}},
	}
}

func restoreRules(args map[string]any) []function.Rule {
	if !fromDump(args) {
		return nil
	}
	return podRules(args)
}

// restore does one of the two things that RestoreRDSSnapshot is for.
func (d *deps) restore(ctx context.Context, call *function.Call, in restoreRDSSnapshotArgs) (restoreRDSSnapshotOutputs, error) {
	if err := checkIdentifier("instanceID", in.InstanceID); err != nil {
		return restoreRDSSnapshotOutputs{}, err
	}
	if in.SnapshotID == "" {
		return d.restoreFromDump(ctx, call, in)
	}
	s, err := d.session(ctx, call, in.credentials)
	if err != nil {
		return restoreRDSSnapshotOutputs{}, err
	}
	r := &restoring{session: s, in: in, ref: snapshotRef{in.SnapshotID, isAurora(in.DBEngine)}, id: strings.ToLower(in.InstanceID)}
	return restoreRDSSnapshotOutputs{}, r.run(ctx)
}
