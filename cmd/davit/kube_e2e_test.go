//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/davit-project/davit/internal/testcluster"
)

// site is a namespace of the test cluster with a database and a service account that may do what role says.
type site struct {
	*testcluster.Client
	t         *testing.T
	namespace string
	account   *kubernetes.Clientset
	// config is the kubeconfig file of the service account, state the folder of journals.
	config, state string
}

const canary = "canary-password-1"

func newSite(t *testing.T) *site {
	s := &site{Client: testcluster.Open(t), t: t, state: t.TempDir()}
	s.namespace = s.Namespace(t, nil)
	ctx := t.Context()
	_, err := s.CoreV1().Secrets(s.namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "password"},
		StringData: map[string]string{"value": canary}}, metav1.CreateOptions{})
	require.NoError(t, err)
	labels, none := map[string]string{"app": "db"}, int64(0)
	_, err = s.AppsV1().StatefulSets(s.namespace).Create(ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &none, Containers: []corev1.Container{
				{Name: "server", Image: testcluster.BusyboxImage, Command: []string{"sleep", "100000"}},
				{Name: "other", Image: testcluster.BusyboxImage, Command: []string{"sleep", "100000"}},
			}},
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.CoreV1().ServiceAccounts(s.namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "davit"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := s.Token(t, s.namespace, "davit")
	s.account, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	s.config = s.write(config)
	s.ready()
	return s
}

// write makes a kubeconfig file of a configuration with a token.
func (s *site) write(config *rest.Config) string {
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthority: config.CAFile, CertificateAuthorityData: config.CAData}
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u", Namespace: s.namespace}
	c.CurrentContext = "x"
	path := filepath.Join(s.t.TempDir(), "config")
	require.NoError(s.t, clientcmd.WriteToFile(*c, path))
	return path
}

// ready puts the namespace back to what it was: the database runs, nothing of a run is there.
func (s *site) ready() {
	ctx, t := s.t.Context(), s.t
	_, err := s.AppsV1().StatefulSets(s.namespace).UpdateScale(ctx, "db", &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: s.namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: 1}}, metav1.UpdateOptions{})
	require.NoError(t, err)
	if err := s.CoreV1().ConfigMaps(s.namespace).Delete(ctx, "note", metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		require.NoError(t, err)
	}
	now := int64(0)
	require.NoError(t, s.CoreV1().Pods(s.namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: "davit.io/run"}))
	require.Eventually(t, func() bool {
		db, err := s.AppsV1().StatefulSets(s.namespace).Get(ctx, "db", metav1.GetOptions{})
		left, leftErr := testcluster.Left(ctx, s, s.namespace)
		return err == nil && db.Status.ReadyReplicas == 1 && db.Status.Replicas == 1 && leftErr == nil && len(left) == 0
	}, time.Minute, 50*time.Millisecond, "the database")
}

// davit runs a command as the service account.
func (s *site) davit(command string, args ...string) (code int, stdout, stderr string) {
	return davit(s.t, append([]string{command, "--kubeconfig", s.config, "--state", s.state}, args...)...)
}

// grantOf is what davit rbac prints, as single permissions: one resource, one verb, one name at most.
func grantOf(t *testing.T, args ...string) []rbacv1.PolicyRule {
	code, out, errs := davit(t, append([]string{"rbac"}, args...)...)
	require.Zero(t, code, errs)
	require.Empty(t, errs, "the permissions are exact")
	var single []rbacv1.PolicyRule
	for d := yaml.NewDecoder(strings.NewReader(out)); ; {
		var document map[string]any
		if d.Decode(&document) != nil {
			return single
		}
		data, err := json.Marshal(document)
		require.NoError(t, err)
		var role rbacv1.Role
		require.NoError(t, json.NewDecoder(bytes.NewReader(data)).Decode(&role))
		for _, r := range role.Rules {
			for _, resource := range r.Resources {
				for _, verb := range r.Verbs {
					single = append(single, rbacv1.PolicyRule{APIGroups: r.APIGroups, Resources: []string{resource}, Verbs: []string{verb}, ResourceNames: r.ResourceNames})
				}
			}
		}
	}
}

