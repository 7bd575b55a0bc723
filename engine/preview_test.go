package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// preview of the action backup of a blueprint, whose functions are those of the tests.
func preview(t *testing.T, source Source, spec *Spec) *Preview {
	t.Helper()
	p, err := New(newWorld().registry(t), source, nil).Preview(t.Context(), spec)
	require.NoError(t, err)
	return p
}

func TestPreviewRendersWhatIsKnown(t *testing.T) {
	source := newObjects()
	source.secret("phase", "token", "tok-1234")
	spec := specOf(t, header+`
  backup:
    outputArtifacts: {a: {keyValue: {at: "{{ .StatefulSet.Name }}", path: "{{ .Phases.one.Output.value }}"}, kopiaSnapshot: "{{ .Phases.one.Output.n }}"}}
    phases:
    - func: Echo
      name: one
      timeout: 10m
      retry: {attempts: 3, backoff: 2s}
      objects: {s: {kind: Secret, name: phase, namespace: "{{ .StatefulSet.Namespace }}"}}
      args: {value: '{{ .StatefulSet.Name }} {{ .Phases.one.Secrets.s.Data.token | toString }}'}
    - {func: Once, name: two, if: '{{ eq .Options.o "x" }}', args: {value: 'after {{ .Phases.one.Output.value }}', fail: "{{ .Options.o }}"}}
    - {func: Make, name: three, if: '{{ eq .Options.o "y" }}', args: {value: '{{ .Nothing }}'}}
    - {func: Make, name: four, if: '{{ eq .Phases.one.Output.value "y" }}', args: {value: '{{ .Options.absent.field }}'}}
    deferPhase: {func: Echo, args: {value: '{{ .Options.o }}'}}
`, "backup")
	spec.Actions[0].Options = map[string]string{"o": "x"}
	p := preview(t, source, spec)
	require.Len(t, p.Actions, 1)
	a := p.Actions[0]
	assert.Empty(t, p.Problems())
	assert.Equal(t, map[string]template.Artifact{"a": {KeyValue: map[string]string{"at": "db", "path": "{{ .Phases.one.Output.value }}"},
		KopiaSnapshot: "{{ .Phases.one.Output.n }}"}}, a.Artifacts)
	assert.Equal(t, []string{"outputArtifacts.a.keyValue.path", "outputArtifacts.a.kopiaSnapshot"}, a.Open)
	require.Len(t, a.Phases, 5)
	base := PreviewPhase{Version: "v0.0.0", Attempts: 1, OpenOutputs: true}
	want := []PreviewPhase{base, base, base, base, base}
	for i, name := range []string{"one", "two", "three", "four", "deferPhase"} {
		want[i].Name = name
	}
	one := &want[0]
	one.Func, one.Replay, one.Timeout, one.Runs = "Echo", "idempotent", "10m0s", RunsAlways
	one.Attempts, one.Backoff, one.MaxBackoff = 3, "2s", "5m0s"
	one.Objects = map[string]template.ObjectReference{"s": {Kind: "Secret", Name: "phase", Namespace: "app"}}
	one.Args = map[string]any{"value": "db [masked]"}
	two := &want[1]
	two.Func, two.Replay, two.If, two.Runs = "Once", "once", `{{ eq .Options.o "x" }}`, RunsTrue
	two.Args, two.Open = map[string]any{"value": "after {{ .Phases.one.Output.value }}", "fail": "x"}, []string{"args.value"}
	three := &want[2]
	three.Func, three.Replay, three.If, three.Runs = "Make", "adopt", `{{ eq .Options.o "y" }}`, RunsFalse
	three.Args = map[string]any{"value": "{{ .Nothing }}"}
	four := &want[3]
	four.Func, four.Replay, four.If, four.Runs = "Make", "adopt", `{{ eq .Phases.one.Output.value "y" }}`, RunsUnknown
	four.Args, four.Open = map[string]any{"value": "{{ .Options.absent.field }}"}, []string{"if", "args.value"}
	last := &want[4]
	last.Func, last.Replay, last.Runs, last.Deferred, last.Timeout = "Echo", "idempotent", RunsAlways, true, "10m0s"
	last.Args = map[string]any{"value": "x"}
	assert.Equal(t, want, a.Phases)
}

