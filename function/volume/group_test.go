package volume_test

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/snapshot/memsnap"
	"github.com/davit-project/davit/template"
)

// groupDocument takes a group until it is cut, waits for it in a phase of its own, keeps what it needs in one text, and restores both claims.
const groupDocument = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: group}
actions:
  backup:
    outputArtifacts:
      group:
        keyValue:
          snapshots: "{{ toJson .Phases.ready.Output.snapshots }}"
          cut: "{{ .Phases.cut.Output.firstCut }} {{ .Phases.cut.Output.lastCut }}"
          held: "{{ .Phases.cut.Output.holdTime }}"
          first: "{{ (index .Phases.cut.Output.snapshots 0).name }}"
    phases:
    - func: CreateCSISnapshotGroup
      name: cut
      args: {namespace: app, pvcs: [wal, data], until: cut, names: {wal: wal-today}}
    - func: AwaitCSISnapshots
      name: ready
      args: {snapshots: "{{ toJson .Phases.cut.Output.snapshots }}"}
    - func: AwaitCSISnapshots
      name: again
      args: {namespace: app, names: "{{ range .Phases.cut.Output.snapshots }}{{ .name }} {{ end }}"}
  restore:
    inputArtifactNames: [group]
    phases:
    - func: RestoreCSISnapshot
      name: wal
      args: &restore
        name: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 0).name }}"
        pvc: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 0).pvc }}-new"
        namespace: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 0).namespace }}"
        restoreSize: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 0).restoreSize }}"
        storageClass: x
    - func: RestoreCSISnapshot
      name: data
      args:
        <<: *restore
        name: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 1).name }}"
        pvc: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 1).pvc }}-new"
