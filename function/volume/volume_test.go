package volume_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

func createArgs() map[string]any {
	return map[string]any{"pvc": "data", "namespace": app, "snapshotClass": "memory"}
}

func with(args map[string]any, more map[string]any) map[string]any {
	out := maps.Clone(args)
	maps.Copy(out, more)
	return out
}

// TestChecks runs what every function must pass.
func TestChecks(t *testing.T) {
	stored := func(p *place) {
		p.must("CreateCSISnapshot", "run/action/before", with(createArgs(), map[string]any{"name": "made", "labels": map[string]any{"tier": "db"}}))
	}
	retained := func(p *place) { // an object that no snapshot belongs to
		stored(p)
		require.NoError(p.t, p.Delete(p.t.Context(), ref("made"), "", snapshot.Retain))
		time.Sleep(time.Minute)
		require.Empty(p.t, p.Snapshots())
		require.Len(p.t, p.Stored(), 1)
	}
	tests := map[string]struct {
		prepare func(*place)
		args    func(n int) map[string]any
	}{
		"CreateCSISnapshot": {args: func(n int) map[string]any { return with(createArgs(), map[string]any{"name": fmt.Sprint("s", n)}) }},
		"CreateCSISnapshotStatic": {prepare: stored, args: func(n int) map[string]any {
			return map[string]any{"name": fmt.Sprint("s", n), "namespace": app, "driver": memsnap.Name, "snapshotHandle": "handle-1", "snapshotClass": "memory"}
		}},
		"CreateCSISnapshotGroup": {args: func(int) map[string]any { return map[string]any{"namespace": app, "pvcs": []any{"data", "wal"}} }},
		"AwaitCSISnapshots":      {prepare: stored, args: func(int) map[string]any { return map[string]any{"namespace": app, "names": "made"} }},
		"RestoreCSISnapshot": {prepare: stored, args: func(n int) map[string]any {
			return map[string]any{"name": "made", "pvc": fmt.Sprint("new", n), "namespace": app, "storageClass": "x", "restoreSize": "1Gi"}
		}},
		"DeleteCSISnapshot":        {prepare: stored, args: func(int) map[string]any { return map[string]any{"name": "made", "namespace": app} }},
		"DeleteCSISnapshotContent": {prepare: retained, args: func(int) map[string]any { return map[string]any{"name": "content-2"} }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				require.NoError(t, functiontest.Run(t.Context(), functiontest.Subject{
					New: func() functiontest.Function {
						p := newPlace(t, &memsnap.Options{CutAfter: time.Second, ReadyAfter: time.Minute, DeleteAfter: time.Second})
						if test.prepare != nil {
							test.prepare(p)
						}
						return p.function(name)
					},
					Args: test.args, Volatile: strings.HasPrefix(name, "Create") || name == "AwaitCSISnapshots",
				}))
			})
		})
	}
	require.Len(t, tests, 7)
}

// TestStory takes a snapshot, changes the claim, restores to another one, and deletes the snapshot.
func TestStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, &memsnap.Options{CutAfter: time.Second, ReadyAfter: time.Hour, BindAfter: time.Second, DeleteAfter: time.Second})
		out, rec, err := p.run("CreateCSISnapshot", "run/backup/snapshot", with(createArgs(), map[string]any{"labels": map[string]any{"app.kubernetes.io/name": "Shop"}}))
		require.NoError(t, err)
		name := out["name"].(string)
		require.Regexp(t, "^data-snapshot-[a-z2-7]{15}$", name)
		require.Equal(t, function.Outputs{"name": name, "pvc": "data", "namespace": app, "restoreSize": "1Gi", "snapshotContent": out["snapshotContent"]}, out)
		require.NotEmpty(t, out["snapshotContent"])
		var notes []string
		for _, pr := range rec.Progress() {
			notes = append(notes, pr.Note)
		}
		require.Equal(t, []string{
			"snapshot app/" + name + ": waiting until it is cut", "snapshot app/" + name + ": cut, waiting until it can be restored", "snapshot app/" + name + ": can be restored",
		}, notes)
		status, err := p.Get(t.Context(), ref(name))
		require.NoError(t, err)
		require.Equal(t, map[string]string{"app_kubernetes_io_name": "shop", "davit.io/run": "run", "davit.io/phase": "run.backup.snapshot"}, status.Labels)

		require.NoError(t, p.Write(ref("data"), "lost"))
		restore := map[string]any{"name": name, "pvc": "new", "namespace": app, "storageClass": "x", "restoreSize": out["restoreSize"]}
		require.Empty(t, p.must("RestoreCSISnapshot", "run/restore/restore", restore))
		require.Equal(t, "content of data", p.content("new"))
		_, _, err = p.run("RestoreCSISnapshot", "run/restore/another", restore)
		require.ErrorIs(t, err, snapshot.ErrExists)
		require.True(t, function.IsPermanent(err))
		require.Equal(t, "content of data", p.content("new"), "somebody else's is not touched")

		for range 2 { // what is gone is gone
			p.must("DeleteCSISnapshot", "run/delete/delete", map[string]any{"name": name, "namespace": app})
		}
		p.gone()
	})
}

