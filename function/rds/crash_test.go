package rds

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/fileblob"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/location"
)

// withInstance is a world with an instance and a snapshot of it.
func withInstance() *world {
	w := newWorld()
	w.put(&thing{kind: instanceKind, id: "db", status: "available", engine: "postgres", version: "15.4", subnet: "default", groups: []string{"sg-1", "sg-2"}, public: true})
	w.put(&thing{kind: snapshotKind, id: "snap", status: "available", engine: "postgres", version: "15.4", of: "db"})
	return w
}

// withCluster is a world with a cluster of Aurora of two members, the second of which writes, and a snapshot of it.
func withCluster() *world {
	w := newWorld()
	w.put(&thing{kind: clusterKind, id: "au", status: "available", engine: "aurora-mysql", version: "8.0.1", subnet: "default", groups: []string{"sg-1"},
		members: []string{"au-a", "au-b"}, shape: "0.5:8"})
	for _, m := range []string{"au-a", "au-b"} {
		w.put(&thing{kind: instanceKind, id: m, status: "available", engine: "aurora-mysql", class: "db.r6g." + m, cluster: "au"})
	}
	w.put(&thing{kind: clusterSnapshotKind, id: "snap", status: "available", engine: "aurora-mysql", version: "8.0.1", of: "au"})
	return w
}

func TestCrashOfCreate(t *testing.T) {
	for name, tc := range map[string]struct {
		args  map[string]any
		kind  string
		world func() *world
	}{
		"instance": {map[string]any{"instanceID": "db"}, snapshotKind, withInstance},
		"cluster":  {map[string]any{"instanceID": "au", "dbEngine": "aurora-mysql"}, clusterSnapshotKind, withCluster},
	} {
		t.Run(name, crash{
			function: "CreateRDSSnapshot", args: tc.args, world: tc.world,
			check: func(t *testing.T, w *world, out function.Outputs) {
				require.Len(t, w.all(tc.kind), 2, "the one that was there, and one for the phase")
				require.Equal(t, "available", w.get(tc.kind, out["snapshotID"].(string)).status)
				require.NotEqual(t, "[]\n", out["securityGroupID"])
			},
			stopped: func(t *testing.T, w *world, err error) {
				if len(w.all(tc.kind)) == 1 {
					require.ErrorIs(t, err, context.Canceled)
					return
				}
				require.ErrorContains(t, err, "left behind")
				require.ErrorContains(t, err, w.all(tc.kind)[0])
			},
		}.test)
	}
}

func TestCrashOfRestoreOfInstance(t *testing.T) {
	crash{
		function: "RestoreRDSSnapshot", args: map[string]any{"instanceID": "db", "snapshotID": "snap"}, world: withInstanceSettings,
		check: func(t *testing.T, w *world, _ function.Outputs) {
			require.Equal(t, settled(withInstanceSettings().get(instanceKind, "db")), settled(w.get(instanceKind, "db")))
			db := w.get(instanceKind, "db")
			require.Equal(t, "snap", db.of)
			require.Equal(t, "available", db.status)
			require.Equal(t, []string{"sg-1", "sg-2"}, db.groups, "the groups of the instance that is gone")
			require.True(t, db.public)
			require.Equal(t, []string{"db"}, w.all(instanceKind))
			require.Empty(t, w.get(snapshotKind, "snap").tags, "no note is left")
		},
		stopped: restoreStopped(instanceKind, "db"),
	}.test(t)
}

// restoreStopped wants a database that is as it was, or to be told.
func restoreStopped(kind, id string) func(*testing.T, *world, error) {
	return func(t *testing.T, w *world, err error) {
		x := w.get(kind, id)
		if x != nil && x.of == "" && x.status == "available" && w.count("DeleteDBInstance") == 0 {
			if err.Error() != context.Canceled.Error() {
				require.ErrorContains(t, err, "was to be deleted")
			}
			return
		}
		if x != nil && x.of == "snap" && x.status == "available" && len(w.get(map[string]string{instanceKind: snapshotKind, clusterKind: clusterSnapshotKind}[kind], "snap").tags) == 0 {
			return // it had been restored as a whole
		}
		if kind == instanceKind || x == nil || x.of != "" {
			require.ErrorContains(t, err, "snapshot snap")
		}
	}
}