`

func (p *place) action(file *blueprint.File, name string, artifacts map[string]template.Artifact) map[string]template.Artifact {
	p.t.Helper()
	reg, err := function.NewRegistry(volume.Functions(p.deps())...)
	require.NoError(p.t, err)
	for _, d := range blueprint.Lint(file.Blueprints[0], reg, nil) {
		require.NotEqual(p.t, blueprint.Error, d.Severity, "%s: %s", d.Code, d.Message)
	}
	res, err := engine.New(reg, nil, nil).Run(p.t.Context(), &engine.Spec{
		ID: "run-" + name, Blueprints: file.Blueprints, Actions: []blueprint.ActionSpec{{Name: name, Blueprint: "group", Artifacts: artifacts}},
	}, &engine.MemoryJournal{})
	require.NoError(p.t, err)
	made, err := res.Artifacts(0)
	require.NoError(p.t, err)
	return made
}

// TestGroupInABlueprint has the outputs survive as a text.
func TestGroupInABlueprint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, &memsnap.Options{CutAfter: time.Second, ReadyAfter: time.Hour, BindAfter: time.Second})
		file := blueprint.Parse("group.yaml", []byte(groupDocument))
		require.NoError(t, file.Err())
		begin := time.Now()
		artifacts := p.action(file, "backup", nil)
		require.GreaterOrEqual(t, time.Since(begin), time.Hour)
		cut := begin.Add(time.Second).UTC().Format(time.RFC3339Nano)
		made := artifacts["group"].KeyValue
		require.Equal(t, cut+" "+cut, made["cut"])
		require.Equal(t, "0s", made["held"])
		require.Equal(t, "wal-today", made["first"])
		require.Contains(t, p.Snapshots(), "app/wal-today")
		require.Len(t, p.Snapshots(), 2)

		require.NoError(t, p.Write(ref("data"), "lost"))
		require.NoError(t, p.Write(ref("wal"), "lost"))
		p.action(file, "restore", artifacts)
		require.Equal(t, "content of data", p.content("data-new"))
		require.Equal(t, "content of wal", p.content("wal-new"))
	})
}

// TestGroupOutputs wants the snapshots in the order of the claims, each with all there is to know.
func TestGroupOutputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, &memsnap.Options{ReadyAfter: time.Minute})
		out := p.must("CreateCSISnapshotGroup", "run/a/group", map[string]any{"namespace": app, "pvcs": []any{"wal", "data"}, "labels": map[string]any{"A": "B"}})
		require.Equal(t, []string{"adopted", "firstCut", "holdOutput", "holdTime", "lastCut", "snapshots"}, slices.Sorted(maps.Keys(out)))
		require.Equal(t, []any{false, "0s", ""}, []any{out["adopted"], out["holdTime"], out["holdOutput"]})
		for i, claim := range []string{"wal", "data"} {
			one := out["snapshots"].([]any)[i].(map[string]any)
			require.Regexp(t, "^"+claim+"-snapshot-", one["name"])
			require.Equal(t, map[string]any{"name": one["name"], "pvc": claim, "namespace": app, "restoreSize": "1Gi", "snapshotContent": one["snapshotContent"]}, one)
			require.NotEmpty(t, one["snapshotContent"])
			status, err := p.Get(t.Context(), ref(one["name"].(string)))
			require.NoError(t, err)
			require.True(t, status.Ready)
			require.Equal(t, "b", status.Labels["a"])
			require.Equal(t, "run", status.Labels["davit.io/run"])
		}
	})
}

// TestGroupOfTheSubject takes what the subject's pods mount.
func TestGroupOfTheSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, nil)
		call, _ := functiontest.NewCall("run/a/group")
		call.Subject = function.Subject{Kind: "StatefulSet", Namespace: app, Name: "db", Pods: []string{"db-0", "db-1"}, Claims: map[string]map[string]string{
			"db-0": {"wal": "/wal", "data": "/data"}, "db-1": {"data": "/data", "other": "/data2"},
		}}
		out, err := p.function("CreateCSISnapshotGroup").Exec(t.Context(), call, nil)
		require.NoError(t, err)
		var claims []any
		for _, one := range out["snapshots"].([]any) {
			claims = append(claims, one.(map[string]any)["pvc"])
		}
		require.Equal(t, []any{"data", "other", "wal"}, claims)
	})
}

// TestGroupRefusals names what is wrong, and touches nothing.
func TestGroupRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, nil)
		pods := function.Subject{Namespace: app, Pods: []string{"db-0", "db-1"}, Claims: map[string]map[string]string{"db-0": {"data": "/data"}}}
		hold := map[string]any{"command": "x"}
		for message, c := range map[string]struct {
			args    map[string]any
			subject function.Subject
		}{
			"argument namespace is required":                                    {args: map[string]any{"pvcs": []any{"data"}}},
			"argument pvcs is required":                                         {args: map[string]any{"namespace": app}},
			`names claim "data" twice`:                                          {args: map[string]any{"namespace": app, "pvcs": []any{"data", "wal", "data"}}},
			`a name for "wal", which is none of the claims (data)`:              {args: map[string]any{"namespace": app, "pvcs": "data", "names": map[string]any{"wal": "x"}}},
			"is asked for twice":                                                {args: map[string]any{"namespace": app, "pvcs": []any{"data", "wal"}, "names": map[string]any{"wal": "x", "data": "x"}}},
			"snapshots of claims data, wal of namespace app: ":                  {args: map[string]any{"namespace": app, "pvcs": []any{"data", "wal"}, "snapshotClass": "none"}},
			"no snapshot class fits":                                            {args: map[string]any{"namespace": app, "pvcs": []any{"data", "wal"}, "snapshotClass": "none"}},
			"argument hold: the host program gave no cluster.Executor":          {args: map[string]any{"hold": hold}, subject: pods},
			"argument labels: key \"a.b\" becomes \"a_b\", as another one does": {args: map[string]any{"namespace": app, "pvcs": "data", "labels": map[string]any{"a.b": "", "a b": ""}}},
		} {
			call, _ := functiontest.NewCall("run/a/group")
			call.Subject = c.subject
			_, err := p.function("CreateCSISnapshotGroup").Exec(t.Context(), call, c.args)
			require.ErrorContains(t, err, message)
			require.True(t, function.IsPermanent(err), "%v", err)
		}
		p.gone()
		problems := p.function("CreateCSISnapshotGroup").Check(map[string]any{"pvcs": []any{"data"}, "maxHold": "10s"})
		require.Len(t, problems, 1)
		require.Equal(t, "maxHold", problems[0].Path)
		require.Empty(t, p.function("CreateCSISnapshotGroup").Check(map[string]any{"maxHold": "10s", "hold": hold}))
	})
}

// TestAwaitRefusals names what is wrong.
func TestAwaitRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, nil)
		for message, args := range map[string]map[string]any{
			"one of the arguments snapshots and names":  {},
			"one of the arguments snapshots and names ": {"names": "a", "snapshots": "[{name: a}]", "namespace": app},
			"argument snapshots[1]: it has no name":     {"snapshots": "[{name: a}, {namespace: b}]", "namespace": app},
			"argument namespace is required":            {"names": "a"},
			"snapshots[0]: must be a map":               {"snapshots": "{name: a}"},
		} {
			_, _, err := p.run("AwaitCSISnapshots", "run/a/await", args)
			require.ErrorContains(t, err, message)
			require.True(t, function.IsPermanent(err))
		}
		require.NotEmpty(t, p.function("AwaitCSISnapshots").Check(map[string]any{"namespace": app}))
	})
}