// TestStatic makes what the storage alone has known again.
func TestStatic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, &memsnap.Options{ReadyAfter: time.Minute, Policy: snapshot.Retain, DeleteAfter: time.Second})
		out := p.must("CreateCSISnapshot", "run/backup/snapshot", with(createArgs(), map[string]any{"name": "first"}))
		p.must("DeleteCSISnapshot", "run/delete/delete", map[string]any{"name": "first", "namespace": app})
		content := out["snapshotContent"].(string)
		has, err := p.HasContent(t.Context(), content)
		require.NoError(t, err)
		require.True(t, has, "the class keeps it")
		for range 2 {
			p.must("DeleteCSISnapshotContent", "run/delete/content", map[string]any{"name": content})
		}
		require.Empty(t, p.Snapshots())
		handles := p.Stored()
		require.Len(t, handles, 1)

		args := map[string]any{"name": "again", "namespace": app, "driver": memsnap.Name, "snapshotHandle": handles[0], "snapshotClass": "memory"}
		made := p.must("CreateCSISnapshotStatic", "run/import/import", args)
		require.Equal(t, function.Outputs{"name": "again", "namespace": app, "restoreSize": "1Gi", "snapshotContent": made["snapshotContent"]}, made)
		_, _, err = p.run("CreateCSISnapshotStatic", "run/import/other", args)
		require.ErrorIs(t, err, snapshot.ErrExists)
		_, _, err = p.run("CreateCSISnapshotStatic", "run/import/bad", with(args, map[string]any{"name": "bad", "snapshotHandle": "none"}))
		require.ErrorIs(t, err, snapshot.ErrFailed)
		require.Equal(t, []string{"app/again"}, p.Snapshots())
		require.Equal(t, handles, p.Stored(), "what the storage had stays")
	})
}

// TestPermanent tells errors that trying again cannot mend from others.
func TestPermanent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, nil)
		p.must("CreateCSISnapshot", "run/a/first", with(createArgs(), map[string]any{"name": "taken"}))
		for name, c := range map[string]struct {
			function  string
			args      map[string]any
			want      error
			permanent bool
		}{
			"a name that is taken": {"CreateCSISnapshot", with(createArgs(), map[string]any{"name": "taken"}), snapshot.ErrExists, true},
			"no class":             {"CreateCSISnapshot", with(createArgs(), map[string]any{"snapshotClass": "none"}), snapshot.ErrNoClass, true},
			"no claim":             {"CreateCSISnapshot", with(createArgs(), map[string]any{"pvc": "none"}), snapshot.ErrNotFound, false},
			"no name":              {"DeleteCSISnapshot", map[string]any{"name": "", "namespace": app}, snapshot.ErrInvalid, true},
			"too small": {"RestoreCSISnapshot", map[string]any{"name": "taken", "pvc": "new", "namespace": app, "storageClass": "x", "restoreSize": "1Mi"},
				snapshot.ErrInvalid, true},
			"no size": {"RestoreCSISnapshot", map[string]any{"name": "taken", "pvc": "new", "namespace": app, "storageClass": "x", "restoreSize": "much"},
				snapshot.ErrInvalid, true},
			"no snapshot": {"RestoreCSISnapshot", map[string]any{"name": "none", "pvc": "new", "namespace": app, "storageClass": "x", "restoreSize": "1Gi"},
				snapshot.ErrNotFound, false},
			"nothing to wait for": {"AwaitCSISnapshots", map[string]any{"names": "none", "namespace": app}, snapshot.ErrNotFound, false},
		} {
			_, _, err := p.run(c.function, "run/a/"+name, c.args)
			require.ErrorIs(t, err, c.want, name)
			require.Equal(t, c.permanent, function.IsPermanent(err), "%s: %v", name, err)
		}
		require.Equal(t, []string{"app/taken"}, p.Snapshots())
	})
}

