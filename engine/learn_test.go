package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// withObject is a Source whose subject is a workload that gets secrets.
type withObject struct {
	*objects
	object string
}

func (o withObject) Subject(_ context.Context, _ template.ObjectReference, into *template.Params) error {
	return json.Unmarshal([]byte(o.object), &into.Object)
}

// A container may print what it was given by its environment or its volumes, although no template reads it.
func TestSecretsThatOnlyPodsGetAreMasked(t *testing.T) {
	source := withObject{newObjects(), `{"spec":{"template":{"spec":{
		"containers":[{"env":[{"name":"P","valueFrom":{"secretKeyRef":{"name":"env","key":"k"}}}],"envFrom":[{"secretRef":{"name":"from"}}]}],
		"volumes":[{"name":"v","secret":{"secretName":"volume"}},{"name":"x","secret":{"secretName":"absent"}}]}}}}`}
	for _, name := range []string{"env", "from", "volume", "override"} {
		source.secret(name, "k", "canary-of-"+name)
	}
	bp := header + `
  backup:
    outputArtifacts: {all: {keyValue: {v: "{{ .Phases.a.Output.value }}"}}}
    phases:
    - func: Pods
      name: a
      args: {podOverride: {containers: [{name: container, env: [{name: P, valueFrom: {secretKeyRef: {name: "over{{ print \"ride\" }}", key: k}}}]}]}}
    - {func: Echo, name: b, args: {value: "{{ .Phases.a.Output.value }}"}}
`
	said := "canary-of-env canary-of-from canary-of-volume canary-of-override"
	type podArgs struct {
		PodOverride map[string]any `arg:"podOverride" doc:"An override."`
	}
	pods := function.Define("Pods", "Says what its pod was given.", func(ctx context.Context, call *function.Call, _ podArgs) (function.Outputs, error) {
		call.Log.InfoContext(ctx, said)
		return function.Outputs{"value": said}, nil
	}, &function.Options{Replay: function.Adopt})
	w, j := newWorld(), &mortalJournal{left: 3}
	reg, err := w.registry(t).With(pods)
	require.NoError(t, err)
	var out bytes.Buffer
	opts := &Options{Logger: slog.New(slog.NewTextHandler(&out, nil))}
	_, err = New(reg, source, opts).Run(t.Context(), specOf(t, bp, "backup"), j)
	require.ErrorIs(t, err, errCrash)
	j.left = 100
	res, err := New(reg, source, opts).Resume(t.Context(), j)
	require.NoError(t, err)
	artifacts, err := res.Artifacts(0)
	require.NoError(t, err)
	require.Equal(t, said, artifacts["all"].KeyValue["v"], "a resumed run reads them again")

	events, _ := j.Events(t.Context())
	for _, text := range []any{events, res, out.String()} {
		data, err := json.Marshal(text)
		require.NoError(t, err)
		require.NotContains(t, string(data), "canary-of-")
	}
	require.Contains(t, out.String(), "secret=absent")
	loaded, err := New(reg, source, nil).Load(t.Context(), j)
	require.NoError(t, err)
	artifacts, err = loaded.Artifacts(0)
	require.NoError(t, err)
	require.Equal(t, said, artifacts["all"].KeyValue["v"])
}
