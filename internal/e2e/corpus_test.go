//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/internal/testcluster/image"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

// mariaBlueprint is Kanister's, as it is in the field.
const mariaBlueprint = "../../../shared/corpus/kanister-blueprints/maria/maria-blueprint.yaml"

// databaseImages imports images of databases and returns the path of davit.
func databaseImages(t *testing.T, c *testcluster.Client, specs ...func(davit string) image.Spec) {
	t.Helper()
	base, err := os.UserCacheDir()
	require.NoError(t, err)
	cache := filepath.Join(base, testcluster.CacheName)
	for _, spec := range specs {
		archive, err := image.Build(t.Context(), spec(filepath.Join(cache, "davit")), cache)
		require.NoError(t, err)
		c.Import(t, archive)
	}
}

// TestMariaBlueprintOfKanister runs Kanister's blueprint for MariaDB, byte for byte as it was published: backup, loss, restore, delete.
func TestMariaBlueprintOfKanister(t *testing.T) {
	data, err := os.ReadFile(mariaBlueprint)
	require.NoError(t, err, "the collection of blueprints must stand beside the checkout")
	f := blueprint.Parse("maria.yaml", data)
	require.NoError(t, f.Err())
	bp := f.Blueprints[0]
	taskImage := bp.Actions["backup"].Phases[0].Args["image"].(string)

	c := testcluster.Open(t)
	databaseImages(t, c, image.MariaDB, func(davit string) image.Spec { return image.MySQLTools(taskImage, davit) })
	m := newMaria(t, c)
	m.sql(`CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, note VARCHAR(200), raw BLOB) CHARSET utf8mb4;`)
	var rows strings.Builder
	for i := range 500 {
		fmt.Fprintf(&rows, "INSERT INTO shop.orders VALUES (%d, %s, UNHEX(SHA2('%d', 256)));\n", i, map[bool]string{true: "NULL", false: fmt.Sprintf("'größe %d %%'", i)}[i%7 == 0], i)
	}
	m.sql(rows.String())
	before := m.sql("SELECT id, note, HEX(raw) FROM shop.orders ORDER BY id;")

	backup := m.run(bp, "backup", "StatefulSet", nil)
	artifacts, err := backup.Artifacts(0)
	require.NoError(t, err)
	path := artifacts["mariaCloudDump"].KeyValue["s3path"]
	require.True(t, strings.HasPrefix(path, "/maria-backups/"+m.namespace+"/maria/"), path)
	stored := filepath.Join(m.folder, path)
	require.FileExists(t, stored)

	m.sql("DROP DATABASE shop;")
	m.run(bp, "restore", "StatefulSet", artifacts)
	require.Equal(t, before, m.sql("SELECT id, note, HEX(raw) FROM shop.orders ORDER BY id;"))

	m.run(bp, "delete", "Namespace", artifacts)
	require.NoFileExists(t, stored)
}

// maria is a database on the cluster, and a folder of the node that is the location.
type maria struct {
	t         *testing.T
	client    *testcluster.Client
	cluster   *kubecluster.Cluster
	namespace string
	folder    string
	runs      int
}

func newMaria(t *testing.T, c *testcluster.Client) *maria {
	clients, err := kubecluster.ForConfig(c.Config)
	require.NoError(t, err)
	k, err := kubecluster.New(clients, &kubecluster.Options{Policy: kubecluster.Policy{Level: kubecluster.LevelPrivileged}})
	require.NoError(t, err)
	m := &maria{t: t, client: c, cluster: k, namespace: c.Namespace(t, nil)}
	m.folder = c.Volume(t)

	ctx := t.Context()
	_, err = c.CoreV1().Secrets(m.namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "maria"}, StringData: map[string]string{"mariadb-root-password": canary},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	labels := map[string]string{"app": "maria"}
	_, err = c.CoreV1().Services(m.namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "maria"},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: labels, Ports: []corev1.ServicePort{{Port: 3306}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	none := int64(0)
	_, err = c.AppsV1().StatefulSets(m.namespace).Create(ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "maria"},
		Spec: appsv1.StatefulSetSpec{
			ServiceName: "maria", Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &none, Containers: []corev1.Container{{
					Name: "db", Image: image.MariaDBImage, ImagePullPolicy: corev1.PullNever,
					Env: []corev1.EnvVar{{Name: "MARIADB_ROOT_PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
						LocalObjectReference: corev1.LocalObjectReference{Name: "maria"}, Key: "mariadb-root-password",
					}}}},
				}}},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	profiles := profileKind(t, c)
	_, err = profiles.Namespace(m.namespace).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cr.kanister.io/v1alpha1", "kind": "Profile", "metadata": map[string]any{"name": "backups"},
		"location": map[string]any{"type": "file", "bucket": "/backups"},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := m.try("SELECT 1;"); return err == nil }, 2*time.Minute, time.Second, "the database")
	return m
}

