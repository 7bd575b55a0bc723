// Package testcluster is a real Kubernetes on one machine, for tests: etcd, kube-apiserver, controller manager, scheduler, kubelet and containerd in a
// network namespace of their own. The command in testcluster/cmd starts it, runs a command beside it and ends it; tests reach it through Open.
//
// Claims and snapshots are real too: DriverName says what they are, how a test makes them slow or fail, and how it makes a snapshot that only the storage knows.
package testcluster

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Env names the environment variable that holds the folder of the running cluster.
const Env = "DAVIT_TESTCLUSTER"

// Images that are in the cluster from the start. Pods use them with imagePullPolicy Never or IfNotPresent.
const (
	// BusyboxImage has busybox and all its applets in /bin, and runs as user 1000.
	BusyboxImage = "localhost/busybox:1"
	// AgentImage is BusyboxImage with davit, also under the name kando.
	AgentImage = "localhost/davit:1"
	// RootImage is BusyboxImage that runs as root.
	RootImage = "localhost/root:1"
)

// Client is a test's way to the cluster, as its administrator.
type Client struct {
	*kubernetes.Clientset
	Config *rest.Config
	// Dir is the folder of the running cluster; Kubeconfig a file for programs.
	Dir, Kubeconfig string
}

// Open connects to the cluster. Without one the test fails: make e2e starts it.
func Open(t testing.TB) *Client {
	t.Helper()
	dir := os.Getenv(Env)
	require.NotEmpty(t, dir, "no test cluster: run the tests with make e2e, or start one with make cluster")
	c := &Client{Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig")}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	require.NoError(t, err)
	config.QPS, config.Burst = 1000, 1000
	c.Config = config
	c.Clientset, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return c
}

// runLabel is on everything that a run makes and removes.
const runLabel = "davit.io/run"

// Left lists the pods and secrets of runs that are in the namespace, or in all for "".
func Left(ctx context.Context, c kubernetes.Interface, namespace string) (left []string, err error) {
	pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: runLabel})
	if err != nil {
		return nil, err
	}
	for _, pod := range pods.Items {
		left = append(left, "pod "+pod.Namespace+"/"+pod.Name)
	}
	secrets, err := c.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: runLabel})
	if err != nil {
		return nil, err
	}
	for _, secret := range secrets.Items {
		left = append(left, "secret "+secret.Namespace+"/"+secret.Name)
	}
	return left, nil
}

// nothingLeft fails the test when runs have left something. The garbage collector has some time for the secrets of pods that are gone.
func (c *Client) nothingLeft(ctx context.Context, t testing.TB, namespace string) {
	for {
		left, err := Left(ctx, c, namespace)
		if err == nil && len(left) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("left behind by a run: %v (error: %v)", left, err)
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Namespace makes a namespace, with these labels, which goes with the test. The test fails when a pod or secret of a run is left in it.
func (c *Client) Namespace(t testing.TB, labels map[string]string) string {
	t.Helper()
	name := "t-" + strings.ToLower(rand.Text()[:8])
	_, err := c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		patience, done := context.WithTimeout(context.Background(), time.Minute)
		defer done()
		c.nothingLeft(patience, t, name)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = c.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	})
	require.Eventually(t, func() bool {
		_, err := c.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	}, 2*time.Minute, 50*time.Millisecond, "the namespace's default service account, which the controllers make once they have found the API server again")
	return name
}

// Volume makes a folder of the node that pods of any user can write to as a host path, at the same path as this test.
func (c *Client) Volume(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Join(c.Dir, "volumes"), "test-") //nolint:usetesting // pods of any user reach it there
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o777)) //nolint:gosec // as is meant
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// As returns the configuration of a service account that may do in the namespace what the rules say, and nothing else.
func (c *Client) As(t testing.TB, namespace string, rules []rbacv1.PolicyRule) *rest.Config {
	t.Helper()
	name := "as-" + strings.ToLower(rand.Text()[:8])
	meta := metav1.ObjectMeta{Name: name, Namespace: namespace}
	ctx := t.Context()
	_, err := c.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.RbacV1().Roles(namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: namespace}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := c.Token(t, namespace, name)
	if len(rules) > 0 {
		c.await(t, config, namespace, rules[0])
	}
	return config
}

// await returns when the server has heard of a role: its authorizer learns of one a moment after it is made.
func (c *Client) await(t testing.TB, config *rest.Config, namespace string, rule rbacv1.PolicyRule) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	what := &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: rule.Verbs[0]}
	if len(rule.APIGroups) > 0 {
		what.Group = rule.APIGroups[0]
	}
	if len(rule.ResourceNames) > 0 {
		what.Name = rule.ResourceNames[0]
	}
	what.Resource, what.Subresource, _ = strings.Cut(rule.Resources[0], "/")
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: what}}
	require.Eventually(t, func() bool {
		answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed
	}, 30*time.Second, 20*time.Millisecond, "the role")
}

// Token returns the configuration of a service account.
func (c *Client) Token(t testing.TB, namespace, serviceAccount string) *rest.Config {
	t.Helper()
	token, err := c.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), serviceAccount, &authv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := rest.AnonymousClientConfig(c.Config)
	config.BearerToken, config.QPS, config.Burst = token.Status.Token, 1000, 1000
	return config
}
