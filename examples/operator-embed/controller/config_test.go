package controller

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine/rbac"
	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
	"github.com/davit-project/davit/function/kube"
)

// config reads the manifests of a file in ../config; unknown fields are refused.
func config(t *testing.T, name string) []runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, rbacv1.AddToScheme, v1alpha1.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	data, err := os.ReadFile("../config/" + name)
	require.NoError(t, err)
	var objects []runtime.Object
	for docs := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(data))); ; {
		buf := make([]byte, len(data))
		n, err := docs.Read(buf)
		if errors.Is(err, io.EOF) {
			return objects
		}
		require.NoError(t, err)
		object, _, err := decoder.Decode(buf[:n], nil, nil)
		require.NoError(t, err, string(buf[:n]))
		objects = append(objects, object)
	}
}

// find returns the first object of a type.
func find[T any](t *testing.T, objects []runtime.Object) T {
	t.Helper()
	for _, o := range objects {
		if found, ok := o.(T); ok {
			return found
		}
	}
	require.Fail(t, "no such object")
	return *new(T)
}

func TestManifests(t *testing.T) {
	require.Len(t, config(t, "namespace.yaml"), 1)
	require.Len(t, config(t, "role.yaml"), 3)
	deployment := find[*appsv1.Deployment](t, config(t, "deployment.yaml"))
	account := find[*corev1.ServiceAccount](t, config(t, "role.yaml"))
	require.Equal(t, account.Name, deployment.Spec.Template.Spec.ServiceAccountName)
}

// The sample is one that the operator would run, and its role allows all that the sample needs.
func TestSample(t *testing.T) {
	objects := config(t, "sample.yaml")
	b, text := find[*v1alpha1.Backup](t, objects), find[*corev1.ConfigMap](t, objects)
	require.Equal(t, find[*appsv1.StatefulSet](t, objects).Name, b.Spec.Database)
	c := fake.NewClientBuilder().WithObjects(text).Build()
	b.Status.RunID = "sample"
	spec, err := newSpec(t.Context(), c, b)
	require.NoError(t, err)
	registry, err := functions(b, kube.Deps{}, c)
	require.NoError(t, err)
	for _, d := range blueprint.Lint(spec.Blueprints[0], registry, nil) {
		require.Contains(t, []string{"no-backup-restore-pair", "no-delete"}, d.Code, d.String())
	}

	permissions, err := rbac.Of(registry, spec.Blueprints[0], spec.Actions[0], &rbac.Options{Namespace: b.Namespace})
	require.NoError(t, err)
	require.Empty(t, permissions.Unknown)
	role := find[*rbacv1.Role](t, config(t, "role.yaml"))
	needs := 0
	for _, need := range permissions.Needs {
		require.Equal(t, role.Namespace, need.Namespace)
		for _, verb := range need.Verbs {
			if need.Resource == "secrets" && verb == "create" {
				continue // for a profile, which a Backup does not have
			}
			needs++
			require.True(t, slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool {
				return len(r.ResourceNames) == 0 && slices.Contains(r.APIGroups, need.Group) &&
					slices.Contains(r.Resources, need.Resource) && slices.Contains(r.Verbs, verb)
			}), "%s %s, for %s", verb, need.Resource, need.For)
		}
	}
	require.Greater(t, needs, 10)
}