func TestPreviewReportsEveryProblem(t *testing.T) {
	source := newObjects()
	spec := specOf(t, header+`
  backup:
    outputArtifacts: {a: {keyValue: {x: "{{ .ArtifactsIn.old.KeyValue.x }}"}}}
    phases:
    - func: Echo
      name: one
      objects: {s: {kind: Secret, name: gone, namespace: app}}
      args: {value: '{{ .Phases.one.Secrets.s.Data.token | toString }}'}
    - {func: Echo, name: two, args: {value: '{{ .Secrets.pw.Data.x }} {{ .Profile.Location.Bucket }}', fail: '{{ .ArtifactsIn.old.KeyValue.x }}'}}
    - {func: Echo, name: three, args: {value: '{{ .Secrets.other.Data.x }}'}}
    - {func: Echo, name: four, if: maybe, args: {}}
    - {func: Echo, name: five, if: '{{ .ConfigMaps.cm.Data.k }}', args: {}}
`, "backup")
	spec.Actions[0].Secrets = map[string]template.ObjectReference{"pw": {Namespace: "app", Name: "no-such"}}
	spec.Actions[0].ConfigMaps = map[string]template.ObjectReference{"cm": {Namespace: "app", Name: "no-map"}}
	spec.Actions[0].Profile = &template.ObjectReference{Namespace: "app", Name: "no-profile"}
	p := preview(t, source, spec)
	assert.Equal(t, []string{
		`action "backup": config map "cm": config map "app/no-map": not found`,
		`action "backup": secret "pw": secret "app/no-such": not found: file does not exist`,
		`action "backup": profile: profile "app/no-profile": not found`,
		`action "backup": outputArtifacts.a.keyValue.x: .ArtifactsIn.old.KeyValue.x: no "old" in .ArtifactsIn (it is empty)`,
		`action "backup", phase "one" (Echo): object s: secret "app/gone": not found: file does not exist`,
		`action "backup", phase "two" (Echo): args.fail: .ArtifactsIn.old.KeyValue.x: no "old" in .ArtifactsIn (it is empty)`,
		`action "backup", phase "three" (Echo): args.value: .Secrets.other.Data.x: no "other" in .Secrets (it is empty)`,
		`action "backup", phase "four" (Echo): if: want true or false, got "maybe"`,
	}, p.Problems())
	assert.Equal(t, []string{"args.value"}, p.Actions[0].Phases[0].Open, "what needs an unread object is open, and no second problem")
	assert.Equal(t, []string{"args.value"}, p.Actions[0].Phases[1].Open)
	assert.Equal(t, RunsUnknown, p.Actions[0].Phases[4].Runs)
}

func TestPreviewWithoutSubjectSaysSoOnce(t *testing.T) {
	spec := specOf(t, header+`
  backup:
    phases: [{func: Echo, name: one, args: {value: '{{ .StatefulSet.Name }}', fail: '{{ index .StatefulSet.Pods 0 }}'}}]
`, "backup")
	spec.Actions[0].Object.Name = "absent"
	p := preview(t, newObjects(), spec)
	assert.Equal(t, []string{`action "backup": subject: statefulset "absent": not found`}, p.Problems())
	assert.Equal(t, []string{"args.fail", "args.value"}, p.Actions[0].Phases[0].Open)
}

func TestPreviewOfWhatCannotRunIsAnError(t *testing.T) {
	e := New(newWorld().registry(t), newObjects(), nil)
	_, err := e.Preview(t.Context(), &Spec{ID: "x"})
	require.ErrorIs(t, err, ErrInvalid)
}

// makerFunctions are those of the tests and one that may create secrets.
func makerFunctions(t *testing.T) *function.Registry {
	reg, err := newWorld().registry(t).With(function.Define("Creator", "Creates.", func(context.Context, *function.Call, echoArgs) (struct{}, error) { return struct{}{}, nil },
		&function.Options{Rules: func(args map[string]any) []function.Rule {
			return []function.Rule{{Subject: "PVC", Profile: true, Namespace: fmt.Sprint(args["value"]), Resource: "secrets", Verbs: []string{"create"}}}
		}}))
	require.NoError(t, err)
	return reg
}

