package blueprint_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
)

const hooks = `apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: hooks}
actions:
  backupPrehook:
    secretNames: [db]
    outputArtifacts: {lock: {keyValue: {at: "{{ .Time }}"}}}
    phases:
    - {func: KubeExec, name: flush, args: {namespace: a, pod: b, command: [c]}}
    - {func: KubeExec, name: lock, args: {namespace: a, pod: b, command: [c]}}
  backupPosthook:
    secretNames: [db]
    phases:
    - {func: KubeExec, name: unlock, args: {namespace: a, pod: b, command: [c]}}
    - {func: KubeExec, name: tell, args: {namespace: a, pod: b, command: [c]}}
`

func ownBlueprint(phases ...*blueprint.Phase) *blueprint.Blueprint {
	return &blueprint.Blueprint{Name: "own", ActionNames: []string{"backup", "restore"}, Actions: map[string]*blueprint.Action{
		"backup": {Name: "backup", Phases: phases}, "restore": {Name: "restore"},
	}}
}

func snapshotAction() *blueprint.Blueprint {
	return ownBlueprint(&blueprint.Phase{Name: "cut", Func: "Quiet"}, &blueprint.Phase{Name: "wait", Func: "Quiet"})
}

func parseOne(t *testing.T, text string) *blueprint.Blueprint {
	t.Helper()
	f := blueprint.Parse("hooks.yaml", []byte(text))
	require.NoError(t, f.Err())
	return f.Blueprints[0]
}

func TestFrame(t *testing.T) {
	action := snapshotAction()
	bp, err := blueprint.Frame(action, "backup", parseOne(t, hooks), &blueprint.FrameOptions{Through: "cut", MaxHold: time.Minute})
	require.NoError(t, err)
	require.Equal(t, []string{"backup", "restore"}, bp.ActionNames)
	a := bp.Actions["backup"]
	var names []string
	for _, p := range a.Phases {
		names = append(names, p.Name)
	}
	require.Equal(t, []string{"flush", "lock", "cut", "unlock", "tell", "wait"}, names)
	require.Equal(t, []string{"db"}, a.SecretNames)
	require.Contains(t, a.OutputArtifacts, "lock")
	released, err := a.Released()
	require.NoError(t, err)
	require.Equal(t, [][]int{{3, 4}, {3, 4}, nil, nil, nil, nil}, released)
	require.Equal(t, time.Minute, a.Phases[0].MaxHold)
	_, err = blueprint.Frame(action, "export", parseOne(t, hooks), nil)
	require.ErrorContains(t, err, `no action "export"`)
	require.Equal(t, snapshotAction(), action, "the arguments stay as they are")

	data, err := bp.JSON()
	require.NoError(t, err)
	back := parseOne(t, string(data))
	require.Equal(t, a.Phases, back.Actions["backup"].Phases)
}

func TestFrameWithOneHook(t *testing.T) {
	bp := parseOne(t, hooks)
	delete(bp.Actions, "backupPrehook")
	framed, err := blueprint.Frame(snapshotAction(), "backup", bp, nil)
	require.NoError(t, err)
	released, err := framed.Actions["backup"].Released()
	require.NoError(t, err)
	require.Equal(t, [][]int{{2, 3}, {2, 3}, nil, nil}, released)

	bp = parseOne(t, hooks)
	delete(bp.Actions, "backupPosthook")
	framed, err = blueprint.Frame(snapshotAction(), "backup", bp, &blueprint.FrameOptions{MaxHold: time.Minute})
	require.NoError(t, err)
	require.Empty(t, framed.Actions["backup"].Phases[0].Release)
}

func TestFrameRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(bp *blueprint.Blueprint, a *blueprint.Action, o *blueprint.FrameOptions)
		want   string
	}{
		"no hooks": {func(_ *blueprint.Blueprint, _ *blueprint.Action, o *blueprint.FrameOptions) {
			o.Prehook, o.Posthook = "x", "y"
		}, `neither action "x" nor "y"`},
		"no such phase": {func(_ *blueprint.Blueprint, _ *blueprint.Action, o *blueprint.FrameOptions) { o.Through = "x" }, `action "backup" has no phase "x"`},
		"names": {func(_ *blueprint.Blueprint, a *blueprint.Action, _ *blueprint.FrameOptions) {
			a.Phases[0].Name = "lock"
		}, "several phases are named lock"},
		"deferred phase": {func(bp *blueprint.Blueprint, _ *blueprint.Action, _ *blueprint.FrameOptions) {
			bp.Actions["backupPrehook"].DeferPhase = &blueprint.Phase{}
		}, "has a deferPhase"},
		"artifacts": {func(bp *blueprint.Blueprint, a *blueprint.Action, _ *blueprint.FrameOptions) {
			a.OutputArtifacts = bp.Actions["backupPrehook"].OutputArtifacts
		}, `two actions produce artifact "lock"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			bp, own, o := parseOne(t, hooks), snapshotAction(), &blueprint.FrameOptions{}
			tc.change(bp, own.Actions["backup"], o)
			_, err := blueprint.Frame(own, "backup", bp, o)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

// The hooks of a blueprint that was written for a backup tool frame the tool's own snapshots.
func ExampleFrame() {
	hooks := blueprint.Parse("hooks.yaml", []byte(hooks)).Blueprints[0]
	own := ownBlueprint(
		&blueprint.Phase{Name: "snapshots", Func: "CreateCSISnapshotGroup", Args: map[string]any{"until": "cut"}},
		&blueprint.Phase{Name: "ready", Func: "AwaitCSISnapshots"},
	)
	bp, err := blueprint.Frame(own, "backup", hooks, &blueprint.FrameOptions{Through: "snapshots", MaxHold: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range bp.Actions["backup"].Phases {
		fmt.Println(p.Name, p.Release)
	}
	// Output:
	// flush [unlock tell]
	// lock [unlock tell]
	// snapshots []
	// unlock []
	// tell []
	// ready []
}
