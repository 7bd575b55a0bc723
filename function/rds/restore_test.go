package rds

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

func TestRestore(t *testing.T) {
	w := withInstance()
	w.slow = 4
	_, err := newHost(w, quick).run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "DB", "snapshotID": "snap", "securityGroupID": "- sg-2\n"})
	require.NoError(t, err)
	db := w.get(instanceKind, "db")
	require.Equal(t, "snap", db.of)
	require.Equal(t, []string{"sg-2"}, db.groups)
	require.Equal(t, "run", db.tags["davit.io/run"])
	require.True(t, db.public, "it was public before")
	require.Equal(t, 1, w.count("DeleteDBInstance"))
	require.Equal(t, 1, w.count("RestoreDBInstanceFromDBSnapshot"))
}

// Where the instance is gone, its security groups are known of the snapshot that Davit took, or have to be given.
func TestRestoreOfWhatIsGone(t *testing.T) {
	w := withInstance()
	delete(w.things, instanceKind+"/db")
	h := newHost(w, quick)
	_, err := h.run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "db", "snapshotID": "snap", "dbSubnetGroup": ""})
	require.ErrorContains(t, err, "give argument securityGroupID")
	require.Empty(t, w.changes())
	for _, tag := range wordTags(sourceTags, "x", former{groups: []string{"sg-9"}}.words()) {
		w.get(snapshotKind, "snap").tags[*tag.Key] = *tag.Value
	}
	_, err = h.run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "db", "snapshotID": "snap", "dbSubnetGroup": ""})
	require.NoError(t, err)
	require.Equal(t, []string{"sg-9"}, w.get(instanceKind, "db").groups)
}

func TestRestoreOfNewCluster(t *testing.T) {
	w := withCluster()
	h := newHost(w, quick)
	_, err := h.run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "new", "snapshotID": "snap", "dbEngine": "aurora-mysql", "securityGroupID": []any{"sg-3"}})
	require.NoError(t, err)
	require.Equal(t, []string{"au-a", "au-b", "new-instance-1"}, w.all(instanceKind))
	require.Equal(t, memberClass, w.get(instanceKind, "new-instance-1").class)
	require.Equal(t, "available", w.get(clusterKind, "new").status)
	require.Zero(t, w.count("DeleteDBCluster"))
}

