//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
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
	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/s3"
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
	cache := filepath.Join(base, image.CacheName)
	for _, spec := range specs {
		archive, err := image.Build(t.Context(), spec(filepath.Join(cache, "davit")), cache)
		require.NoError(t, err)
		c.Import(t, archive)
	}
}

// TestMariaBlueprintOfKanister runs Kanister's blueprint for MariaDB, byte for byte as it was published, with a folder as its location: backup, loss, restore,
// delete.
func TestMariaBlueprintOfKanister(t *testing.T) {
	c := testcluster.Open(t)
	folder := c.Volume(t)
	story(t, c, &depot{
		spec: map[string]any{"location": map[string]any{"type": "file", "bucket": "/backups"}},
		podOverride: map[string]any{
			"containers": []any{map[string]any{"name": "container", "volumeMounts": []any{map[string]any{"name": "backups", "mountPath": "/backups"}}}},
			"volumes":    []any{map[string]any{"name": "backups", "hostPath": map[string]any{"path": folder}}},
		},
		keys: func() []string {
			entries, err := filepath.Glob(filepath.Join(folder, "maria-backups", "*", "*", "*", "*"))
			require.NoError(t, err)
			for i, e := range entries {
				entries[i] = strings.TrimPrefix(e, folder+"/")
			}
			return entries
		},
	})
}

// TestMariaBlueprintOfKanisterOnS3 is the same with a bucket of a real S3 server, and nothing mounted: what is called kando in the image does it all.
func TestMariaBlueprintOfKanisterOnS3(t *testing.T) {
	c := testcluster.Open(t)
	s := testserver.MinIO(t)
	loc := &location.Location{Type: location.TypeS3, Bucket: s.Bucket(t), Endpoint: s.Endpoint, Region: s.Region, Prefix: "site", Credential: location.NewKeyPair(s.AccessKey, s.SecretKey)}
	p := &depot{
		spec: map[string]any{
			"location": map[string]any{"type": "s3Compliant", "bucket": loc.Bucket, "prefix": "site", "region": s.Region, "endpoint": forward(t, s.Endpoint)},
			"credential": map[string]any{"type": "keyPair", "keyPair": map[string]any{
				"idField": "id", "secretField": "key", "secret": map[string]any{"name": "s3"},
			}},
		},
		secret: map[string]string{"id": s.AccessKey, "key": s.SecretKey},
		keys: func() (keys []string) {
			b, err := location.Open(t.Context(), loc, map[string]location.Opener{location.TypeS3: s3.Open}, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, b.Close()) }()
			for o, err := range b.List(t.Context(), "") {
				require.NoError(t, err)
				keys = append(keys, o.Key)
			}
			return keys
		},
	}
	story(t, c, p)
}

// forward lets pods reach a server that listens on this machine's own address only, and returns its address for them.
func forward(t *testing.T, endpoint string) string {
	t.Helper()
	server := strings.TrimPrefix(endpoint, "http://")
	route, err := net.Dial("udp", "10.244.0.2:9") //nolint:noctx // sends nothing: it only tells this side's address on the network of pods
	require.NoError(t, err)
	node := route.LocalAddr().(*net.UDPAddr).IP.String()
	require.NoError(t, route.Close())
	l, err := net.Listen("tcp", net.JoinHostPort(node, "0")) //nolint:noctx // closed below
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer func() { _ = client.Close() }()
				to, err := net.Dial("tcp", server) //nolint:noctx // on this machine
				if err != nil {
					return
				}
				defer func() { _ = to.Close() }()
				go func() { _, _ = io.Copy(to, client); _ = to.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(client, to)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// depot is a location, as a cluster has it.
type depot struct {
	// spec is that of the profile, secret what its credential refers to.
	spec        map[string]any
	secret      map[string]string
	podOverride map[string]any
	// keys lists what is there.
	keys func() []string
}

func story(t *testing.T, c *testcluster.Client, where *depot) {
	t.Helper()
	data, err := os.ReadFile(mariaBlueprint)
	require.NoError(t, err, "the collection of blueprints must stand beside the checkout")
	f := blueprint.Parse("maria.yaml", data)
	require.NoError(t, f.Err())
	bp := f.Blueprints[0]
	taskImage := bp.Actions["backup"].Phases[0].Args["image"].(string)

	databaseImages(t, c, image.MariaDB, func(davit string) image.Spec { return image.MySQLTools(taskImage, davit) })
	m := newMaria(t, c, where)
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
	require.Equal(t, []string{strings.Trim(path, "/")}, where.keys())

	m.sql("DROP DATABASE shop;")
	m.run(bp, "restore", "StatefulSet", artifacts)
	require.Equal(t, before, m.sql("SELECT id, note, HEX(raw) FROM shop.orders ORDER BY id;"))

	m.run(bp, "delete", "Namespace", artifacts)
	require.Empty(t, where.keys())
}

// maria is a database on the cluster, and a location.
type maria struct {
	t         *testing.T
	client    *testcluster.Client
	cluster   *kubecluster.Cluster
	namespace string
	where     *depot
	runs      int
}

func newMaria(t *testing.T, c *testcluster.Client, where *depot) *maria {
	clients, err := kubecluster.ForConfig(c.Config)
	require.NoError(t, err)
	k, err := kubecluster.New(clients, &kubecluster.Options{Policy: kubecluster.Policy{Level: kubecluster.LevelPrivileged}})
	require.NoError(t, err)
	m := &maria{t: t, client: c, cluster: k, namespace: c.Namespace(t, nil), where: where}

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
	_, err = c.CoreV1().Secrets(m.namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s3"}, StringData: where.secret}, metav1.CreateOptions{})
	require.NoError(t, err)
	profile := maps.Clone(where.spec)
	profile["apiVersion"], profile["kind"], profile["metadata"] = "cr.kanister.io/v1alpha1", "Profile", map[string]any{"name": "backups"}
	if where.secret != nil {
		require.NoError(t, unstructured.SetNestedField(profile, m.namespace, "credential", "keyPair", "secret", "namespace"))
	}
	_, err = profileKind(t, c).Namespace(m.namespace).Create(ctx, &unstructured.Unstructured{Object: profile}, metav1.CreateOptions{})
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

// run runs an action; a location that is a folder is mounted by the run, the blueprint knows nothing of it.
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
			Profile:     &template.ObjectReference{Namespace: m.namespace, Name: "backups"},
			PodOverride: m.where.podOverride,
		}},
	}, &engine.MemoryJournal{})
	require.NoError(m.t, err)
	return res
}
