package rds

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

// States that pass are waited for, those that do not are told at once.
func TestBrokenStates(t *testing.T) {
	for _, status := range []string{"failed", "migration-failed", "incompatible-network", "incompatible-restore", "incompatible-option-group", "storage-full", "restore-error",
		"inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable", "insufficient-capacity"} {
		require.True(t, broken(status), status)
	}
	for _, status := range []string{"available", "failing-over", "backing-up", "creating", "modifying", "storage-optimization", "stopped", "upgrading", "configuring-log-exports"} {
		require.False(t, broken(status), status)
	}
	for status, ends := range map[string]bool{"stopped": true, "deleting": true, "failed": true, "stopping": false, "starting": false, "failing-over": false} {
		_, err := wait{}.judge(sight{found: true, status: status}, false)
		require.Equal(t, ends, err != nil, status)
	}
}

// A restored cluster that fails over is not deleted by the call that goes on.
func TestResumeWhileFailingOver(t *testing.T) {
	w := withCluster()
	h := newHost(w, quick)
	call, _ := newCall()
	_, err := h.funcs["RestoreRDSSnapshot"].Exec(t.Context(), call, ofCluster)
	require.NoError(t, err)
	au := w.get(clusterKind, "au")
	au.status, au.next = "failing-over", []string{"failing-over", "available"}
	call, _ = newCall()
	call.Resumed = true
	_, err = h.funcs["RestoreRDSSnapshot"].Exec(t.Context(), call, ofCluster)
	require.NoError(t, err)
	require.Equal(t, 1, w.count("DeleteDBCluster"))
}

// What is stopped is told at once: RDS would refuse until the limit is over.
func TestStoppedDatabases(t *testing.T) {
	w := withCluster()
	w.get(clusterKind, "au").status = "stopped"
	_, err := newHost(w, quick).run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "au", "dbEngine": "aurora-mysql"})
	require.ErrorIs(t, err, ErrState)
	require.ErrorContains(t, err, `RDS takes no snapshot of au, which is "stopped"`)
	_, err = newHost(w, quick).run(t, "RestoreRDSSnapshot", ofCluster)
	require.ErrorIs(t, err, ErrState)
	require.ErrorContains(t, err, "start it first; nothing was touched")
	require.Equal(t, []string{"CreateDBClusterSnapshot"}, actions(w.changes()))
}

func actions(calls []string) []string {
	var all []string
	for _, c := range calls {
		all = append(all, strings.Fields(c)[0])
	}
	return all
}

// What RDS refuses for the moment is asked again, above all once the database is deleted.
func TestRestoreOrderIsAskedAgain(t *testing.T) {
	for _, code := range []string{"InvalidDBSnapshotState", "Throttling", "InternalFailure"} {
		w := withInstanceSettings()
		w.fault = func(action, _ string, nth int) (string, bool) {
			return map[bool]string{true: code}[action == "RestoreDBInstanceFromDBSnapshot" && nth < 25], false
		}
		_, err := newHost(w, quick).run(t, "RestoreRDSSnapshot", ofInstance)
		require.NoError(t, err, code)
		require.Equal(t, "14", w.get(instanceKind, "db").has["BackupRetentionPeriod"])
	}
}

// The one member of a cluster with a long name has a name that RDS takes.
func TestFirstMember(t *testing.T) {
	require.Equal(t, "au-instance-1", firstMember("au"))
	for _, id := range []string{strings.Repeat("a", 63), strings.Repeat("a", 51) + "-" + strings.Repeat("b", 11), strings.Repeat("a", 52)} {
		require.NoError(t, checkIdentifier("", firstMember(id)), firstMember(id))
	}
}

// A snapshot of another account cannot be noted on, and is restored all the same, but for an encrypted one of an instance, which RDS refuses.
func TestRestoreOfAnotherAccount(t *testing.T) {
	w := withInstanceSettings()
	before := settled(w.get(instanceKind, "db"))
	w.get(snapshotKind, "snap").account = "2"
	_, err := newHost(w, quick).run(t, "RestoreRDSSnapshot", ofInstance)
	require.NoError(t, err)
	require.Equal(t, before, settled(w.get(instanceKind, "db")))

	w = withInstance()
	w.get(snapshotKind, "snap").account, w.get(snapshotKind, "snap").encrypted = "2", true
	_, err = newHost(w, quick).run(t, "RestoreRDSSnapshot", ofInstance)
	require.ErrorContains(t, err, "copy it, and restore the copy; nothing was touched")
	require.Empty(t, w.changes())

	w = withCluster()
	w.get(clusterSnapshotKind, "snap").account, w.get(clusterSnapshotKind, "snap").encrypted = "2", true
	_, err = newHost(w, quick).run(t, "RestoreRDSSnapshot", ofCluster)
	require.NoError(t, err)
}

// A snapshot of another database is restored, as a copy of production may be, and the log says so.
func TestRestoreOfAnotherDatabase(t *testing.T) {
	w := withInstance()
	w.get(snapshotKind, "snap").of = "other"
	call, rec := newCall()
	_, err := newHost(w, quick).funcs["RestoreRDSSnapshot"].Exec(t.Context(), call, ofInstance)
	require.NoError(t, err)
	require.Contains(t, rec.Log(), "what is replaced is not what the snapshot was taken of")
}

