package kube

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

// three is a spec of three objects, the first in a namespace of its own.
const three = `
apiVersion: v1
kind: Thing
metadata: {name: a, namespace: own}
spec: {time: 2024-01-02, big: 9007199254740993, yes: off}
---
# nothing
---
apiVersion: apps/v1
kind: Thing
metadata: {name: b}
---
apiVersion: example.org/v1beta1
kind: Thing
metadata: {name: c}
---
`

func TestKubeOpsCreate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec      string
		namespace any
		want      []string
	}{
		"several documents":         {three, "ns", []string{"things own/a", "things.apps ns/b", "things.example.org ns/c"}},
		"no namespace anywhere":     {"apiVersion: v1\nkind: Thing\nmetadata: {name: a}", nil, []string{"things default/a"}},
		"a namespace that is empty": {"apiVersion: v1\nkind: Thing\nmetadata: {name: a}", "", []string{"things default/a"}},
		"JSON":                      {`{"apiVersion":"v1","kind":"Thing","metadata":{"name":"a"}}`, "ns", []string{"things ns/a"}},
		"several JSON texts": {`{"apiVersion":"v1","kind":"Thing","metadata":{"name":"a"}}
			{"apiVersion":"v1","kind":"Thing","metadata":{"name":"b"}} {"apiVersion":"v1","kind":"Thing","metadata":{"name":"c"}}`, "ns",
			[]string{"things ns/a", "things ns/b", "things ns/c"}},
		"JSON between documents": {"---\n{\"apiVersion\":\"v1\",\"kind\":\"Thing\",\"metadata\":{\"name\":\"a\"}}\n---\napiVersion: v1\nkind: Thing\nmetadata: {name: b}\n", "ns",
			[]string{"things ns/a", "things ns/b"}},
		"a list": {"apiVersion: v1\nkind: ThingList\nitems:\n- {apiVersion: v1, kind: Thing, metadata: {name: a}}\n- {apiVersion: v1, kind: Thing, metadata: {name: b, namespace: own}}", "ns",
			[]string{"things ns/a", "things own/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakeCluster{}
			call, rec := functiontest.NewCall("id")
			args := map[string]any{"operation": "create", "spec": c.spec, "namespace": c.namespace}
			out, err := get(t, f.deps(), "KubeOps").Exec(t.Context(), call, args)
			require.NoError(t, err)
			var made []string
			for _, ref := range f.refs {
				made = append(made, ref.String())
			}
			require.Equal(t, c.want, made)
			last := f.refs[len(f.refs)-1]
			require.Equal(t, function.Outputs{
				"apiVersion": last.APIVersion, "group": last.Group, "resource": "things", "kind": "", "name": last.Name, "namespace": last.Namespace,
			}, out)
			require.Len(t, rec.Progress(), len(c.want))
		})
	}
}

func TestKubeOpsCreateReadsAsKubernetesDoes(t *testing.T) {
	t.Parallel()
	all, err := parseManifests(three)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"time": "2024-01-02", "big": int64(9007199254740993), "true": false}, all[0].object["spec"])
}

func TestKubeOpsCreateAgain(t *testing.T) {
	t.Parallel()
	f := &fakeCluster{}
	ops := get(t, f.deps(), "KubeOps")
	args := map[string]any{"operation": "create", "spec": three}
	var outs []function.Outputs
	for attempt := range 3 {
		call, _ := functiontest.NewCall("id")
		call.Attempt, call.Resumed = attempt+1, attempt == 1
		out, err := ops.Exec(t.Context(), call, args)
		require.NoError(t, err)
		outs = append(outs, out)
	}
	require.Equal(t, outs[0], outs[1])
	require.Equal(t, outs[0], outs[2])
	call, _ := functiontest.NewCall("id")
	require.Equal(t, map[string]string{"a": call.Name("") + "-0", "b": call.Name("") + "-1", "c": call.Name("") + "-2"}, f.tokens)

	other, _ := functiontest.NewCall("another phase")
	_, err := ops.Exec(t.Context(), other, args)
	require.ErrorIs(t, err, cluster.ErrExists)
	require.True(t, function.IsPermanent(err))
	require.ErrorContains(t, err, "argument spec: document 1 (Thing a), after 0 of 3 objects were created")
}