func TestCrashOfRestoreOfCluster(t *testing.T) {
	crash{
		function: "RestoreRDSSnapshot", args: map[string]any{"instanceID": "au", "snapshotID": "snap", "dbEngine": "aurora-mysql"}, world: withClusterSettings,
		check: func(t *testing.T, w *world, _ function.Outputs) {
			before := withClusterSettings()
			require.Equal(t, settled(before.get(clusterKind, "au")), settled(w.get(clusterKind, "au")))
			for _, m := range []string{"au-a", "au-b"} {
				require.Equal(t, settled(before.get(instanceKind, m)), settled(w.get(instanceKind, m)))
			}
			au := w.get(clusterKind, "au")
			require.Equal(t, "snap", au.of)
			require.Equal(t, "available", au.status)
			require.Equal(t, []string{"sg-1"}, au.groups)
			require.Equal(t, "0.5:8", au.shape)
			require.Equal(t, []string{"au-b", "au-a"}, au.members, "the writer first, each once")
			require.Equal(t, []string{"au-a", "au-b"}, w.all(instanceKind))
			for _, m := range au.members {
				require.Equal(t, "db.r6g."+m, w.get(instanceKind, m).class)
				require.Equal(t, "available", w.get(instanceKind, m).status)
			}
			require.Empty(t, w.get(clusterSnapshotKind, "snap").tags, "no note is left")
		},
		stopped: restoreStopped(clusterKind, "au"),
	}.test(t)
}

func TestCrashOfDelete(t *testing.T) {
	crash{
		function: "DeleteRDSSnapshot", args: map[string]any{"snapshotID": "snap", "dbEngine": "aurora-mysql"}, world: withCluster,
		check:   func(t *testing.T, w *world, _ function.Outputs) { require.Empty(t, w.all(clusterSnapshotKind)) },
		stopped: func(t *testing.T, _ *world, err error) { require.ErrorIs(t, err, context.Canceled) },
	}.test(t)
}

func exportArgs() map[string]any {
	return map[string]any{"namespace": "n", "instanceID": "db", "snapshotID": "snap", "dbEngine": "PostgreSQL", "username": "u", "password": password}
}

func TestCrashOfExport(t *testing.T) {
	crash{
		function: "ExportRDSSnapshotToLocation", args: exportArgs(), world: withInstance,
		hook: func(h *host, dir string) {
			h.Open = func(context.Context, []byte) (*location.Bucket, error) {
				b, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
				return location.New(b, nil), err
			}
			h.write = func(ctx context.Context, _ *function.Call, req dumpRequest) error {
				if ctx.Err() == nil && (req.Endpoint.Host == "" || req.Endpoint.Port != 5432 || req.Endpoint.EngineVersion != "15.4") {
					return errors.New("bad request")
				}
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				return errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(req.Path)), 0o700), os.WriteFile(filepath.Join(dir, req.Path), []byte("dump"), 0o600))
			}
		},
		check: func(t *testing.T, w *world, out function.Outputs) {
			require.Equal(t, []string{"db"}, w.all(instanceKind), "the temporary instance is gone")
			require.Equal(t, []string{"snap"}, w.all(snapshotKind))
			require.Equal(t, "- sg-1\n- sg-2\n", out["securityGroupID"])
		},
		stopped: func(t *testing.T, w *world, err error) {
			if left := w.all(instanceKind); len(left) > 1 {
				require.ErrorContains(t, err, "left behind")
				require.ErrorContains(t, err, left[1])
				return
			}
			require.ErrorIs(t, err, context.Canceled)
		},
	}.test(t)
}