// Everything is checked before anything is touched.
func TestRestoreIsRefused(t *testing.T) {
	instance := map[string]any{"instanceID": "db", "snapshotID": "snap"}
	cluster := map[string]any{"instanceID": "au", "snapshotID": "snap", "dbEngine": "aurora-mysql"}
	with := func(args map[string]any, name string, value any) map[string]any {
		all := map[string]any{name: value}
		for k, v := range args {
			if k != name {
				all[k] = v
			}
		}
		return all
	}
	tests := map[string]struct {
		world  func() *world
		args   map[string]any
		change func(*world)
		want   string
	}{
		"no snapshot":             {withInstance, with(instance, "snapshotID", "nil"), nil, "RDS snapshot nil does not exist"},
		"snapshot of a cluster":   {withCluster, with(cluster, "dbEngine", "mysql"), nil, "but of an Aurora cluster: set dbEngine"},
		"snapshot of an instance": {withInstance, with(instance, "dbEngine", "aurora"), nil, "but of an instance: leave dbEngine out"},
		"snapshot in the making":  {withInstance, instance, func(w *world) { w.get(snapshotKind, "snap").status = "creating" }, `it is "creating", not available`},
		"another engine":          {withInstance, with(instance, "dbEngine", "mysql"), nil, `is of engine "postgres", but argument dbEngine is "mysql"`},
		"another Aurora":          {withCluster, with(cluster, "dbEngine", "aurora-postgresql"), nil, "is of engine"},
		"instance of another engine": {withInstance, instance, func(w *world) { w.get(instanceKind, "db").engine = "mysql" },
			`RDS instance db is of engine "mysql"`},
		"protected":               {withInstance, instance, func(w *world) { w.get(instanceKind, "db").protected = true }, "protected from deletion"},
		"protected cluster":       {withCluster, cluster, func(w *world) { w.get(clusterKind, "au").protected = true }, "protected from deletion"},
		"protected member":        {withCluster, cluster, func(w *world) { w.get(instanceKind, "au-a").protected = true }, "au-a is protected"},
		"member of a cluster":     {withInstance, instance, func(w *world) { w.get(instanceKind, "db").cluster = "au" }, "belongs to cluster au"},
		"no subnet group":         {withInstance, with(instance, "dbSubnetGroup", "nil"), nil, `RDS has no subnet group "nil"`},
		"no subnet group, Aurora": {withCluster, with(cluster, "dbSubnetGroup", "nil"), nil, `RDS has no subnet group "nil"`},
		"another network":         {withInstance, with(instance, "dbSubnetGroup", "other"), nil, "is in network vpc-2, but the security groups are in vpc-1"},
		"another network, Aurora": {withCluster, with(cluster, "dbSubnetGroup", "other"), nil, "is in network vpc-2"},
		"bad group":               {withInstance, with(instance, "securityGroupID", []any{"launch-wizard"}), nil, "is no identifier of a security group"},
		"name of a member taken": {withCluster, with(with(cluster, "instanceID", "new"), "securityGroupID", []any{"sg-1"}),
			func(w *world) { w.put(&thing{kind: instanceKind, id: "new-instance-1", status: "available"}) }, "new-instance-1 is no member"},
		"automated snapshot": {withInstance, instance, func(w *world) { w.get(snapshotKind, "snap").shape = "automated" }, "automated snapshot of RDS instance db"},
		"no note": {withInstance, instance, func(w *world) {
			w.fault = func(action, _ string, _ int) (string, bool) {
				return map[string]string{"AddTagsToResource": "AccessDenied"}[action], false
			}
		}, "nothing was touched"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := tc.world()
			if tc.change != nil {
				tc.change(w)
			}
			_, err := newHost(w, quick).run(t, "RestoreRDSSnapshot", tc.args)
			require.ErrorContains(t, err, tc.want)
			for _, c := range w.changes() {
				require.Contains(t, c, "AddTagsToResource", "nothing may change")
			}
		})
	}
}

// A step that fails after the deletion is told, with what is lost and what is not, and the next call goes on from there.
func TestRestoreThatFails(t *testing.T) {
	tests := map[string]struct {
		world   func() *world
		args    map[string]any
		action  string
		want    []string
		restore string
	}{
		"delete": {withInstance, map[string]any{"instanceID": "db", "snapshotID": "snap"}, "DeleteDBInstance",
			[]string{"delete RDS instance db: RDS DeleteDBInstance: KMSKeyNotAccessibleFault", `is "available": it was to be deleted`}, instanceKind},
		"restore": {withInstance, map[string]any{"instanceID": "db", "snapshotID": "snap"}, "RestoreDBInstanceFromDBSnapshot",
			[]string{"KMSKeyNotAccessibleFault", "RDS instance db is deleted and not restored: RDS snapshot snap holds its data"}, instanceKind},
		"delete member": {withCluster, map[string]any{"instanceID": "au", "snapshotID": "snap", "dbEngine": "aurora-mysql"}, "DeleteDBInstance",
			[]string{"delete member au-a of RDS cluster au"}, clusterKind},
		"delete cluster": {withCluster, map[string]any{"instanceID": "au", "snapshotID": "snap", "dbEngine": "aurora-mysql"}, "DeleteDBCluster",
			[]string{"delete RDS cluster au: RDS DeleteDBCluster: KMSKeyNotAccessibleFault"}, clusterKind},
		"restore cluster": {withCluster, map[string]any{"instanceID": "au", "snapshotID": "snap", "dbEngine": "aurora-mysql"}, "RestoreDBClusterFromSnapshot",
			[]string{"RDS cluster au is deleted and not restored"}, clusterKind},
		"make member": {withCluster, map[string]any{"instanceID": "au", "snapshotID": "snap", "dbEngine": "aurora-mysql"}, "CreateDBInstance",
			[]string{"RDS cluster au is being restored from RDS cluster snapshot snap"}, clusterKind},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := tc.world()
			fail := true
			w.fault = func(action, _ string, _ int) (string, bool) {
				return map[bool]string{true: "KMSKeyNotAccessibleFault"}[fail && action == tc.action], false
			}
			h := newHost(w, quick)
			_, err := h.run(t, "RestoreRDSSnapshot", tc.args)
			for _, want := range tc.want {
				require.ErrorContains(t, err, want)
			}
			fail = false
			_, err = h.run(t, "RestoreRDSSnapshot", tc.args)
			require.NoError(t, err)
			x := w.get(tc.restore, tc.args["instanceID"].(string))
			require.Equal(t, "snap", x.of)
			require.Equal(t, "available", x.status)
			require.Contains(t, x.groups, "sg-1")
			for _, m := range x.members {
				require.Equal(t, "db.r6g."+m, w.get(instanceKind, m).class)
			}
		})
	}
}