func TestPreviewLeavesOpenWhatAnEarlierPhaseMayMake(t *testing.T) {
	const text = header + `
  backup:
    phases:
    - {func: Creator, name: one, if: "true", args: {value: "{{ .StatefulSet.Namespace }}"}}
    - func: Echo
      name: two
      objects: {s: {kind: Secret, name: made, namespace: app}, c: {kind: ConfigMap, name: made, namespace: app}}
      args: {value: '{{ .Phases.two.Secrets.s.Data.token | toString }}'}
`
	p, err := New(makerFunctions(t), newObjects(), nil).Preview(t.Context(), specOf(t, text, "backup"))
	require.NoError(t, err)
	assert.Equal(t, []string{`action "backup", phase "two" (Echo): object c: config map "app/made": not found`}, p.Problems())
	assert.Equal(t, []string{"objects.s", "args.value"}, p.Actions[0].Phases[1].Open)
	assert.Equal(t, []function.Rule{{Subject: "PVC", Profile: true, Namespace: "app", Resource: "secrets", Verbs: []string{"create"}}}, p.Actions[0].Phases[0].Rules)
}

func TestPreviewHoldsNoSecret(t *testing.T) {
	source := newObjects()
	source.secret("run", "password", canaries[0])
	source.secret("phase", "token", canaries[1])
	source.secret("pem", "key", canaries[4])
	source.secret("pod", "env", "canary-of-a-pod")
	source.profiles["app/prof"] = &template.Profile{
		Location:   template.Location{Type: "s3Compliant", Bucket: "b"},
		Credential: template.Credential{Type: "keyPair", KeyPair: &template.KeyPair{ID: canaries[2], Secret: canaries[3]}},
	}
	reg, err := makerFunctions(t).With(function.Define("Free", "Takes anything.",
		func(context.Context, *function.Call, freeArgs) (struct{}, error) { return struct{}{}, nil },
		&function.Options{Rules: func(args map[string]any) []function.Rule {
			v := fmt.Sprint(args["any"])
			return []function.Rule{{Subject: v, Namespace: v, Group: v, Version: v, Kind: v, Resource: v, Names: []string{v}, Verbs: []string{v}}}
		}}))
	require.NoError(t, err)
	for i, c := range append([]string{"canary-of-a-pod"}, canaries...) {
		quoted, err := json.Marshal(c)
		require.NoError(t, err)
		condition, err := json.Marshal("{{ eq .Options.o `" + c + "` }}")
		require.NoError(t, err)
		spec := specOf(t, header+`
  backup:
    outputArtifacts: {all: {keyValue: {v: '{{ .Options.o }}', w: '{{ .Options.o }}{{ .Phases.a.Output.x }}'}, kopiaSnapshot: '{{ .Options.o }}'}}
    phases:
    - func: Free
      name: a
      objects:
        s: {kind: Secret, name: phase, namespace: app}
        pem: {kind: Secret, name: pem, namespace: app}
        named: {kind: Secret, name: '{{ .Options.o }}', namespace: '{{ .Options.o }}'}
      args:
        any: {'{{ .Options.o }}': ['{{ .Options.o }}', '{{ .Phases.a.Output.x }}', 'x {{ .Phases.a.Secrets.s.Data.token | toString }}'], image: 'i:{{ .Options.o }}'}
        env: {valueFrom: {secretKeyRef: {name: pod, key: env}}}
    - {func: Free, name: b, if: `+string(condition)+`, args: {any: '{{ index .Options.o 99999 }}'}}
    - {func: Free, name: c, if: '{{ .Options.o }}', args: {any: '{{ index .Options.o 99999 }}'}}
    - {func: Free, name: d, args: {any: '{{ .Secrets.pw.Data.password | toString }}{{ toJson .Profile }}{{ .Phases.a.Secrets.pem.Data.key | toString }}'}}
    - {func: Free, name: e, args: {any: `+string(quoted)+`}}
`, "backup")
		spec.Actions[0].Secrets = map[string]template.ObjectReference{"pw": {Namespace: "app", Name: "run"}}
		spec.Actions[0].Profile = &template.ObjectReference{Namespace: "app", Name: "prof"}
		spec.Actions[0].Options = map[string]string{"o": c}
		p, err := New(reg, source, nil).Preview(t.Context(), spec)
		require.NoError(t, err)
		data, err := json.Marshal(p)
		require.NoError(t, err)
		text := fmt.Sprintf("%s\n%#v\n%+v\n%q\n%v", data, p, *p, p.Problems(), p.Actions[0].Phases[0].Rules)
		for _, planted := range append([]string{"canary-of-a-pod"}, canaries...) {
			for _, s := range spelled(planted) {
				assert.NotContains(t, text, s, "canary %d", i)
			}
		}
		assert.Contains(t, text, masked)
	}
}

type freeArgs struct {
	Any any            `arg:"any" doc:"Anything."`
	Env map[string]any `arg:"env,optional" doc:"Anything."`
}
