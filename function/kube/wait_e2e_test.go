//go:build e2e

package kube_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function/kube"
)

func (p place) condition(text, resource, name string) map[string]any {
	ref := reference("", resource, name)
	ref["namespace"] = p.ns
	return map[string]any{"condition": text, "objectReference": ref}
}

func waitArgs(timeout, list string, conditions ...any) map[string]any {
	return map[string]any{"timeout": timeout, "conditions": map[string]any{list: conditions}}
}

func TestWaitOnACluster(t *testing.T) {
	p := newPlace(t)
	p.pod("app", "main")
	_, err := p.CoreV1().ConfigMaps(p.ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "conf"}, Data: map[string]string{"state": "begun"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	for name, text := range map[string]struct{ ready, state string }{
		"Wait": {`{{ if eq "{$.status.phase}" "Running" }}true{{ end }}`, `{{ if eq "{$.data.state}" "done" }}true{{ end }}`},
		"WaitV2": {
			`{{ range .status.conditions }}{{ if eq .type "Ready" }}{{ eq .status "True" }}{{ end }}{{ end }}`,
			`{{ eq .data.state "done" }}`,
		},
	} {
		set := func(state string) {
			_, err := p.CoreV1().ConfigMaps(p.ns).Patch(context.Background(), "conf", "application/merge-patch+json", []byte(`{"data":{"state":"`+state+`"}}`), metav1.PatchOptions{})
			require.NoError(t, err)
		}
		set("begun")
		require.NoError(t, p.run(phase{function: name, id: "ready", args: waitArgs("2m", "allOf", p.condition(text.ready, "pods", "app"))}).err)
		require.NoError(t, p.run(phase{function: name, id: "any", args: waitArgs("2m", "anyOf", p.condition(text.ready, "pods", "absent"), p.condition(text.ready, "pods", "app"))}).err)

		var r ran
		for _, timeout := range []string{"3s", "20s", "1m"} { // a busy machine may not come to all conditions in the first
			r = p.run(phase{function: name, id: "late", args: waitArgs(timeout, "allOf", p.condition(text.state, "configmaps", "conf"), p.condition(text.ready, "pods", "absent"))})
			require.ErrorIs(t, r.err, kube.ErrTimeout)
			if strings.Contains(r.err.Error(), "allOf[1]") {
				break
			}
		}
		require.ErrorContains(t, r.err, "allOf[1] on pods "+p.ns+"/absent")

		time.AfterFunc(2*time.Second, func() { set("done") })
		require.NoError(t, p.run(phase{function: name, id: "soon", args: waitArgs("5m", "allOf", p.condition(text.state, "configmaps", "conf"))}).err)

		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		time.AfterFunc(2*time.Second, func() { cancel(stop) })
		r = p.run(phase{function: name, id: "cancelled", ctx: ctx, args: waitArgs("1m", "allOf", p.condition(text.state, "configmaps", "absent"))})
		require.ErrorIs(t, r.err, stop)

		began := time.Now()
		r = p.run(phase{function: name, id: "denied", host: p.host(p.As(t, p.ns, nil), nil), args: waitArgs("10m", "allOf", p.condition(text.state, "configmaps", "conf"))})
		require.ErrorIs(t, r.err, cluster.ErrDenied)
		require.ErrorContains(t, r.err, "configmaps")
		require.Less(t, time.Since(began), 90*time.Second, "what is not allowed does not become so by waiting")

		r = p.run(phase{function: name, id: "unknown", host: p.host(p.Config, nil), args: waitArgs("1m", "allOf", p.condition(text.state, "gadgets", "conf"))})
		require.ErrorIs(t, r.err, cluster.ErrInvalid)
	}
}
