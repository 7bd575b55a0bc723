package rds

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

const cycle = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: cycle}
actions:
  backup:
    phases:
    - {func: CreateRDSSnapshot, name: create, args: {instanceID: db}}
    - func: RestoreRDSSnapshot
      name: restore
      args: {instanceID: "{{ .Phases.create.Output.instanceID }}", snapshotID: "{{ .Phases.create.Output.snapshotID }}", dbSubnetGroup: "{{ .Phases.create.Output.dbSubnetGroup }}"}
    - {func: DeleteRDSSnapshot, name: delete, args: {snapshotID: "{{ .Phases.create.Output.snapshotID }}"}}
`

// profiles is a source that has a profile and nothing else.
type profiles struct{ engine.Source }

func (profiles) Subject(context.Context, template.ObjectReference, *template.Params) error {
	return nil
}

func (profiles) Profile(context.Context, string, string) (*template.Profile, error) {
	var p template.Profile
	return &p, json.Unmarshal([]byte(profile), &p)
}

func newEngine(t *testing.T, transport http.RoundTripper) *engine.Engine {
	reg, err := function.NewRegistry(newHost(transport, quick).functions()...)
	require.NoError(t, err)
	return engine.New(reg, profiles{}, nil)
}

// A run whose host dies at any request is resumed from its journal by another, and leaves one restored instance and no snapshot of its own.
func TestRunIsResumed(t *testing.T) {
	t.Parallel()
	spec := &engine.Spec{ID: "run", Blueprints: blueprint.Parse("b.yaml", []byte(cycle)).Blueprints,
		Actions: []blueprint.ActionSpec{{Name: "backup", Blueprint: "cycle", Profile: &template.ObjectReference{Namespace: "app", Name: "p"}}}}
	finished := false
	for at := 1; !finished; at++ {
		w := withInstance()
		m := newMortal(w, at, at%2 == 0)
		journal := &engine.MemoryJournal{}
		life, end := context.WithCancel(context.WithoutCancel(t.Context()))
		done := make(chan error, 1)
		dying := newEngine(t, m)
		go func() {
			_, err := dying.Run(life, spec, &graveyard{Journal: journal, died: m.died})
			done <- err
		}()
		select {
		case err := <-done:
			require.NoError(t, err)
			finished = true
		case <-m.died:
			res, err := newEngine(t, w).Resume(t.Context(), journal)
			require.NoError(t, err, "died at request %d", at)
			require.Equal(t, engine.Complete, res.State)
			end()
			close(m.burnt)
			<-done
		}
		end()
		require.Equal(t, []string{"snap"}, w.all(snapshotKind), "died at request %d", at)
		require.Regexp(t, `^db-[a-z2-7]{12}$`, w.get(instanceKind, "db").of)
	}
}

// graveyard is a journal that takes nothing any more once its host is dead.
type graveyard struct {
	engine.Journal
	died chan struct{}
}

func (g *graveyard) Append(ctx context.Context, e engine.Event) error {
	select {
	case <-g.died:
		return context.Canceled
	default:
		return g.Journal.Append(ctx, e)
	}
}
