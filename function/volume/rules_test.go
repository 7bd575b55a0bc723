package volume_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

// lines are rules as texts: where, what, which names, verbs.
func lines(rules []function.Rule) []string {
	var out []string
	for _, r := range rules {
		what := r.Resource
		if r.Group != "" {
			what += "." + r.Group
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %v %s", r.Namespace, what, r.Names, strings.Join(r.Verbs, ","))))
	}
	slices.Sort(out)
	return out
}

func TestRules(t *testing.T) {
	const api = ".snapshot.storage.k8s.io"
	for name, c := range map[string]struct {
		args map[string]any
		want []string
	}{
		"CreateCSISnapshot": {map[string]any{"pvc": "data", "namespace": "app", "snapshotClass": "fast"}, []string{
			"app persistentvolumeclaims [data] get", "persistentvolumes [] get",
			"app volumesnapshots" + api + " [] create", "app volumesnapshots" + api + " [] get,delete",
			"volumesnapshotcontents" + api + " [] get,patch,delete", "volumesnapshotclasses" + api + " [fast] get", "app events [] list",
		}},
		"CreateCSISnapshotStatic": {map[string]any{"name": "s", "namespace": "{{ .Options.n }}", "snapshotClass": "fast"}, []string{
			"{{ .Options.n }} volumesnapshots" + api + " [] create", "{{ .Options.n }} volumesnapshots" + api + " [s] get,delete",
			"volumesnapshotcontents" + api + " [] get,patch,delete", "volumesnapshotcontents" + api + " [] create", "volumesnapshotclasses" + api + " [fast] get",
			"{{ .Options.n }} events [] list",
		}},
		"CreateCSISnapshotGroup": {map[string]any{"pvcs": []any{"a", "b"}, "names": map[string]any{"a": "x", "b": "y"}, "hold": map[string]any{"command": "c"}}, []string{
			"{{ .Object.metadata.namespace }} persistentvolumeclaims [a b] get", "persistentvolumes [] get",
			"{{ .Object.metadata.namespace }} volumesnapshots" + api + " [] create", "{{ .Object.metadata.namespace }} volumesnapshots" + api + " [x y] get,delete,patch",
			"volumesnapshotcontents" + api + " [] get,patch,delete", "volumesnapshotclasses" + api + " [] list",
			"{{ .Object.metadata.namespace }} pods [] get", "{{ .Object.metadata.namespace }} pods/exec [] get,create",
			"{{ .Object.metadata.namespace }} events [] list",
		}},
		"AwaitCSISnapshots": {map[string]any{"names": "a b", "namespace": "app"}, []string{
			"app volumesnapshots" + api + " [a b] get", "volumesnapshotcontents" + api + " [] get",
		}},
		"RestoreCSISnapshot": {map[string]any{"name": "s", "pvc": "data", "namespace": "app", "storageClass": "fast"}, []string{
			"app persistentvolumeclaims [] create", "app persistentvolumeclaims [data] get,delete", "storageclasses.storage.k8s.io [fast] get",
			"app volumesnapshots" + api + " [s] get", "volumesnapshotcontents" + api + " [] get", "app events [] list",
		}},
		"DeleteCSISnapshot": {map[string]any{"name": "s", "namespace": "app"}, []string{
			"app volumesnapshots" + api + " [s] get,delete", "volumesnapshotcontents" + api + " [] get,patch", "app events [] list",
		}},
		"DeleteCSISnapshotContent": {map[string]any{"name": "c"}, []string{"volumesnapshotcontents" + api + " [c] get,patch,delete"}},
	} {
		slices.Sort(c.want)
		require.Equal(t, c.want, lines(lookup(t, every(), name).Rules(c.args)), name)
	}
}

// TestRulesOfWhatIsNotKnownYet are for all names, and never panic.
func TestRulesOfWhatIsNotKnownYet(t *testing.T) {
	require.Contains(t, lines(lookup(t, every(), "AwaitCSISnapshots").Rules(map[string]any{"names": "{{ range .Phases.a.Output.snapshots }}{{ .name }} {{ end }}", "namespace": "app"})),
		"app volumesnapshots.snapshot.storage.k8s.io [] get")
	require.Contains(t, lines(lookup(t, every(), "CreateCSISnapshotGroup").Rules(map[string]any{"pvcs": []any{"a", "b"}, "names": map[string]any{"a": "x"}, "namespace": "app"})),
		"app volumesnapshots.snapshot.storage.k8s.io [] get,delete,patch")
	for _, f := range every() {
		for _, odd := range []any{nil, 1, "{{", []any{nil, 1, map[string]any{}}, map[string]any{"x": nil}} {
			args := map[string]any{}
			for _, a := range f.Schema().Args {
				args[a.Name] = odd
			}
			require.NotPanics(t, func() { f.Rules(args) })
		}
	}
}
