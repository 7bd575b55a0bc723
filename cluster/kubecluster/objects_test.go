package kubecluster

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/cluster"
)

// answer serves a function and returns a Cluster that talks to it. It is for what no healthy server answers.
func answer(t *testing.T, serve http.HandlerFunc) *Cluster {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	clients, err := ForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	c, err := New(clients, nil)
	require.NoError(t, err)
	return c
}

func TestReferencesThatCannotBe(t *testing.T) {
	c := answer(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing is to be asked") })
	for _, ref := range []cluster.Ref{
		{},
		{Name: "x"},
		{APIVersion: "v1", Resource: "pods", Namespace: "a"},
		{APIVersion: "apps/v1", Resource: "deployments", Namespace: "a", Name: "x"},
		{APIVersion: "v1", Resource: "pods/exec", Namespace: "a", Name: "x"},
		{APIVersion: "v1", Resource: "pods", Namespace: "a", Name: "../b"},
		{APIVersion: "v1", Resource: "pods", Namespace: "..", Name: "b"},
		{APIVersion: "..", Resource: "pods", Namespace: "a", Name: "b"},
		{APIVersion: "v1", Group: "a/b", Resource: "pods", Namespace: "a", Name: "b"},
		{Kind: "a%2fb", Namespace: "a", Name: "b"},
	} {
		_, err := c.Get(t.Context(), ref)
		require.ErrorIs(t, err, cluster.ErrInvalid, "%+v", ref)
		require.ErrorIs(t, c.Delete(t.Context(), ref), cluster.ErrInvalid)
		_, err = c.Patch(t.Context(), ref, []byte(`{}`))
		require.ErrorIs(t, err, cluster.ErrInvalid)
	}
	_, err := c.Get(t.Context(), cluster.Ref{APIVersion: "apps/v1", Resource: "deployments", Namespace: "a", Name: "x"})
	require.ErrorContains(t, err, `write apiVersion "v1" and group "apps"`)
	for _, patch := range []string{"", " ", "null", "[]", "spec: 1", `{"a":1`} {
		_, err := c.Patch(t.Context(), cluster.Ref{APIVersion: "v1", Resource: "pods", Namespace: "a", Name: "x"}, []byte(patch))
		require.ErrorIs(t, err, cluster.ErrInvalid, patch)
	}
}

func TestManifestsThatCannotBe(t *testing.T) {
	c := answer(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing is to be asked") })
	good := func() map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x"}}
	}
	for name, spoil := range map[string]func(map[string]any){
		"no apiVersion":   func(m map[string]any) { delete(m, "apiVersion") },
		"odd apiVersion":  func(m map[string]any) { m["apiVersion"] = "a/b/c" },
		"no kind":         func(m map[string]any) { delete(m, "kind") },
		"no name":         func(m map[string]any) { m["metadata"] = map[string]any{} },
		"null metadata":   func(m map[string]any) { m["metadata"] = nil },
		"text metadata":   func(m map[string]any) { m["metadata"] = "x" },
		"annotations":     func(m map[string]any) { m["metadata"].(map[string]any)["annotations"] = map[string]any{"a": 1} },
		"list":            func(m map[string]any) { m["kind"], m["items"] = "ConfigMapList", []any{} },
		"name with slash": func(m map[string]any) { m["metadata"] = map[string]any{"name": "a/b"} },
		"no JSON":         func(m map[string]any) { m["data"] = func() {} },
	} {
		m := good()
		spoil(m)
		_, err := c.Create(t.Context(), m, "a", "token")
		require.ErrorIs(t, err, cluster.ErrInvalid, name)
	}
	_, err := c.Create(t.Context(), good(), "a", "")
	require.ErrorIs(t, err, cluster.ErrInvalid)
	_, err = c.Create(t.Context(), nil, "a", "token")
	require.ErrorIs(t, err, cluster.ErrInvalid)
}

func TestGeneratedNames(t *testing.T) {
	name := generatedName("job-", "run-1.phase-0")
	require.Equal(t, name, generatedName("job-", "run-1.phase-0"))
	require.NotEqual(t, name, generatedName("job-", "run-1.phase-1"))
	require.Regexp(t, `^job-[a-z2-7]{10}$`, name)
	long := generatedName(strings.Repeat("a", 300), "t")
	require.Len(t, long, 63)
	require.Empty(t, validation.IsDNS1123Label(long))
	require.Empty(t, validation.IsDNS1123Subdomain(generatedName(strings.Repeat("b", 52)+".", "t")))
}

func TestStrategicMergeIsForTheKubernetesAPI(t *testing.T) {
	for _, ref := range []cluster.Ref{
		{APIVersion: "v1", Resource: "configmaps"}, {APIVersion: "v1", Resource: "endpoints"}, {APIVersion: "v1", Group: "apps", Resource: "statefulsets"},
		{APIVersion: "v1", Group: "networking.k8s.io", Resource: "networkpolicies"}, {APIVersion: "v1", Group: "networking.k8s.io", Resource: "ingresses"},
	} {
		require.True(t, hasStrategicMerge(ref), "%s", ref)
	}
	for _, ref := range []cluster.Ref{
		{APIVersion: "v1", Group: "apps.openshift.io", Resource: "deploymentconfigs"}, {APIVersion: "v1", Group: "example.org", Resource: "pods"},
		{APIVersion: "v9", Resource: "configmaps"}, {APIVersion: "v1alpha1", Group: "cr.kanister.io", Resource: "profiles"},
	} {
		require.False(t, hasStrategicMerge(ref), "%s", ref)
	}
}

// A server that restarts does not end the wait for an object to go.
func TestDeletePassesOverFaultsThatPass(t *testing.T) {
	var gets atomic.Int32
	c := answer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodDelete {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Contains(t, string(body), `"propagationPolicy":"Background"`)
			assert.Contains(t, string(body), `"uid":"u-1"`)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Success"}`)
			return
		}
		switch gets.Add(1) {
		case 1:
			_, _ = io.WriteString(w, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","uid":"u-1"}}`)
		case 2:
			hijacked, _, err := w.(http.Hijacker).Hijack()
			assert.NoError(t, err)
			_ = hijacked.Close()
		case 3:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, status(500, "InternalError", "etcd"))
		default:
			_, _ = io.WriteString(w, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","uid":"u-2"}}`)
		}
	})
	require.NoError(t, c.Delete(t.Context(), cluster.Ref{APIVersion: "v1", Resource: "configmaps", Namespace: "a", Name: "x"}))
	require.GreaterOrEqual(t, gets.Load(), int32(4))
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, begin := newPace(), time.Now()
		for range 6 { // 0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 2
			require.NoError(t, p.again(t.Context(), nil))
		}
		require.Equal(t, 5100*time.Millisecond, time.Since(begin))

		for begin = time.Now(); ; {
			if err := p.again(t.Context(), io.EOF); err != nil {
				require.ErrorIs(t, err, io.EOF)
				break
			}
		}
		require.InDelta(t, patience, time.Since(begin), float64(3*time.Second))

		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, io.ErrClosedPipe)
		defer cancel()
		p = &pace{next: time.Hour}
		require.ErrorIs(t, p.again(ctx, nil), io.ErrClosedPipe)
	})
}
