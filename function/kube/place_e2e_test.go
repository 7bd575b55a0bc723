//go:build e2e

package kube_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/internal/testcluster"
)

// place is a namespace of the test cluster. Every phase in it is performed by a host that may do what the function's rules say, and nothing else.
type place struct {
	*testcluster.Client
	t  *testing.T
	ns string
}

func newPlace(t *testing.T) place {
	t.Helper()
	c := testcluster.Open(t)
	return place{Client: c, t: t, ns: c.Namespace(t, nil)}
}

// phase is one execution of a function.
type phase struct {
	function string
	// id tells phases apart; what has the same id is the same phase.
	id   string
	args map[string]any
	call func(*function.Call)
	ctx  context.Context
	// host performs the phase in place of one with the function's rules.
	host *function.Registry
}

// ran is what came of it.
type ran struct {
	out function.Outputs
	err error
	*functiontest.Recorder
}

// run performs a phase.
func (p place) run(ph phase) ran {
	p.t.Helper()
	if ph.host == nil {
		ph.host = p.hostFor(ph)
	}
	f, err := ph.host.Lookup(ph.function, "")
	require.NoError(p.t, err)
	call, rec := ph.newCall()
	if ph.ctx == nil {
		ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
		defer cancel()
		ph.ctx = ctx
	}
	out, err := f.Exec(ph.ctx, call, ph.args)
	return ran{out, err, rec}
}

func (ph phase) newCall() (*function.Call, *functiontest.Recorder) {
	call, rec := functiontest.NewCall(ph.id)
	if ph.call != nil {
		ph.call(call)
	}
	return call, rec
}

// hostFor makes the functions of a host that may do what the phase needs.
func (p place) hostFor(ph phase) *function.Registry {
	p.t.Helper()
	for _, f := range kube.Functions(kube.Deps{Namespace: p.ns}) {
		if f.Name() == ph.function {
			call, _ := ph.newCall()
			rules := p.policy(f.Rules(ph.args), call)
			return p.host(p.As(p.t, p.ns, rules), rules)
		}
	}
	p.t.Fatalf("no function %s", ph.function)
	return nil
}

// host makes the functions of a host with this configuration, once it may do what the rules say: the server takes a moment.
func (p place) host(config *rest.Config, rules []rbacv1.PolicyRule) *function.Registry {
	p.t.Helper()
	p.awaitRules(config, rules)
	clients, err := kubecluster.ForConfig(config)
	require.NoError(p.t, err)
	c, err := kubecluster.New(clients, &kubecluster.Options{ImageGrace: 2 * time.Second, ScheduleGrace: 5 * time.Second, ConfigGrace: 2 * time.Second})
	require.NoError(p.t, err)
	reg, err := function.NewRegistry(kube.Functions(kube.Deps{Exec: c, Pods: c, Scaler: c, Objects: c, Namespace: p.ns})...)
	require.NoError(p.t, err)
	return reg
}

func (p place) awaitRules(config *rest.Config, rules []rbacv1.PolicyRule) {
	p.t.Helper()
	client, err := kubernetes.NewForConfig(config)
	require.NoError(p.t, err)
	for _, rule := range rules {
		resource, sub, _ := strings.Cut(rule.Resources[0], "/")
		for _, verb := range rule.Verbs {
			asked := &authorizationv1.ResourceAttributes{Namespace: p.ns, Verb: verb, Group: rule.APIGroups[0], Resource: resource, Subresource: sub}
			if len(rule.ResourceNames) > 0 {
				asked.Name = rule.ResourceNames[0]
			}
			require.Eventually(p.t, func() bool {
				answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(p.t.Context(),
					&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: asked}}, metav1.CreateOptions{})
				return err == nil && answer.Status.Allowed
			}, time.Minute, 20*time.Millisecond, "%+v", asked)
		}
	}
}

// plurals of the kinds that manifests here have.
var plurals = map[string]string{
	"ConfigMap": "configmaps", "Secret": "secrets", "Deployment": "deployments", "Pod": "pods", "PersistentVolumeClaim": "persistentvolumeclaims", "StorageClass": "storageclasses",
}

