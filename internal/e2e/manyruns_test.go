//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

func engineSubject(namespace string) template.ObjectReference {
	return template.ObjectReference{Kind: "Namespace", Namespace: namespace, Name: namespace}
}

// requests counts what goes to the API server, by method and resource.
type requests struct {
	mu    sync.Mutex
	count map[string]int
}

func (r *requests) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		r.mu.Lock()
		r.count[req.Method+" "+shape(req.URL.Path)+map[bool]string{true: "?watch"}[strings.Contains(req.URL.RawQuery, "watch=")]]++
		r.mu.Unlock()
		return next.RoundTrip(req)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// shape is a path without the names in it.
func shape(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, part := range parts {
		if part != "namespaces" || i+2 >= len(parts) {
			continue
		}
		text := parts[i+2]
		if i+4 < len(parts) {
			text += "/" + parts[i+4]
		}
		return text
	}
	return path
}

// TestManyRuns has 20 runs of 10 tasks each at once: none is lost, none is mixed up with another, nothing is left.
func TestManyRuns(t *testing.T) {
	const runs, tasks = 20, 10
	c := testcluster.Open(t)
	ns := c.Namespace(t, nil)
	seen := &requests{count: map[string]int{}}
	config := rest.CopyConfig(c.Config)
	config.Wrap(seen.wrap)
	clients, err := kubecluster.ForConfig(config)
	require.NoError(t, err)
	k, err := kubecluster.New(clients, &kubecluster.Options{Namespaces: []string{ns}})
	require.NoError(t, err)
	reg, err := function.NewRegistry(kube.Functions(kube.Deps{Exec: k, Pods: k, Scaler: k, Objects: k, Namespace: ns})...)
	require.NoError(t, err)
	e := engine.New(reg, kubedata.New(k, k), &engine.Options{Sweep: k})
	var text strings.Builder
	fmt.Fprint(&text, "apiVersion: cr.kanister.io/v1alpha1\nkind: Blueprint\nmetadata: {name: many}\nactions:\n  go:\n    outputArtifacts: {all: {keyValue: {\n")
	for i := range tasks {
		fmt.Fprintf(&text, "      t%d: \"{{ .Phases.t%[1]d.Output.who }}\",\n", i)
	}
	fmt.Fprint(&text, "      }}}\n    phases:\n")
	for i := range tasks {
		fmt.Fprintf(&text, `    - {name: t%d, func: KubeTask, args: {image: "%s", command: [sh, -c, 'echo "###Phase-output###: {\"key\":\"who\",\"value\":\"{{ .Options.run }}-%[1]d\"}"']}}
`, i, testcluster.BusyboxImage)
	}
	f := blueprint.Parse("many.yaml", []byte(text.String()))
	require.NoError(t, f.Err())

	before := runtime.NumGoroutine()
	begin := time.Now()
	results, errs := make([]*engine.Result, runs), make([]error, runs)
	var wg sync.WaitGroup
	for i := range runs {
		wg.Go(func() {
			results[i], errs[i] = e.Run(t.Context(), &engine.Spec{ID: fmt.Sprintf("many-%s-%d", ns, i), Blueprints: f.Blueprints, Actions: []blueprint.ActionSpec{{
				Name: "go", Blueprint: "many", Object: engineSubject(ns), Options: map[string]string{"run": fmt.Sprint("run", i)},
			}}}, &engine.MemoryJournal{})
		})
	}
	wg.Wait()
	took := time.Since(begin)
	for i := range runs {
		require.NoError(t, errs[i])
		artifacts, err := results[i].Artifacts(0)
		require.NoError(t, err)
		for n := range tasks {
			require.Equal(t, fmt.Sprintf("run%d-%d", i, n), artifacts["all"].KeyValue[fmt.Sprint("t", n)])
		}
		require.Empty(t, results[i].Left)
	}
	left, err := testcluster.Left(t.Context(), c, ns)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() < before+20 }, 20*time.Second, 100*time.Millisecond, "goroutines are left")

	total := 0
	for what, n := range seen.count {
		total += n
		t.Logf("%5.2f requests a phase: %s", float64(n)/(runs*tasks), what)
	}
	t.Logf("%d tasks in %s, %.1f requests a phase", runs*tasks, took.Round(time.Second), float64(total)/(runs*tasks))
	require.LessOrEqual(t, total, 20*runs*tasks, "requests to the API server")
}
