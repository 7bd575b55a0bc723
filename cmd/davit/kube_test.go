package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/engine/rbac"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// kubeconfig writes a file whose one context is of this server and namespace.
func kubeconfig(t *testing.T, server, namespace string) string {
	t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: server}
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: "canary-token"}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u", Namespace: namespace}
	c.CurrentContext = "x"
	path := filepath.Join(t.TempDir(), "config")
	require.NoError(t, clientcmd.WriteToFile(*c, path))
	return path
}

// status is an answer of an API server that refuses.
func status(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message})
}

func TestFirstContact(t *testing.T) {
	var seen http.Header
	answer := func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"major":"1"}`) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		assert.Equal(t, "/prefix/version", r.URL.Path)
		answer(w)
	}))
	defer server.Close()
	flags := kubeFlags{kubeconfig: kubeconfig(t, server.URL+"/prefix/", "apps"), as: "system:serviceaccount:x:y", qps: 5, burst: 7}
	target, err := flags.target(os.Getenv)
	require.NoError(t, err)
	assert.Equal(t, "apps", target.namespace)
	assert.Equal(t, server.URL+"/prefix", target.server)
	assert.InDelta(t, 5, target.config.QPS, 0)
	assert.Equal(t, 7, target.config.Burst)
	open := func(ctx context.Context) error {
		_, err := target.open(ctx, kubecluster.Policy{}, nil, slog.New(slog.DiscardHandler))
		return err
	}
	require.NoError(t, open(t.Context()))
	assert.Equal(t, "davit", seen.Get("User-Agent"))
	assert.Equal(t, "system:serviceaccount:x:y", seen.Get("Impersonate-User"))

	answer = func(w http.ResponseWriter) { status(w, 403, metav1.StatusReasonForbidden, "no") }
	require.NoError(t, open(t.Context()), "it may know more that it allows")

	answer = func(w http.ResponseWriter) { status(w, 401, metav1.StatusReasonUnauthorized, "Unauthorized") }
	require.EqualError(t, open(t.Context()), "the API server "+server.URL+"/prefix does not accept the credentials: Unauthorized")

	gone := make(chan struct{})
	answer = func(http.ResponseWriter) { <-gone }
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, open(ctx), "the API server "+server.URL+"/prefix did not answer within 20s: ")
	close(gone)
}

func TestWarningsOfTheServerAreLogged(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Warning", `299 - "old version"`)
		_, _ = io.WriteString(w, `{}`)
	}))
	defer server.Close()
	flags := kubeFlags{kubeconfig: kubeconfig(t, server.URL, "")}
	target, err := flags.target(os.Getenv)
	require.NoError(t, err)
	assert.Equal(t, "default", target.namespace)
	var lines bytes.Buffer
	_, err = target.open(t.Context(), kubecluster.Policy{}, nil, slog.New(slog.NewTextHandler(&lines, nil)))
	require.NoError(t, err)
	assert.Contains(t, lines.String(), `warning="old version"`)
}

func TestPolicyOfPods(t *testing.T) {
	p, err := (&kubeFlags{podSecurity: "restricted", runAsImage: true, serviceAccounts: []string{"a"}, qps: 1, burst: 1}).policy()
	require.NoError(t, err)
	assert.Equal(t, kubecluster.Policy{Level: kubecluster.LevelRestricted, RunAsImage: true, ServiceAccounts: []string{"a"}}, p)
}

// begun writes the journal of a run that has begun.
func begun(t *testing.T, dir, id string, labels map[string]string) {
	t.Helper()
	bp := blueprint.Parse("bp.yaml", []byte(twoTasksHere)).Blueprints[0]
	data, err := bp.JSON()
	require.NoError(t, err)
	journal, err := engine.OpenFile(filepath.Join(dir, "runs", id+".journal"))
	require.NoError(t, err)
	spec := blueprint.ActionSpec{Name: "backup", Blueprint: bp.Name, Object: template.ObjectReference{Kind: "Namespace", Name: "shop", Namespace: "shop"}}
	require.NoError(t, journal.Append(t.Context(), engine.Event{Seq: 1, Kind: engine.RunStarted, Run: &engine.RunRecord{
		ID: id, Labels: labels, Blueprints: map[string]json.RawMessage{bp.Name: data},
		Actions: []engine.ActionRecord{{Label: "backup", Spec: spec, Params: engine.Values{"time": "2026-01-01T00:00:00Z"}}},
	}}))
	require.NoError(t, journal.Close())
}

const twoTasksHere = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: tasks}
actions:
  backup:
    phases:
    - {func: KubeTask, name: one, args: {image: i, command: [x]}}
    - {func: KubeTask, name: two, args: {image: i, namespace: "{{ .Namespace.Name }}", command: [x]}}
    - {func: KubeExec, name: three, args: {namespace: other, pod: p, command: [x]}}
`

