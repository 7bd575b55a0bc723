package volume_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

// heard is storage that notes what it is asked for.
type heard struct {
	*memsnap.Driver
	create  []snapshot.Request
	imports []snapshot.ImportRequest
	restore []snapshot.RestoreRequest
}

func (h *heard) Create(ctx context.Context, req snapshot.Request) error {
	h.create = append(h.create, req)
	return h.Driver.Create(ctx, req)
}

func (h *heard) Import(ctx context.Context, req snapshot.ImportRequest) error {
	h.imports = append(h.imports, req)
	return h.Driver.Import(ctx, req)
}

func (h *heard) Restore(ctx context.Context, req snapshot.RestoreRequest) error {
	h.restore = append(h.restore, req)
	return h.Driver.Restore(ctx, req)
}

// TestRequests compares what the storage is asked for with the arguments.
func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &heard{Driver: memsnap.New(nil)}
		h.AddVolume(ref("data"), "x")
		call, _ := functiontest.NewCall("run/a/b")
		run := func(name string, args map[string]any) {
			t.Helper()
			_, err := lookup(t, volume.Functions(volume.Deps{Snapshots: snapshot.New(h, nil)}), name).Exec(t.Context(), call, args)
			require.NoError(t, err)
		}
		token := call.Name("")
		run("CreateCSISnapshot", with(createArgs(), map[string]any{"name": "made", "labels": map[string]any{"A/b": "C"}}))
		require.Equal(t, []snapshot.Request{{Ref: ref("made"), Volume: "data", Class: "memory", Token: token,
			Labels: map[string]string{"a_b": "c", "davit.io/run": "run", "davit.io/phase": "run.a.b"}}}, h.create)

		run("CreateCSISnapshotStatic", map[string]any{"name": "again", "namespace": app, "driver": memsnap.Name, "snapshotHandle": "handle-1", "snapshotClass": "memory"})
		run("CreateCSISnapshotStatic", map[string]any{"name": "raw", "namespace": app, "driver": memsnap.Name, "snapshotHandle": "handle-1", "snapshotClass": "memory", "volumeMode": "Block"})
		require.Equal(t, []snapshot.ImportRequest{
			{Ref: ref("again"), Driver: memsnap.Name, Handle: "handle-1", Class: "memory", Token: token, Labels: call.Labels},
			{Ref: ref("raw"), Driver: memsnap.Name, Handle: "handle-1", Class: "memory", Token: token, Labels: call.Labels, Block: true},
		}, h.imports)

		run("RestoreCSISnapshot", map[string]any{"name": "made", "pvc": "new", "namespace": app, "storageClass": "fast", "restoreSize": "2Gi"})
		run("RestoreCSISnapshot", map[string]any{"name": "made", "pvc": "raw", "namespace": app, "storageClass": "fast", "restoreSize": "1Gi",
			"accessModes": []any{"readwriteoncepod", "ReadOnlyMany"}, "volumeMode": "block", "labels": map[string]any{"A/b": "C", "davit.io/run": "forged"}})
		require.Equal(t, []snapshot.RestoreRequest{
			{Ref: ref("new"), Snapshot: "made", StorageClass: "fast", Size: "2Gi", AccessModes: []string{"ReadWriteOnce"}, Labels: call.Labels, Token: token},
			{Ref: ref("raw"), Snapshot: "made", StorageClass: "fast", Size: "1Gi", AccessModes: []string{"ReadWriteOncePod", "ReadOnlyMany"}, Block: true, Token: token,
				Labels: map[string]string{"A/b": "C", "davit.io/run": "run", "davit.io/phase": "run.a.b"}},
		}, h.restore)
	})
}

// TestUntil returns from a group when it is cut, or when it is ready.
func TestUntil(t *testing.T) {
	for until, want := range map[string]time.Duration{"cut": time.Second, "CUT": time.Second, "ready": time.Hour, "": time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, &memsnap.Options{CutAfter: time.Second, ReadyAfter: time.Hour})
			args := map[string]any{"namespace": app, "pvcs": []any{"data", "wal"}}
			if until != "" {
				args["until"] = until
			}
			begin := time.Now()
			p.must("CreateCSISnapshotGroup", "run/a/b", args)
			require.InDelta(t, want.Seconds(), time.Since(begin).Seconds(), 6, until)
		})
	}
}
