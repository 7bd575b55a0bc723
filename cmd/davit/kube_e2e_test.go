//go:build e2e

package main

import (
	"bytes"
	"cmp"
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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
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
	_, err = s.RbacV1().RoleBindings(s.namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "davit"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "davit"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "davit", Namespace: s.namespace}}}, metav1.CreateOptions{})
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
	// an update makes a role that is not there
	_, err := s.RbacV1().Roles(s.namespace).Update(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "davit"}, Rules: rules}, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		for _, r := range rules {
			require.True(c, s.may(r), "%v", r)
		}
		require.False(c, slices.ContainsFunc(without, s.may), "%v", without)
	}, time.Minute, 50*time.Millisecond, "the role is in force")
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

// exact runs a blueprint with the role that davit rbac prints for it, and then without each of its permissions in turn.
type exact struct {
	// rbac and ask are the flags that say what to run, for davit rbac and for davit plan and run.
	rbac, ask []string
	// tolerated are permissions that a run does without, and what it prints then.
	tolerated map[string]string
	// result is part of what a run prints that has all.
	result string
}

func (e exact) run(t *testing.T, s *site) {
	all := grantOf(t, e.rbac...)
	code, out, errs := s.davit("plan", e.ask...)
	assert.Equal(t, exitFound, code, "without any role: %s", errs)
	assert.NotContains(t, out, allowed)
	code, _, errs = s.davit("run", e.ask...)
	assert.Equal(t, exitUsage, code, errs)
	entries, err := os.ReadDir(filepath.Join(s.state, "runs"))
	require.NoError(t, err)
	assert.Empty(t, entries, "a run that did not begin leaves no journal")

	s.allow(all)
	code, out, errs = s.davit("plan", e.ask...)
	require.Zero(t, code, out+errs)
	assert.NotContains(t, out, denied)
	assert.NotContains(t, out, canary)
	code, out, errs = s.davit("run", e.ask...)
	require.Zero(t, code, errs)
	assert.Contains(t, out, e.result)
	assert.NotContains(t, out+errs, canary)
	for i, lost := range all {
		name := strings.ReplaceAll(strings.Join([]string{lost.Verbs[0], lost.Resources[0], strings.Join(lost.ResourceNames, "_")}, "_"), "/", "_")
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t = t
			s.ready()
			s.allow(slices.Delete(slices.Clone(all), i, i+1), lost)
			e.without(t, &s, lost)
		})
	}
	s.ready()
}

// without plans and runs without one permission.
func (e exact) without(t *testing.T, s *site, lost rbacv1.PolicyRule) {
	code, out, _ := s.davit("plan", e.ask...)
	assert.Equal(t, exitFound, code)
	assert.Contains(t, out, denied)
	code, out, errs := s.davit("run", e.ask...)
	what := lost.Verbs[0] + " " + lost.Resources[0]
	if text, ok := e.tolerated[what]; ok {
		require.Zero(t, code, errs)
		assert.Contains(t, out, text)
		return
	}
	require.Contains(t, []int{exitFailed, exitUsage}, code, out)
	resource, _, _ := strings.Cut(lost.Resources[0], "/")
	// The server tells no verb where a connection is upgraded.
	worded := map[string]string{"create pods/exec": "get and create on pods/exec are needed"}
	assert.Contains(t, errs, cmp.Or(worded[what], `cannot `+lost.Verbs[0]+` resource "`+resource), "it says what was refused")
	assert.Contains(t, errs, deniedHint)
}

// TestE2ERolesAreExact finds no permission that is missing, and none that is too many: a run that lacks one fails and names it, but for a few that it does
// without. It asks again and again where it may not watch; the error of a pod that cannot start lacks its events; a pod that may not be deleted stays.
func TestE2ERolesAreExact(t *testing.T) {
	s := newSite(t)
	subject := "--statefulset=" + s.namespace + "/db"
	exact{
		rbac:      []string{"testdata/small.yaml", subject},
		ask:       []string{"--blueprint", "testdata/small.yaml", "--action", "backup", subject},
		tolerated: map[string]string{"list events": "", "watch pods": "", "delete pods": `"left":["pod `},
		result:    `"artifacts":{"note":{"keyValue":{"lines":"42"}`,
	}.run(t, s)
}

// TestE2ERolesWithAProfile is for a run whose pod gets the profile. A namespace in which pods cannot be listed is left unswept.
func TestE2ERolesWithAProfile(t *testing.T) {
	s := newSite(t)
	s.profile()
	flags := []string{"--namespacetargets=" + s.namespace, "--profile=" + s.namespace + "/backups"}
	exact{
		rbac:      append([]string{"testdata/profile.yaml", "--profile-secret", "keys"}, flags...),
		ask:       append([]string{"--blueprint", "testdata/profile.yaml", "--action", "backup"}, flags...),
		tolerated: map[string]string{"list events": "", "watch pods": "", "delete pods": `"left":["pod `, "list pods": `"left":["pods of namespace `},
		result:    `"state":"complete"`,
	}.run(t, s)
}

// profile makes the kind Profile known and a profile whose credential is a secret.
func (s *site) profile() {
	ctx, t := s.t.Context(), s.t
	dyn, err := dynamic.NewForConfig(s.Config)
	require.NoError(t, err)
	schemaOfAny := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	_, err = dyn.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).Apply(ctx, "profiles.cr.kanister.io",
		&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "profiles.cr.kanister.io"},
			"spec": map[string]any{
				"group": "cr.kanister.io", "scope": "Namespaced", "names": map[string]any{"plural": "profiles", "singular": "profile", "kind": "Profile"},
				"versions": []any{map[string]any{"name": "v1alpha1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": schemaOfAny}}},
			},
		}}, metav1.ApplyOptions{FieldManager: "davit-e2e", Force: true})
	require.NoError(t, err)
	_, err = s.CoreV1().Secrets(s.namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys"},
		StringData: map[string]string{"id": "canary-id", "key": canary}}, metav1.CreateOptions{})
	require.NoError(t, err)
	profile := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cr.kanister.io/v1alpha1", "kind": "Profile", "metadata": map[string]any{"name": "backups"},
		"location": map[string]any{"type": "file", "bucket": "/tmp/backups"},
		"credential": map[string]any{"type": "keyPair", "keyPair": map[string]any{"idField": "id", "secretField": "key",
			"secret": map[string]any{"name": "keys", "namespace": s.namespace}}},
	}}
	require.Eventually(t, func() bool {
		_, err = dyn.Resource(schema.GroupVersionResource{Group: "cr.kanister.io", Version: "v1alpha1", Resource: "profiles"}).Namespace(s.namespace).
			Create(ctx, profile, metav1.CreateOptions{})
		return err == nil
	}, time.Minute, 100*time.Millisecond, "the kind is known")
}
