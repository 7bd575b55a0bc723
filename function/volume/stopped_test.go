package volume_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

// deaf is a pod whose command holds, and never ends by itself.
type deaf struct{}

func (deaf) Exec(ctx context.Context, cmd cluster.Command) error {
	if _, err := io.WriteString(cmd.Stdout, "held\n"); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// noDelete is storage that nobody may delete from.
type noDelete struct{ *memsnap.Driver }

func (noDelete) Delete(context.Context, snapshot.Ref, string, snapshot.Policy) error {
	return fmt.Errorf("delete: %w", snapshot.ErrDenied)
}

func (noDelete) DeleteVolume(context.Context, snapshot.Ref, string) error {
	return fmt.Errorf("delete: %w", snapshot.ErrDenied)
}

// TestStoppedTellsWhatIsLeft: who cancels a run reads what it leaves behind, and that a database may still be held.
func TestStoppedTellsWhatIsLeft(t *testing.T) {
	hold := map[string]any{"namespace": app, "pvcs": []any{"data"}, "names": map[string]any{"data": "one"}, "hold": map[string]any{"pod": "db-0", "command": []any{"hold"}}}
	for _, c := range []struct {
		name, function string
		args           map[string]any
		exec           cluster.Executor
		forbidden      bool
		says           string
	}{
		{name: "a snapshot", function: "CreateCSISnapshot", args: with(createArgs(), map[string]any{"name": "one"}), forbidden: true,
			says: `left behind, as the clean-up failed: remove snapshot "app/one": delete: permission denied`},
		{name: "a group", function: "CreateCSISnapshotGroup", args: hold, exec: slowEnd{}, forbidden: true, says: `left behind, as the clean-up failed: remove snapshot "app/one"`},
		{name: "a claim", function: "RestoreCSISnapshot", forbidden: true, says: `left behind, as the clean-up failed: remove volume "app/new"`,
			args: map[string]any{"name": "made", "pvc": "new", "namespace": app, "storageClass": "x", "restoreSize": "1Gi"}},
		{name: "a database", function: "CreateCSISnapshotGroup", args: hold, exec: deaf{}, says: "it may still be held: "},
		{name: "nothing", function: "CreateCSISnapshot", args: createArgs()},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t, &memsnap.Options{CutAfter: 10 * time.Second, BindAfter: time.Hour})
				p.must("CreateCSISnapshot", "run/a/before", with(createArgs(), map[string]any{"name": "made"}))
				deps := volume.Deps{Snapshots: snapshot.New(p.Driver, nil), Exec: c.exec}
				if c.forbidden {
					deps.Snapshots = snapshot.New(noDelete{p.Driver}, nil)
				}
				reg, err := function.NewRegistry(volume.Functions(deps)...)
				require.NoError(t, err)
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(5*time.Second, func() { cancel(errors.New("somebody had enough")) })
				bp := &blueprint.Blueprint{Name: "b", ActionNames: []string{"a"}, Actions: map[string]*blueprint.Action{"a": {Name: "a", Phases: []*blueprint.Phase{{Func: c.function, Name: "p", Args: c.args}}}}}
				res, err := engine.New(reg, nil, nil).Run(ctx, &engine.Spec{
					ID: "run", Blueprints: []*blueprint.Blueprint{bp}, Actions: []blueprint.ActionSpec{{Name: "a", Blueprint: "b"}},
				}, &engine.MemoryJournal{})
				require.ErrorIs(t, err, engine.ErrCancelled)
				require.Equal(t, engine.Cancelled, res.State)
				require.NotNil(t, res.Actions[0].Phases[0].Failure)
				told := res.Actions[0].Phases[0].Failure.Message
				t.Log(told)
				require.Contains(t, told, c.says)
				if c.says == "" {
					require.NotContains(t, told, "left behind")
				}
			})
		})
	}
}