// denied is the fault of an identity that may do all but one thing.
func denied(what string) func(action, id string, nth int) (string, bool) {
	return func(action, _ string, _ int) (string, bool) {
		if action == what {
			return "AccessDenied", false
		}
		return "", false
	}
}

// A new run knows what one before it replaced that did not come to its end, whether it had deleted the database or restored it in part.
func TestRestoreAfterAnUnfinishedOne(t *testing.T) {
	for _, failing := range []string{"RestoreDBInstanceFromDBSnapshot", "ModifyDBInstance"} {
		w := withInstanceSettings()
		before := settled(w.get(instanceKind, "db"))
		w.fault = denied(failing)
		h := newHost(w, quick)
		_, err := h.run(t, "RestoreRDSSnapshot", ofInstance)
		require.ErrorContains(t, err, "AccessDenied")
		w.fault = nil
		call, _ := newCallOf("phase/another/restore/0")
		_, err = h.funcs["RestoreRDSSnapshot"].Exec(t.Context(), call, ofInstance)
		require.NoError(t, err)
		require.Equal(t, before, settled(w.get(instanceKind, "db")), failing)
		require.Equal(t, []string{"sg-1", "sg-2"}, w.get(instanceKind, "db").groups)
		require.Empty(t, w.get(snapshotKind, "snap").tags)
	}
	w := withClusterSettings()
	w.fault = denied("CreateDBInstance")
	h := newHost(w, quick)
	_, err := h.run(t, "RestoreRDSSnapshot", ofCluster)
	require.ErrorContains(t, err, "AccessDenied")
	w.fault = nil
	call, _ := newCallOf("phase/another/restore/0")
	_, err = h.funcs["RestoreRDSSnapshot"].Exec(t.Context(), call, ofCluster)
	require.NoError(t, err)
	require.Equal(t, []string{"au-a", "au-b"}, w.all(instanceKind))
	require.Equal(t, "member", w.get(instanceKind, "au-a").has["DBParameterGroupName"])

	// a note of another database is none of this one
	w = withInstance()
	for _, tag := range wordTags(restoreTags, "x", []string{"of:other", "group:sg-9"}) {
		w.get(snapshotKind, "snap").tags[*tag.Key] = *tag.Value
	}
	_, err = newHost(w, quick).run(t, "RestoreRDSSnapshot", ofInstance)
	require.NoError(t, err)
	require.Equal(t, []string{"sg-1", "sg-2"}, w.get(instanceKind, "db").groups)
}

// Without dbSubnetGroup a database stays in the subnet group that it is in.
func TestRestoreKeepsTheSubnetGroup(t *testing.T) {
	w := withInstance()
	w.get(instanceKind, "db").subnet = "other"
	h := newHost(w, quick)
	out, err := h.run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "db"})
	require.NoError(t, err)
	args := map[string]any{"instanceID": "db", "snapshotID": out["snapshotID"]}
	_, err = h.run(t, "RestoreRDSSnapshot", args)
	require.NoError(t, err)
	require.Equal(t, "other", w.get(instanceKind, "db").subnet)
	delete(w.things, instanceKind+"/db")
	_, err = h.run(t, "RestoreRDSSnapshot", args)
	require.NoError(t, err)
	require.Equal(t, "other", w.get(instanceKind, "db").subnet)
	var made string
	h.write = func(context.Context, *function.Call, dumpRequest) error {
		for _, id := range w.all(instanceKind) {
			if id != "db" {
				made = w.get(instanceKind, id).subnet
			}
		}
		return nil
	}
	export := exportArgs()
	export["snapshotID"] = out["snapshotID"]
	_, err = h.run(t, "ExportRDSSnapshotToLocation", export)
	require.NoError(t, err)
	require.Equal(t, "other", made)
}

// withSnapshotOnly is a world whose instance is gone, with a snapshot that Davit took.
func withSnapshotOnly() *world {
	w := withInstanceSettings()
	call, _ := newCallOf("phase/taken/backup/0")
	w.get(instanceKind, "db").protected = true
	out, err := newHost(w, quick).funcs["CreateRDSSnapshot"].Exec(context.Background(), call, map[string]any{"instanceID": "db"})
	if err != nil {
		panic(err)
	}
	taken := w.get(snapshotKind, out["snapshotID"].(string))
	w.things = map[string]*thing{}
	w.calls, taken.id = nil, "snap"
	w.put(taken)
	return w
}

func TestCrashOfRestoreOfWhatIsGone(t *testing.T) {
	want := withInstanceSettings().get(instanceKind, "db")
	want.protected = true
	crash{
		function: "RestoreRDSSnapshot", args: ofInstance, world: withSnapshotOnly,
		check: func(t *testing.T, w *world, _ function.Outputs) {
			require.Equal(t, settled(want), settled(w.get(instanceKind, "db")))
			require.Equal(t, []string{"sg-1", "sg-2"}, w.get(instanceKind, "db").groups)
		},
		stopped: func(t *testing.T, w *world, err error) { require.Error(t, err) },
	}.test(t)
}