// TestProblem wants what the storage reports in the progress and, when it lasts, in the error, and nothing left.
func TestProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, &memsnap.Options{DeleteAfter: time.Second})
		p.SetProblem(ref("s"), "the pool is\nfull")
		_, rec, err := p.run("CreateCSISnapshot", "run/a/s", with(createArgs(), map[string]any{"name": "s"}))
		require.ErrorIs(t, err, snapshot.ErrFailed)
		require.False(t, function.IsPermanent(err))
		require.ErrorContains(t, err, "the pool is")
		require.Contains(t, fmt.Sprint(rec.Progress()), "the storage reports the pool is full")
		p.gone()
	})
}

// TestCancel cancels each function that makes something while the storage is at work.
func TestCancel(t *testing.T) {
	stop := errors.New("somebody had enough")
	for name, args := range map[string]map[string]any{
		"CreateCSISnapshot":      createArgs(),
		"CreateCSISnapshotGroup": {"namespace": app, "pvcs": []any{"data", "wal"}},
	} {
		for _, after := range []time.Duration{time.Second, 20 * time.Second} {
			t.Run(fmt.Sprint(name, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPlace(t, &memsnap.Options{CutAfter: 10 * time.Second, ReadyAfter: time.Hour, DeleteAfter: time.Second})
					ctx, cancel := context.WithCancelCause(t.Context())
					time.AfterFunc(after, func() { cancel(stop) })
					call, _ := functiontest.NewCall("run/a/b")
					_, err := p.function(name).Exec(ctx, call, args)
					require.ErrorIs(t, err, stop)
					p.gone()
				})
			})
		}
	}
}

// TestRetry takes the same snapshot again when the first attempt has failed.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, &memsnap.Options{CutAfter: time.Second, DeleteAfter: time.Second})
		call, _ := functiontest.NewCall("run/a/b")
		out, err := p.function("CreateCSISnapshot").Exec(t.Context(), call, createArgs())
		require.NoError(t, err)
		name := out["name"].(string)
		p.must("DeleteCSISnapshot", "run/a/c", map[string]any{"name": name, "namespace": app})
		p.SetProblem(ref(name), "the pool is full")
		_, err = p.function("CreateCSISnapshot").Exec(t.Context(), call, createArgs())
		require.ErrorIs(t, err, snapshot.ErrFailed)
		p.gone()
		p.SetProblem(ref(name), "")
		call.Attempt = 2
		out, err = p.function("CreateCSISnapshot").Exec(t.Context(), call, createArgs())
		require.NoError(t, err)
		require.Equal(t, name, out["name"])
		require.Equal(t, []string{"app/" + name}, p.Snapshots())
	})
}

// TestRestoreThatWaitsForAPod does not wait for storage that is made when a pod uses the claim.
func TestRestoreThatWaitsForAPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, &memsnap.Options{WaitForPod: true})
		p.must("CreateCSISnapshot", "run/a/b", with(createArgs(), map[string]any{"name": "made"}))
		_, rec, err := p.run("RestoreCSISnapshot", "run/a/c", map[string]any{"name": "made", "pvc": "new", "namespace": app, "storageClass": "x", "restoreSize": "1Gi"})
		require.NoError(t, err)
		require.Contains(t, fmt.Sprint(rec.Progress()), "its storage is when a pod first uses it")
		require.Equal(t, "content of data", p.content("new"))
	})
}
