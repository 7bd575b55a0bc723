package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/template"
)

const manifestBlueprint = header + `
  backup:
    outputArtifacts:
      dump: {keyValue: {path: "{{ .Phases.a.Output.value }}", login: "admin:{{ .Secrets.pw.Data.password | toString }}"}}
      copy: {kopiaSnapshot: "{{ .Options.token }}"}
    phases:
    - {func: Echo, name: a, args: {value: 'db/1'}}
    - {func: Echo, name: b, if: "{{ false }}"}
    deferPhase: {func: Make, name: z}
`

func manifestSpec(t *testing.T) (*Spec, *objects) {
	source := newObjects()
	source.secret("login", "password", canaries[0])
	source.profiles["app/prof"] = &template.Profile{
		Location:   template.Location{Type: "s3Compliant", Bucket: "b"},
		Credential: template.Credential{Type: "keyPair", KeyPair: &template.KeyPair{ID: canaries[2], Secret: canaries[3]}},
	}
	spec := specOf(t, manifestBlueprint, "backup")
	spec.Labels = map[string]string{"team": "shop"}
	a := &spec.Actions[0]
	a.Secrets = map[string]template.ObjectReference{"pw": {Namespace: "app", Name: "login"}}
	a.Profile = &template.ObjectReference{Namespace: "app", Name: "prof"}
	a.Options = map[string]string{"plain": "yes", "token": "t-" + canaries[0]}
	return spec, source
}

func TestManifest(t *testing.T) {
	spec, source := manifestSpec(t)
	var kept []*Manifest
	j := &MemoryJournal{}
	opts := &Options{Manifest: func(_ context.Context, m *Manifest) error {
		events, err := j.Events(t.Context())
		require.NoError(t, err)
		require.Equal(t, PhaseComplete, events[len(events)-1].Kind, "the action has not ended")
		kept = append(kept, m)
		return nil
	}}
	res, err := New(newWorld().registry(t), source, opts).Run(t.Context(), spec, j)
	require.NoError(t, err)
	require.Len(t, kept, 1)
	m := kept[0]
	require.Equal(t, "run-1", m.Run)
	require.Equal(t, map[string]string{"team": "shop"}, m.Labels)
	require.Equal(t, "backup", m.Label)
	require.Equal(t, "db", m.Spec.Object.Name)
	require.Equal(t, map[string]string{"plain": "yes"}, m.Spec.Options)
	require.Equal(t, map[string]template.Artifact{"dump": {KeyValue: map[string]string{"path": "db/1"}}, "copy": {KeyValue: map[string]string{}}}, m.Artifacts)
	require.Equal(t, []string{"artifacts.copy", "artifacts.dump.login", "options.token"}, m.Withheld)
	require.Equal(t, []ManifestPhase{{"a", "Echo", "v0.0.0", Complete}, {"b", "Echo", "v0.0.0", Skipped}, {"z", "Make", "v0.0.0", Complete}}, m.Phases)
	require.Equal(t, res.Started, m.Started)
	require.Equal(t, res.Actions[0].Phases[2].Ended, m.Ended)
	canonical, err := spec.Blueprints[0].JSON()
	require.NoError(t, err)
	require.Equal(t, string(canonical), string(m.Blueprint))
	require.Contains(t, m.Profile.Reveal(), canaries[3])
}

// A run whose host dies between the manifest and the end of the action keeps the same manifest again, and no phase runs twice.
func TestManifestIsTheSameAfterACrash(t *testing.T) {
	spec, source := manifestSpec(t)
	w := newWorld()
	var kept []*Manifest
	keep := &Options{Manifest: func(_ context.Context, m *Manifest) error { kept = append(kept, m); return nil }}
	j := &MemoryJournal{}
	_, err := New(w.registry(t), source, keep).Run(t.Context(), spec, j)
	require.NoError(t, err)
	events, err := j.Events(t.Context())
	require.NoError(t, err)
	crashed := &MemoryJournal{}
	for _, e := range events {
		if e.Kind != ActionEnded && e.Kind != RunEnded {
			require.NoError(t, crashed.Append(t.Context(), e))
		}
	}
	calls := w.count("a")
	_, err = New(w.registry(t), source, keep).Resume(t.Context(), crashed)
	require.NoError(t, err)
	require.Equal(t, calls, w.count("a"))
	require.Len(t, kept, 2)
	require.Equal(t, kept[0].Profile.Reveal(), kept[1].Profile.Reveal())
	kept[1].Profile = kept[0].Profile
	require.Equal(t, kept[0], kept[1])
}

// An action whose manifest cannot be kept has failed, and says so without secrets; where its data is is still said.
func TestManifestThatFails(t *testing.T) {
	spec, source := manifestSpec(t)
	opts := &Options{Manifest: func(context.Context, *Manifest) error { return errors.New("the store refuses " + canaries[3]) }}
	res, err := New(newWorld().registry(t), source, opts).Run(t.Context(), spec, &MemoryJournal{})
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorContains(t, err, "keep the manifest: the store refuses [masked]")
	require.Equal(t, Failed, res.State)
	require.Equal(t, "db/1", res.Actions[0].Shown["dump"].KeyValue["path"])
}

func TestManifestIsBounded(t *testing.T) {
	for _, cancelled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			spec, source := manifestSpec(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			began := time.Now()
			opts := &Options{ManifestTimeout: time.Hour, StopGrace: time.Minute, Manifest: func(ctx context.Context, _ *Manifest) error {
				if cancelled {
					cancel()
				}
				<-ctx.Done()
				return ctx.Err()
			}}
			res, err := New(newWorld().registry(t), source, opts).Run(ctx, spec, &MemoryJournal{})
			require.ErrorIs(t, err, ErrFailed)
			require.Equal(t, Failed, res.State)
			want := time.Hour
			if cancelled {
				want = time.Minute
			}
			require.Equal(t, want, time.Since(began))
		})
	}
}

// An action that failed has no manifest.
func TestNoManifestOfAFailure(t *testing.T) {
	opts := &Options{Manifest: func(context.Context, *Manifest) error { t.Error("called"); return nil }}
	_, err := New(newWorld().registry(t), newObjects(), opts).Run(t.Context(), specOf(t, header+
		"  backup: {phases: [{func: Echo, name: a, args: {fail: now}}]}\n", "backup"), &MemoryJournal{})
	require.ErrorIs(t, err, ErrFailed)
}
