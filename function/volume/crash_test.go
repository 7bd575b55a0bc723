package volume_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

// crashCase is a function that makes something.
type crashCase struct {
	name string
	args map[string]any
	// prepare makes what it works on.
	prepare func(*place)
	// want are the snapshots there are afterwards; claims are the claims it makes.
	want, claims []string
}

func crashCases() []crashCase {
	made := func(p *place) {
		p.must("CreateCSISnapshot", "run/a/before", with(createArgs(), map[string]any{"name": "made"}))
	}
	return []crashCase{
		{name: "CreateCSISnapshot", args: with(createArgs(), map[string]any{"name": "one"}), want: []string{"app/one"}},
		{name: "CreateCSISnapshotGroup", args: map[string]any{"namespace": app, "pvcs": []any{"data", "wal"}, "names": map[string]any{"data": "one", "wal": "two"}},
			want: []string{"app/one", "app/two"}},
		{name: "CreateCSISnapshotStatic", prepare: made, want: []string{"app/made", "app/one"},
			args: map[string]any{"name": "one", "namespace": app, "driver": memsnap.Name, "snapshotHandle": "handle-1", "snapshotClass": "memory"}},
		{name: "RestoreCSISnapshot", prepare: made, want: []string{"app/made"}, claims: []string{"new"},
			args: map[string]any{"name": "made", "pvc": "new", "namespace": app, "storageClass": "x", "restoreSize": "1Gi"}},
	}
}

// resume executes a function as a host does that takes up the attempt of one that died.
func (p *place) resume(ctx context.Context, name string, args map[string]any) (function.Outputs, error) {
	call, _ := functiontest.NewCall("run/a/b")
	call.Resumed = true
	return p.function(name).Exec(ctx, call, args)
}

// TestCrash lets the host die before and after each thing it asks the storage for. The next one adopts what is there: each snapshot is there once, the content is that
// of the first request that reached the storage.
func TestCrash(t *testing.T) {
	for _, c := range crashCases() {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " cancelled ", cancelled), func(t *testing.T) {
				for at, died := 1, true; died; at++ {
					synctest.Test(t, func(t *testing.T) { died = c.crash(t, at, cancelled) })
				}
			})
		}
	}
}

// crash reports whether the host died at the moment.
func (c crashCase) crash(t *testing.T, at int, cancelled bool) bool {
	p := newPlace(t, &memsnap.Options{CutAfter: time.Second, ReadyAfter: 3 * time.Second, BindAfter: time.Second, DeleteAfter: time.Second})
	if c.prepare != nil {
		c.prepare(p)
	}
	before, kept := p.Stored(), p.Snapshots()
	p.live(at)
	_, _, err := p.run(c.name, "run/a/b", c.args)
	p.live(0)
	if err == nil {
		require.Equal(t, c.want, p.Snapshots())
		require.Greater(t, at, 5, "the host died too seldom to prove anything")
		return false
	}
	require.ErrorIs(t, err, errDead)
	if cancelled {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := p.resume(ctx, c.name, c.args)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, kept, p.Snapshots(), "moment %d", at)
		require.Equal(t, before, p.Stored(), "moment %d", at)
		for _, claim := range c.claims {
			_, err := p.Read(ref(claim))
			require.ErrorIs(t, err, snapshot.ErrNotFound)
		}
		return true
	}
	there := slices.DeleteFunc(p.Snapshots(), func(name string) bool { return slices.Contains(kept, name) })
	_, err = p.resume(t.Context(), c.name, c.args)
	require.NoError(t, err, "moment %d", at)
	require.Equal(t, c.want, p.Snapshots(), "moment %d", at)
	for _, name := range there {
		require.Zero(t, p.asked["Delete "+name], "moment %d: %s was there and is adopted", at, name)
	}
	if c.name != "CreateCSISnapshotStatic" && c.name != "RestoreCSISnapshot" {
		require.Len(t, p.Stored(), len(c.want), "moment %d", at)
	}
	for _, claim := range c.claims {
		require.Equal(t, "content of data", p.content(claim))
	}
	return true
}