// allow gives the service account a role with these rules and waits until the server knows it.
func (s *site) allow(rules []rbacv1.PolicyRule, without ...rbacv1.PolicyRule) {
	ctx, t := s.t.Context(), s.t
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "davit"}, Rules: rules}
	if _, err := s.RbacV1().Roles(s.namespace).Update(ctx, role, metav1.UpdateOptions{}); apierrors.IsNotFound(err) {
		_, err = s.RbacV1().Roles(s.namespace).Create(ctx, role, metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = s.RbacV1().RoleBindings(s.namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta,
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "davit"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "davit", Namespace: s.namespace}}}, metav1.CreateOptions{})
		require.NoError(t, err)
	} else {
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		for _, r := range rules {
			if !s.may(r) {
				return false
			}
		}
		return !slices.ContainsFunc(without, s.may)
	}, 20*time.Second, 50*time.Millisecond, "the role is in force")
}

func (s *site) may(r rbacv1.PolicyRule) bool {
	resource, sub, _ := strings.Cut(r.Resources[0], "/")
	attributes := &authorizationv1.ResourceAttributes{Namespace: s.namespace, Verb: r.Verbs[0], Group: r.APIGroups[0], Resource: resource, Subresource: sub}
	if len(r.ResourceNames) > 0 {
		attributes.Name = r.ResourceNames[0]
	}
	review, err := s.account.AuthorizationV1().SelfSubjectAccessReviews().Create(s.t.Context(), &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes}}, metav1.CreateOptions{})
	require.NoError(s.t, err)
	return review.Status.Allowed
}

// TestE2ERolesAreExact runs a blueprint with the role that davit rbac prints for it, and then without each of its permissions in turn. None is too few, and none
// too many: a run that lacks one fails and names it, but for those whose lack is told below.
func TestE2ERolesAreExact(t *testing.T) {
	s := newSite(t)
	subject := "--statefulset=" + s.namespace + "/db"
	ask := []string{"--blueprint", "testdata/small.yaml", "--action", "backup", subject}
	all := grantOf(t, "testdata/small.yaml", subject)

	code, out, errs := s.davit("plan", ask...)
	assert.Equal(t, exitFound, code, "without any role: %s", errs)
	assert.NotContains(t, out, allowed)
	code, _, errs = s.davit("run", ask...)
	assert.Equal(t, exitUsage, code, errs)
	entries, err := os.ReadDir(filepath.Join(s.state, "runs"))
	require.NoError(t, err)
	assert.Empty(t, entries, "a run that did not begin leaves no journal")

	s.allow(all)
	code, out, errs = s.davit("plan", ask...)
	require.Zero(t, code, out+errs)
	assert.NotContains(t, out, denied)
	assert.NotContains(t, out, canary)
	code, out, errs = s.davit("run", ask...)
	require.Zero(t, code, errs)
	assert.Contains(t, out, `"artifacts":{"note":{"keyValue":{"lines":"42"}`)
	assert.NotContains(t, out+errs, canary)

	// What a run does without, and what becomes of it then.
	tolerated := map[string]string{
		"list events": "",
		"delete pods": `"left":["pod `,
	}
	for i, lost := range all {
		what := lost.Verbs[0] + " " + lost.Resources[0]
		t.Run(strings.ReplaceAll(what, "/", "_"), func(t *testing.T) {
			s := *s
			s.t = t
			s.ready()
			s.allow(slices.Delete(slices.Clone(all), i, i+1), lost)
			code, out, _ := s.davit("plan", ask...)
			assert.Equal(t, exitFound, code)
			assert.Contains(t, out, denied)
			code, out, errs := s.davit("run", ask...)
			if text, ok := tolerated[what]; ok {
				require.Zero(t, code, errs)
				assert.Contains(t, out, text)
				return
			}
			require.Contains(t, []int{exitFailed, exitUsage}, code, out)
			resource, _, _ := strings.Cut(lost.Resources[0], "/")
			assert.Contains(t, errs, `cannot `+lost.Verbs[0]+` resource "`+resource, "it says what was refused")
			assert.Contains(t, errs, deniedHint)
		})
	}
	s.ready()
}