func TestRunsGoOnWhereTheyWereBegun(t *testing.T) {
	const nowhere = "http://127.0.0.1:1"
	t.Setenv("KUBECONFIG", kubeconfig(t, nowhere, "apps"))
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "runs"), 0o700))
	begun(t, dir, "here", map[string]string{clusterLabel: onThisMachine})
	begun(t, dir, "there", map[string]string{clusterLabel: "https://cluster.example.com", namespaceLabel: "shop"})
	begun(t, dir, "same", map[string]string{clusterLabel: nowhere, namespaceLabel: "shop"})
	run := func(args ...string) string {
		code, _, errs := davit(t, append([]string{"run", "--state", dir}, args...)...)
		assert.Equal(t, exitUsage, code)
		return errs
	}
	assert.Contains(t, run("--run", "here", "--context", "x"), `run "here" is on this machine: it cannot go on with --kubeconfig or --context`)
	assert.Contains(t, run("--run", "there", "--local", "app.yaml"), `run "there" is on the cluster https://cluster.example.com: it cannot go on with --local`)
	errs := run("--run", "there", "-n", "other")
	assert.Contains(t, errs, "run there was begun on https://cluster.example.com and goes on on http://127.0.0.1:1: if these are two clusters, interrupt it")
	assert.Contains(t, errs, "run there has its pods in namespace shop: --namespace is not looked at")
	assert.Contains(t, errs, "the API server http://127.0.0.1:1 cannot be reached")
	errs = run("--run", "same")
	assert.NotContains(t, errs, "was begun on")
	assert.Contains(t, errs, "cannot be reached")
}

func TestNamespacesThatMayHoldPods(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "runs"), 0o700))
	begun(t, dir, "r1", nil)
	_, events, err := state(dir).read(t.Context(), "r1")
	require.NoError(t, err)
	o := &order{resume: true}
	o.blueprints, o.base, err = recorded(events[0].Run)
	require.NoError(t, err)
	namespaces, err := (&session{namespace: "mine", flags: &runFlags{}}).podNamespaces(o)
	require.NoError(t, err)
	assert.Equal(t, []string{"mine", "shop"}, namespaces)
	o = &order{blueprints: o.blueprints, base: o.base, request: &request{objects: []template.ObjectReference{{Kind: "Namespace", Name: "a"}, {Kind: "Namespace", Name: "b"}}}}
	namespaces, err = (&session{namespace: "mine", flags: &runFlags{}}).podNamespaces(o)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b", "mine"}, namespaces)
}

// reviewer is an API server that answers reviews: pods in shop are allowed, secrets may not be asked for, and events break it.
func reviewer(t *testing.T, asked *[]string) kubecluster.Clients {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authorizationv1.SelfSubjectAccessReview
		if !strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") || json.NewDecoder(r.Body).Decode(&review) != nil {
			status(w, 404, metav1.StatusReasonNotFound, "not found")
			return
		}
		a := review.Spec.ResourceAttributes
		*asked = append(*asked, fmt.Sprintf("%s %s/%s/%s %s/%s", a.Verb, a.Group, a.Resource, a.Subresource, a.Namespace, a.Name))
		switch a.Resource {
		case "secrets":
			status(w, 403, metav1.StatusReasonForbidden, "you may not ask")
			return
		case "events":
			status(w, 500, metav1.StatusReasonInternalError, "broken")
			return
		}
		review.Status.Allowed = a.Resource == "pods" && a.Namespace == "shop"
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	flags := kubeFlags{kubeconfig: kubeconfig(t, server.URL, ""), qps: 100, burst: 100}
	target, err := flags.target(os.Getenv)
	require.NoError(t, err)
	target.config.ContentType = "application/json"
	clients, err := kubecluster.ForConfig(target.config)
	require.NoError(t, err)
	return clients
}