// Automated backups outlive what is deleted where RDS can keep them, and are no reason to stop where it cannot.
func TestRestoreKeepsAutomatedBackups(t *testing.T) {
	for _, code := range []string{"", "InvalidParameterCombination", "DBInstanceAutomatedBackupQuotaExceeded"} {
		w := withInstance()
		w.keeps = code
		_, err := newHost(w, quick).run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "db", "snapshotID": "snap"})
		require.NoError(t, err)
		require.Equal(t, code == "", w.kept["db"])
		w = withCluster()
		w.keeps = code
		_, err = newHost(w, quick).run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "au", "snapshotID": "snap", "dbEngine": "aurora-mysql"})
		require.NoError(t, err)
		require.Equal(t, code == "", w.kept["au"])
	}
}

// A restored instance that ends in a broken state is told at once; the next call replaces it.
func TestRestoreToABrokenState(t *testing.T) {
	w := withInstance()
	broken := true
	w.becomes = func(kind, id string) string {
		return map[bool]string{true: "incompatible-network"}[broken && kind == instanceKind && id == "db"]
	}
	h := newHost(w, quick)
	args := map[string]any{"instanceID": "db", "snapshotID": "snap"}
	_, err := h.run(t, "RestoreRDSSnapshot", args)
	require.ErrorIs(t, err, ErrState)
	require.ErrorContains(t, err, `it is "incompatible-network"`)
	broken = false
	_, err = h.run(t, "RestoreRDSSnapshot", args)
	require.NoError(t, err)
	require.Equal(t, "available", w.get(instanceKind, "db").status)
	require.Equal(t, 2, w.count("RestoreDBInstanceFromDBSnapshot"))
}

// A dump is restored to an instance that is there, and nothing is deleted.
func TestRestoreOfADump(t *testing.T) {
	w := withInstance()
	h := newHost(w, quick)
	var got dumpRequest
	h.read = func(_ context.Context, _ *function.Call, req dumpRequest) error { got = req; return nil }
	args := map[string]any{"instanceID": "db", "dbEngine": "postgresql", "backupArtifactPrefix": "pre", "backupID": "id", "username": "u", "password": password,
		"namespace": "n", "image": "img"}
	out, err := h.run(t, "RestoreRDSSnapshot", args)
	require.NoError(t, err)
	require.Equal(t, function.Outputs{"endpoint": "db.example"}, out)
	require.Equal(t, "pre/id", got.Path)
	require.Equal(t, "img", got.Image)
	require.Equal(t, server{Host: "db.example", Port: 5432, Username: "u", Password: got.Endpoint.Password, EngineVersion: "15.4"}, got.Endpoint)
	require.Equal(t, password, got.Endpoint.Password.Reveal())
	require.Empty(t, w.changes())
	for _, status := range []string{"stopped", "stopping", "deleting"} {
		w.get(instanceKind, "db").status = status
		_, err = h.run(t, "RestoreRDSSnapshot", args)
		require.ErrorIs(t, err, ErrState)
	}
	w.get(instanceKind, "db").status = "available"
	for _, missing := range []string{"dbEngine", "backupArtifactPrefix", "backupID", "username", "password", "namespace"} {
		less := map[string]any{}
		for k, v := range args {
			if k != missing {
				less[k] = v
			}
		}
		_, err := h.run(t, "RestoreRDSSnapshot", less)
		require.True(t, function.IsPermanent(err), missing)
	}
}