func TestKubeOpsCreateFails(t *testing.T) {
	t.Parallel()
	const good = "apiVersion: v1\nkind: Thing\nmetadata: {name: a}\n---\n"
	for name, c := range map[string]struct{ spec, text string }{
		"empty":           {" \n", "argument spec must hold the objects to create"},
		"only comments":   {"# nothing\n---\n# nothing\n", "argument spec: there is no object in it"},
		"an empty list":   {"{apiVersion: v1, kind: List, items: []}", "argument spec: there is no object in it"},
		"no kind":         {good + "apiVersion: v1\nmetadata: {name: b}", "argument spec: document 2 (b): kind must be given, as text"},
		"nothing in it":   {good + "{}", "document 2: apiVersion and kind and metadata.name must be given, as text"},
		"name is number":  {good + "apiVersion: v1\nkind: Thing\nmetadata: {name: 12}", "document 2 (Thing): metadata.name must be given, as text"},
		"a text":          {good + "geheim", "document 2: must be an object"},
		"a list":          {good + "[geheim]", "document 2: must be an object"},
		"item":            {good + "apiVersion: v1\nkind: List\nitems: [geheim]", "document 2, item 1: apiVersion and kind and metadata.name must be given"},
		"no YAML":         {good + "a: [", "document 2: error converting YAML to JSON"},
		"aliases explode": {good + "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]", "document 2: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakeCluster{}
			call, _ := functiontest.NewCall("id")
			_, err := get(t, f.deps(), "KubeOps").Exec(t.Context(), call, map[string]any{"operation": "create", "spec": c.spec})
			require.ErrorContains(t, err, c.text)
			require.True(t, function.IsPermanent(err))
			require.NotContains(t, err.Error(), "geheim", "what is no object may be a secret")
			require.Empty(t, f.refs, "nothing is created before all is read")
		})
	}
	t.Run("half way", func(t *testing.T) {
		t.Parallel()
		f := &fakeCluster{tokens: map[string]string{"b": "another's"}}
		call, _ := functiontest.NewCall("id")
		_, err := get(t, f.deps(), "KubeOps").Exec(t.Context(), call, map[string]any{"operation": "create", "spec": three})
		require.ErrorContains(t, err, "document 3 (Thing b), after 1 of 3 objects were created: ")
		require.ErrorIs(t, err, cluster.ErrExists)
	})
}

// failing fails to delete with these errors, one after another.
type failing struct {
	*fakeCluster
	errs *[]error
}

func (f failing) Delete(ctx context.Context, ref cluster.Ref) error {
	if len(*f.errs) > 0 {
		err := (*f.errs)[0]
		*f.errs = (*f.errs)[1:]
		return err
	}
	return f.fakeCluster.Delete(ctx, ref)
}

func TestKubeOpsDelete(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ref       map[string]any
		namespace string
		want      cluster.Ref
	}{
		"its own namespace": {
			map[string]any{"apiVersion": "v1", "group": "apps", "resource": "things", "kind": "Thing", "name": "p", "namespace": "own"}, "ns",
			cluster.Ref{APIVersion: "v1", Group: "apps", Resource: "things", Kind: "Thing", Name: "p", Namespace: "own"},
		},
		"that of the argument": {map[string]any{"apiVersion": "v1", "resource": "things", "name": "p"}, "ns", cluster.Ref{APIVersion: "v1", Resource: "things", Name: "p", Namespace: "ns"}},
		"default":              {map[string]any{"apiVersion": "v1", "resource": "things", "name": "p"}, "", cluster.Ref{APIVersion: "v1", Resource: "things", Name: "p", Namespace: "default"}},
		"kind":                 {map[string]any{"apiVersion": "v1", "kind": "Thing", "name": "p"}, "", cluster.Ref{APIVersion: "v1", Kind: "Thing", Name: "p", Namespace: "default"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, operation := range []string{"delete", "patch"} {
				f := goodCluster()
				call, _ := functiontest.NewCall("id")
				out, err := get(t, f.deps(), "KubeOps").Exec(t.Context(), call, map[string]any{
					"operation": operation, "objectReference": c.ref, "namespace": c.namespace, "spec": "{a: b}",
				})
				require.NoError(t, err)
				require.Equal(t, []cluster.Ref{c.want}, f.refs)
				require.Equal(t, function.Outputs{
					"apiVersion": "v1", "group": c.want.Group, "resource": c.want.Resource, "kind": c.want.Kind, "name": "p", "namespace": c.want.Namespace,
				}, out)
			}
		})
	}
}