// profileKind makes the kind Profile known, where it is not.
func profileKind(t *testing.T, c *testcluster.Client) dynamic.NamespaceableResourceInterface {
	t.Helper()
	dyn, err := dynamic.NewForConfig(c.Config)
	require.NoError(t, err)
	open := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	_, err = dyn.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).Apply(t.Context(),
		"profiles.cr.kanister.io", &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "profiles.cr.kanister.io"},
			"spec": map[string]any{
				"group": "cr.kanister.io", "scope": "Namespaced", "names": map[string]any{"plural": "profiles", "singular": "profile", "kind": "Profile"},
				"versions": []any{map[string]any{"name": "v1alpha1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": open}}},
			},
		}}, metav1.ApplyOptions{FieldManager: "davit-e2e", Force: true})
	require.NoError(t, err)
	profiles := dyn.Resource(schema.GroupVersionResource{Group: "cr.kanister.io", Version: "v1alpha1", Resource: "profiles"})
	require.Eventually(t, func() bool {
		_, err := profiles.List(t.Context(), metav1.ListOptions{})
		return err == nil
	}, 30*time.Second, 100*time.Millisecond)
	return profiles
}

// try runs statements in the database's own container; the password does not pass a command line.
func (m *maria) try(statements string) (string, error) {
	var out, errs bytes.Buffer
	err := m.cluster.Exec(context.Background(), cluster.Command{
		Namespace: m.namespace, Pod: "maria-0", Args: []string{"bash", "-c", `MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -uroot -h127.0.0.1 --default-character-set=utf8mb4 -N`},
		Stdin: strings.NewReader(statements), Stdout: &out, Stderr: &errs,
	})
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, errs.String())
	}
	return out.String(), nil
}

func (m *maria) sql(statements string) string {
	m.t.Helper()
	out, err := m.try(statements)
	require.NoError(m.t, err)
	return out
}

// run runs an action; the location is mounted by the run, the blueprint knows nothing of it.
func (m *maria) run(bp *blueprint.Blueprint, action, kind string, artifacts map[string]template.Artifact) *engine.Result {
	m.t.Helper()
	k := m.cluster
	reg, err := function.NewRegistry(kube.Functions(kube.Deps{Exec: k, Pods: k, Scaler: k, Objects: k, Namespace: m.namespace})...)
	require.NoError(m.t, err)
	m.runs++
	subject := template.ObjectReference{Kind: kind, Namespace: m.namespace, Name: "maria"}
	if kind == "Namespace" {
		subject.Name = m.namespace
	}
	res, err := engine.New(reg, kubedata.New(k, k), &engine.Options{Sweep: k}).Run(m.t.Context(), &engine.Spec{
		ID: fmt.Sprintf("maria-%s-%d", m.namespace, m.runs), Blueprints: []*blueprint.Blueprint{bp},
		Actions: []blueprint.ActionSpec{{
			Name: action, Blueprint: bp.Name, Object: subject, Artifacts: artifacts,
			Profile: &template.ObjectReference{Namespace: m.namespace, Name: "backups"},
			PodOverride: map[string]any{
				"containers": []any{map[string]any{"name": "container", "volumeMounts": []any{map[string]any{"name": "backups", "mountPath": "/backups"}}}},
				"volumes":    []any{map[string]any{"name": "backups", "hostPath": map[string]any{"path": m.folder}}},
			},
		}},
	}, &engine.MemoryJournal{})
	require.NoError(m.t, err)
	return res
}
