package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// Manifest is what an action has done, for a host that keeps it beside the data: with it, another action can use the artifacts although the journal is gone. It is the
// same each time it is made of one action. But for Profile it holds no secret that the run knows.
type Manifest struct {
	// Run is its id, Labels are the run's. Action is the position of the action in the run, from 0, Label its label.
	Run    string
	Labels map[string]string
	Action int
	Label  string
	// Spec is the action's request: without input artifacts and pod settings, and without the options that contain a secret.
	Spec blueprint.ActionSpec
	// Blueprint is the canonical form of the one the action is from, see blueprint.Blueprint.JSON.
	Blueprint json.RawMessage
	// Started is when the run began, Ended when the action's last phase ended.
	Started, Ended time.Time
	// Phases in order; the deferred one comes last.
	Phases []ManifestPhase
	// Artifacts of the action, without the values that contain a secret.
	Artifacts map[string]template.Artifact
	// Withheld names what was left out because it contains a secret: "options.KEY", "artifacts.NAME.KEY", "artifacts.NAME" for a kopia snapshot. Sorted.
	Withheld []string
	// Profile is the JSON of the action's profile with its credential, as Call.Profile is; unset without one.
	Profile function.Secret
}

// ManifestPhase is a phase of a manifest.
type ManifestPhase struct {
	Name, Func, Version string
	// State is Complete or Skipped.
	State RunState
}

// keepManifest hands the manifest of an action whose phases are complete to the host. A cancelled run gives it the stop grace.
func (r *run) keepManifest(base context.Context, i int, artifacts Values) error {
	opts := &r.engine.opts
	if opts.Manifest == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(base, opts.ManifestTimeout)
	defer cancel()
	defer context.AfterFunc(r.stopping, func() { //nolint:contextcheck // it only tells when to stop
		timer := time.NewTimer(opts.StopGrace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-ctx.Done():
		}
	})()
	m, err := r.manifest(i, artifacts)
	if err == nil {
		err = opts.Manifest(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("keep the manifest: %w", err)
	}
	return nil
}

func (r *run) manifest(i int, artifacts Values) (*Manifest, error) {
	state, err := r.current()
	if err != nil {
		return nil, err
	}
	rec, a, src := state.Record, &state.Actions[i], &r.program.actions[i]
	m := &Manifest{Run: rec.ID, Labels: maps.Clone(rec.Labels), Action: i, Label: a.Label, Spec: rec.Actions[i].Spec,
		Blueprint: rec.Blueprints[src.spec.Blueprint], Started: state.Started, Ended: state.Started, Artifacts: map[string]template.Artifact{}}
	for _, ph := range src.all() {
		s, at := ph.fn.Schema(), a.phase(ph.index)
		m.Phases = append(m.Phases, ManifestPhase{Name: ph.name, Func: s.Name, Version: s.Version, State: at.State})
		if at.Ended.After(m.Ended) {
			m.Ended = at.Ended
		}
	}
	options, _ := rec.Actions[i].Params["options"].(map[string]any)
	m.Spec.Options = m.texts("options.", options)
	for name, value := range artifacts {
		m.artifact(name, value)
	}
	slices.Sort(m.Withheld)
	if p := r.params[i].Profile; p != nil {
		data, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		m.Profile = function.NewSecret(string(data))
	}
	return m, nil
}

// texts returns the texts of a map; what contains a secret is withheld.
func (m *Manifest) texts(path string, values map[string]any) map[string]string {
	kept := map[string]string{}
	for key, value := range values {
		if text, ok := value.(string); ok {
			kept[key] = text
			continue
		}
		m.Withheld = append(m.Withheld, path+key)
	}
	return kept
}

func (m *Manifest) artifact(name string, value any) {
	fields, _ := value.(map[string]any)
	values, _ := fields["keyValue"].(map[string]any)
	kept := template.Artifact{KeyValue: m.texts("artifacts."+name+".", values)}
	switch snapshot := fields["kopiaSnapshot"].(type) {
	case string:
		kept.KopiaSnapshot = snapshot
	case nil:
	default:
		m.Withheld = append(m.Withheld, "artifacts."+name)
	}
	m.Artifacts[name] = kept
}