func TestKubeOpsDeleteOfWhatIsGone(t *testing.T) {
	t.Parallel()
	args := map[string]any{"operation": "delete", "objectReference": ref("absent")}
	run := func(edit func(*function.Call)) error {
		call, _ := functiontest.NewCall("id")
		edit(call)
		_, err := get(t, goodCluster().deps(), "KubeOps").Exec(t.Context(), call, args)
		return err
	}
	err := run(func(*function.Call) {})
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.True(t, function.IsPermanent(err), "no later attempt may take it for its own work")
	require.ErrorContains(t, err, "delete pods ns/absent: ")
	require.NoError(t, run(func(c *function.Call) { c.Resumed = true }))
	require.NoError(t, run(func(c *function.Call) { c.Attempt = 2 }))

	f := failing{goodCluster(), &[]error{errors.New("connection lost")}}
	call, _ := functiontest.NewCall("id")
	_, err = get(t, Deps{Objects: f}, "KubeOps").Exec(t.Context(), call, map[string]any{"operation": "delete", "objectReference": ref("p")})
	require.EqualError(t, err, "delete pods ns/p: connection lost")
	require.False(t, function.IsPermanent(err))
}

func TestKubeOpsPatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ spec, want, text string }{
		"JSON":        {`{"spec":{"a":1}}`, `{"spec":{"a":1}}`, ""},
		"YAML":        {"spec:\n  a: 1\n  b: null\n  $patch: replace\n", `{"spec":{"$patch":"replace","a":1,"b":null}}`, ""},
		"not there":   {"", "", "a patch is one object, there are 0"},
		"two":         {"a: b\n---\nc: d", "", "a patch is one object, there are 2"},
		"a list":      {`[{"op":"remove","path":"/geheim"}]`, "", "document 1: must be an object"},
		"a text":      {`geheim`, "", "document 1: must be an object"},
		"broken JSON": {`{"a":`, "", "document 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := goodCluster()
			call, _ := functiontest.NewCall("id")
			_, err := get(t, f.deps(), "KubeOps").Exec(t.Context(), call, map[string]any{"operation": "patch", "objectReference": ref("p"), "spec": c.spec})
			if c.text == "" {
				require.NoError(t, err)
				require.Equal(t, []string{c.want}, f.patches)
				return
			}
			require.ErrorContains(t, err, c.text)
			require.NotContains(t, err.Error(), "geheim")
			require.True(t, function.IsPermanent(err))
			require.Empty(t, f.patches)
		})
	}
	call, _ := functiontest.NewCall("id")
	_, err := get(t, goodCluster().deps(), "KubeOps").Exec(t.Context(), call, map[string]any{"operation": "patch", "objectReference": ref("absent"), "spec": "a: b"})
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.ErrorContains(t, err, "patch pods ns/absent")
}

func TestKubeOpsArguments(t *testing.T) {
	t.Parallel()
	bare := map[string]any{"apiVersion": "v1", "name": "p"}
	for name, c := range map[string]struct {
		args map[string]any
		text string
	}{
		"operation":    {map[string]any{"operation": "replace"}, "must be one of create, delete, patch"},
		"no reference": {map[string]any{"operation": "delete"}, "argument objectReference must name a resource or a kind to delete"},
		"no resource":  {map[string]any{"operation": "patch", "objectReference": bare, "spec": "a: b"}, "argument objectReference must name a resource or a kind to patch"},
		"no name":      {map[string]any{"operation": "delete", "objectReference": map[string]any{"apiVersion": "v1", "resource": "pods"}}, "objectReference.name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := goodCluster()
			call, _ := functiontest.NewCall("id")
			_, err := get(t, f.deps(), "KubeOps").Exec(t.Context(), call, c.args)
			require.ErrorContains(t, err, c.text)
			require.True(t, function.IsPermanent(err))
			require.Empty(t, f.refs)
		})
	}
}

func FuzzManifests(f *testing.F) {
	f.Add(three)
	f.Add(`{"apiVersion":"v1","kind":"List","items":[{},{"kind":1}]}`)
	f.Add("a: &a [*a]")
	f.Add("{{ range .Options.x }}\nkind: {{ . }}\n{{ end }}")
	f.Add("--- x\n{}\n{}{}[")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseManifests(text)
		if err == nil && len(all) == 0 {
			t.Fatal("neither objects nor a fault")
		}
		for _, m := range all {
			if err := m.validate(); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = parsePatch(text)
		for _, operation := range []string{"create", "delete", "patch", text} {
			args := map[string]any{"operation": operation, "spec": text, "namespace": text, "objectReference": map[string]any{"name": text, "kind": text}}
			for _, rule := range kubeOpsRules(args) {
				if rule.Resource == "" && rule.Kind == "" {
					t.Fatalf("%+v", rule)
				}
			}
			_ = checkKubeOps(args)
		}
	})
}