// policy turns the rules of a function into those of a Role, and requires them to be about the place's namespace.
func (p place) policy(rules []function.Rule, call *function.Call) []rbacv1.PolicyRule {
	p.t.Helper()
	subject := call.Subject
	render := strings.NewReplacer("{{ .Object.metadata.namespace }}", subject.Namespace, "{{ .Object.metadata.name }}", subject.Name)
	var policy []rbacv1.PolicyRule
	for _, r := range rules {
		if r.Subject != "" && r.Subject != subject.Kind || r.Profile && !call.Profile.IsSet() {
			continue
		}
		require.Equal(p.t, p.ns, render.Replace(r.Namespace), "%+v", r)
		resource := r.Resource
		if resource == "" {
			resource = plurals[r.Kind]
		}
		require.NotEmpty(p.t, resource, "%+v", r)
		rule := rbacv1.PolicyRule{APIGroups: []string{r.Group}, Resources: []string{resource}, Verbs: r.Verbs}
		for _, name := range r.Names {
			rule.ResourceNames = append(rule.ResourceNames, render.Replace(name))
		}
		policy = append(policy, rule)
	}
	return policy
}

// clusterHost makes the functions of a host that may do this to objects that belong to no namespace.
func (p place) clusterHost(rules ...rbacv1.PolicyRule) *function.Registry {
	p.t.Helper()
	meta := metav1.ObjectMeta{Name: unique("host-"), Namespace: p.ns}
	_, err := p.CoreV1().ServiceAccounts(p.ns).Create(p.t.Context(), &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	require.NoError(p.t, err)
	name := metav1.ObjectMeta{Name: meta.Name}
	_, err = p.RbacV1().ClusterRoles().Create(p.t.Context(), &rbacv1.ClusterRole{ObjectMeta: name, Rules: rules}, metav1.CreateOptions{})
	require.NoError(p.t, err)
	p.t.Cleanup(func() {
		p.gone(p.RbacV1().ClusterRoles().Delete(context.Background(), meta.Name, metav1.DeleteOptions{}))
	})
	_, err = p.RbacV1().ClusterRoleBindings().Create(p.t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: meta.Name, Namespace: p.ns}},
	}, metav1.CreateOptions{})
	require.NoError(p.t, err)
	p.t.Cleanup(func() {
		p.gone(p.RbacV1().ClusterRoleBindings().Delete(context.Background(), meta.Name, metav1.DeleteOptions{}))
	})
	return p.host(p.Token(p.t, p.ns, meta.Name), rules)
}

func (p place) gone(err error) { require.NoError(p.t, err) }

// unique is a name nobody else has.
func unique(prefix string) string { return prefix + strings.ToLower(rand.Text()[:8]) }

// script is a command in the shell of the image.
func script(text string) []any { return []any{"sh", "-c", text} }

// output is a shell command that writes an output.
func output(key, value string) string {
	return `echo '###Phase-output###: {"key":"'"` + key + `"'","value":"'"` + value + `"'"}'`
}

func resumed(c *function.Call) { c.Resumed = true }

// once does it as soon as the function has reported a progress that is so.
func once(is func(function.Progress) bool, do func()) func(*function.Call) {
	return func(c *function.Call) {
		record := c.OnProgress
		c.OnProgress = func(ctx context.Context, p function.Progress) {
			record(ctx, p)
			if is(p) {
				do()
			}
		}
	}
}

// pod makes a pod of the application, whose containers sleep, and waits until it is ready.
func (p place) pod(name string, containers ...string) {
	p.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: p.ns}, Spec: corev1.PodSpec{TerminationGracePeriodSeconds: new(int64)}}
	for _, ct := range containers {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: ct, Image: testcluster.BusyboxImage, Command: []string{"sleep", "3600"}})
	}
	_, err := p.CoreV1().Pods(p.ns).Create(p.t.Context(), pod, metav1.CreateOptions{})
	require.NoError(p.t, err)
	require.Eventually(p.t, func() bool {
		now, err := p.CoreV1().Pods(p.ns).Get(p.t.Context(), name, metav1.GetOptions{})
		return err == nil && now.Status.Phase == corev1.PodRunning
	}, time.Minute, 50*time.Millisecond, "pod %s runs", name)
}

// pods lists the names of the pods of runs.
func (p place) pods() []string {
	p.t.Helper()
	list, err := p.CoreV1().Pods(p.ns).List(p.t.Context(), metav1.ListOptions{LabelSelector: "davit.io/run"})
	require.NoError(p.t, err)
	var names []string
	for _, pod := range list.Items {
		names = append(names, pod.Name)
	}
	return names
}

// later keeps what is to be done once the outcome is recorded, as an engine does, and does it at the end of the test.
func (p place) later() func(*function.Call) {
	return func(c *function.Call) {
		c.OnRecorded = func(_ string, do func(context.Context) error) {
			p.t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				require.NoError(p.t, do(ctx))
			})
		}
	}
}

// all combines edits of a call.
func all(edits ...func(*function.Call)) func(*function.Call) {
	return func(c *function.Call) {
		for _, edit := range edits {
			edit(c)
		}
	}
}