func TestPermissionsOfAPlanHoldNoSecret(t *testing.T) {
	var asked []string
	a := &access{clients: reviewer(t, &asked), namespace: "shop", seen: map[permission]permission{}}
	bp := blueprint.Parse("bp.yaml", []byte(`
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: bp}
actions:
  backup:
    phases: [{func: KubeExec, name: one, objects: {o: {kind: ConfigMap, name: "{{ .Options.o }}", namespace: shop}}, args: {namespace: shop, pod: p, command: [x]}}]
    deferPhase: {func: KubeExec, objects: {o: {kind: ConfigMap, name: "{{ .Options.o }}", namespace: shop}}, args: {namespace: shop, pod: p, command: [x]}}
`)).Blueprints[0]
	masked := map[string]template.ObjectReference{"o": {Kind: "ConfigMap", Name: "[masked]", Namespace: "shop"}}
	rule := function.Rule{Namespace: "{{ .Options.o }}", Resource: "pods", Verbs: []string{"get"}}
	action := &plannedAction{Phases: []plannedPhase{
		{PreviewPhase: engine.PreviewPhase{Func: "KubeExec", Objects: masked, Rules: []function.Rule{rule}}},
		{PreviewPhase: engine.PreviewPhase{Func: "KubeExec", Objects: masked, Deferred: true}},
	}}
	require.NoError(t, a.check(t.Context(), action, bp, blueprint.ActionSpec{Name: "backup", Blueprint: "bp", Options: map[string]string{"o": "canary"},
		Object: template.ObjectReference{Kind: "Namespace", Name: "shop"}}))
	assert.Equal(t, []string{"get /configmaps/ shop/[masked]", "get /namespaces/ shop/shop", "get /pods/ shop/"}, asked)
	assert.Equal(t, []string{"in the subject's namespace, if {{ .Options.o }} is that"}, action.Phases[0].Unknown)
}

func TestReviewOfPermissions(t *testing.T) {
	var asked []string
	a := &access{clients: reviewer(t, &asked), namespace: "shop", seen: map[permission]permission{}}
	needs := func(rules ...function.Rule) *rbac.Permissions {
		p := &rbac.Permissions{}
		for _, r := range rules {
			p.Needs = append(p.Needs, rbac.Need{Rule: r, For: "F"})
		}
		return p
	}
	all := needs(
		function.Rule{Namespace: "shop", Resource: "pods", Verbs: []string{"get", "list"}},
		function.Rule{Namespace: "shop", Resource: "pods/exec", Verbs: []string{"create"}},
		function.Rule{Namespace: "shop", Group: "apps", Resource: "statefulsets", Names: []string{"b", "a"}, Verbs: []string{"get"}},
		function.Rule{Namespace: "shop", Resource: "secrets", Verbs: []string{"get"}},
		function.Rule{Resource: "nodes", Verbs: []string{"get"}},
	)
	got, err := a.review(t.Context(), all)
	require.NoError(t, err)
	assert.Equal(t, []summaryLine{
		{allowed, "get, list pods in shop"},
		{allowed, "create pods/exec in shop"},
		{notAsked, "get secrets in shop: the server was not to be asked: you may not ask"},
		{denied, "get statefulsets.apps shop/a"},
		{denied, "get statefulsets.apps shop/b"},
		{denied, "get nodes"},
	}, summary(got))
	assert.Equal(t, []string{"get /pods/ shop/", "list /pods/ shop/", "create /pods/exec shop/", "get /secrets/ shop/", "get apps/statefulsets/ shop/a",
		"get apps/statefulsets/ shop/b", "get /nodes/ /"}, asked)
	before := len(asked)
	_, err = a.review(t.Context(), all)
	require.NoError(t, err)
	assert.Len(t, asked, before, "each is asked for once")

	_, err = a.review(t.Context(), needs(function.Rule{Namespace: "shop", Resource: "events", Verbs: []string{"list"}}))
	require.ErrorContains(t, err, "ask for permissions: ")
}
