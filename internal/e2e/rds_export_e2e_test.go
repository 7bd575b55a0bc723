//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsrds "github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/rds"
	"github.com/davit-project/davit/internal/pgdump/motords"
	"github.com/davit-project/davit/internal/pgdump/pgserver"
	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/internal/testcluster/image"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/all"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

// rdsBlueprint is that of the example.
const rdsBlueprint = "../../examples/rds/blueprint.yaml"

// rdsStage is an RDS whose instances' databases are pods: instance restored is pod target, all others are pod source.
type rdsStage struct {
	t         *testing.T
	c         *testcluster.Client
	k         *kubecluster.Cluster
	moto      *motords.RDS
	client    rds.Client
	namespace string
	// folder is the location, which pods have at the same path.
	folder, password string
	seen             *witness
	log              lockedBuffer
	parsed           *blueprint.File
	deps             rds.Deps
}

func newRDSStage(t *testing.T) *rdsStage {
	c := testcluster.Open(t)
	databaseImages(t, c, image.Postgres)
	clients, err := kubecluster.ForConfig(c.Config)
	require.NoError(t, err)
	k, err := kubecluster.New(clients, &kubecluster.Options{Policy: kubecluster.Policy{Level: kubecluster.LevelPrivileged}})
	require.NoError(t, err)
	s := &rdsStage{t: t, c: c, k: k, namespace: c.Namespace(t, nil), folder: c.Volume(t), password: "canary-" + rand.Text()}
	s.seen = watchSecrets(t, c, s.namespace)
	ca := s.servers()
	s.moto, err = motords.Start(t.Context(), "eu-west-1", func(instance string) (string, int) {
		if instance == "restored" {
			return s.host("target"), 5432
		}
		return s.host("source"), 5432
	})
	require.NoError(t, err)
	t.Cleanup(s.moto.Close)
	s.client, err = rds.NewClient(t.Context(), rds.Access{Region: "eu-west-1", AccessKeyID: "id", SecretAccessKey: function.NewSecret("key")}, &rds.ClientOptions{Endpoint: s.moto.URL})
	require.NoError(t, err)
	open := func(ctx context.Context, profile []byte) (*location.Bucket, error) {
		return location.OpenProfile(ctx, profile, all.Openers())
	}
	s.deps = rds.Deps{
		NewClient: func(context.Context, rds.Access) (rds.Client, error) { return s.client, nil },
		Pods:      k, Open: open, DumpImage: image.PostgresImage, DumpCA: ca, Waits: rds.Waits{Interval: 100 * time.Millisecond},
	}
	text, err := os.ReadFile(rdsBlueprint)
	require.NoError(t, err)
	s.parsed = blueprint.Parse(rdsBlueprint, text)
	require.NoError(t, s.parsed.Err())
	s.objects()
	return s
}

// host is the name of a database's pod, for which its certificate is.
func (s *rdsStage) host(name string) string { return name + "." + s.namespace + ".svc" }

// servers starts the databases, with TLS, and returns the certificate of their authority.
func (s *rdsStage) servers() []byte {
	ctx := s.t.Context()
	ca, cert, key, err := pgserver.Certificates(s.host("source"), s.host("target"))
	require.NoError(s.t, err)
	_, err = s.c.CoreV1().Secrets(s.namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "tls"}, Data: map[string][]byte{"server.crt": cert, "server.key": key, "password": []byte(s.password)},
	}, metav1.CreateOptions{})
	require.NoError(s.t, err)
	none, group, mode := int64(0), int64(999), int32(0o440)
	for _, name := range []string{"source", "target"} {
		labels := map[string]string{"app": name}
		_, err = s.c.CoreV1().Services(s.namespace).Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: labels, Ports: []corev1.ServicePort{{Port: 5432}}},
		}, metav1.CreateOptions{})
		require.NoError(s.t, err)
		_, err = s.c.CoreV1().Pods(s.namespace).Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
			Spec: corev1.PodSpec{
				TerminationGracePeriodSeconds: &none, SecurityContext: &corev1.PodSecurityContext{FSGroup: &group},
				Containers: []corev1.Container{{
					Name: "server", Image: image.PostgresImage, ImagePullPolicy: corev1.PullNever,
					Args: []string{"-c", "ssl=on", "-c", "ssl_cert_file=/tls/server.crt", "-c", "ssl_key_file=/tls/server.key"},
					Env: []corev1.EnvVar{{Name: "POSTGRES_PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
						LocalObjectReference: corev1.LocalObjectReference{Name: "tls"}, Key: "password",
					}}}},
					VolumeMounts: []corev1.VolumeMount{{Name: "tls", MountPath: "/tls"}},
				}},
				Volumes: []corev1.Volume{{Name: "tls", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "tls", DefaultMode: &mode}}}},
			},
		}, metav1.CreateOptions{})
		require.NoError(s.t, err)
	}
	for _, name := range []string{"source", "target"} {
		require.Eventually(s.t, func() bool { _, err := s.try(name, "postgres", "SELECT 1;"); return err == nil }, 2*time.Minute, 500*time.Millisecond, name)
	}
	return ca
}

// objects makes what runs refer to.
func (s *rdsStage) objects() {
	ctx := s.t.Context()
	_, err := profileKind(s.t, s.c).Namespace(s.namespace).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cr.kanister.io/v1alpha1", "kind": "Profile", "metadata": map[string]any{"name": "backups"},
		"location": map[string]any{"type": "file", "bucket": s.folder},
	}}, metav1.CreateOptions{})
	require.NoError(s.t, err)
	_, err = s.c.CoreV1().Secrets(s.namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "db"}, StringData: map[string]string{"username": "postgres", "password": s.password},
	}, metav1.CreateOptions{})
	require.NoError(s.t, err)
	for _, name := range []string{"shop", "restored"} {
		_, err = s.c.CoreV1().ConfigMaps(s.namespace).Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"instanceID": name, "region": "eu-west-1"},
		}, metav1.CreateOptions{})
		require.NoError(s.t, err)
		_, err = s.client.CreateDBInstance(ctx, &awsrds.CreateDBInstanceInput{
			DBInstanceIdentifier: aws.String(name), Engine: aws.String("postgres"), DBInstanceClass: aws.String("db.t3.micro"), AllocatedStorage: aws.Int32(20),
			MasterUsername: aws.String("postgres"), MasterUserPassword: aws.String("not-asked-for"), DBSubnetGroupName: aws.String("default"),
		})
		require.NoError(s.t, err)
	}
}

// try runs statements in a database of a pod.
func (s *rdsStage) try(pod, database, statements string) (string, error) {
	var out, errs bytes.Buffer
	err := s.k.Exec(context.Background(), cluster.Command{
		Namespace: s.namespace, Pod: pod, Args: []string{"psql", "-XqAt", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"},
		Stdin: strings.NewReader(statements), Stdout: &out, Stderr: &errs,
	})
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, errs.String())
	}
	return out.String(), nil
}

func (s *rdsStage) sql(pod, database, statements string) string {
	s.t.Helper()
	out, err := s.try(pod, database, statements)
	require.NoError(s.t, err)
	return out
}

// run runs an action on an instance.
func (s *rdsStage) run(id, action, instance string, artifacts map[string]template.Artifact) (map[string]template.Artifact, error) {
	res, err := s.engine(s.k).Run(s.t.Context(), s.spec(id, action, instance, artifacts), &engine.MemoryJournal{})
	if err != nil {
		return nil, err
	}
	return res.Artifacts(0)
}

// engine is a host.
func (s *rdsStage) engine(pods cluster.PodRunner) *engine.Engine {
	deps := s.deps
	deps.Pods = pods
	registry, err := function.NewRegistry(append(rds.Functions(deps), data.LocationDelete(deps.Open))...)
	require.NoError(s.t, err)
	return engine.New(registry, kubedata.New(s.k, s.k), &engine.Options{Sweep: s.k, Logger: slog.New(slog.NewTextHandler(&s.log, nil))})
}

func (s *rdsStage) spec(id, action, instance string, artifacts map[string]template.Artifact) *engine.Spec {
	return &engine.Spec{
		ID: "rds-" + s.namespace + "-" + id, Blueprints: s.parsed.Blueprints,
		Actions: []blueprint.ActionSpec{{
			Name: action, Blueprint: "rds-postgres", Artifacts: artifacts,
			Object:      template.ObjectReference{APIVersion: "v1", Resource: "configmaps", Namespace: s.namespace, Name: instance},
			Profile:     &template.ObjectReference{Namespace: s.namespace, Name: "backups"},
			Secrets:     map[string]template.ObjectReference{"db": {Namespace: s.namespace, Name: "db"}},
			PodOverride: (&place{where: where{Kubeconfig: s.c.Kubeconfig, Notes: s.folder}}).override(),
		}},
	}
}

// deafPods runs a pod to its end and never says so: a host that stands still once its pod has begun.
type deafPods struct {
	cluster.PodRunner
	ended chan error
}

func (p *deafPods) RunPod(_ context.Context, pod cluster.Pod) error {
	pod.Log, pod.Results = nil, nil
	p.ended <- p.PodRunner.RunPod(context.Background(), pod)
	select {}
}

// crash runs an action on a host that dies while its pod is at work, and carries it on with the next one.
func (s *rdsStage) crash(id, action, instance string, artifacts map[string]template.Artifact) map[string]template.Artifact {
	s.t.Helper()
	spec, journal, deaf := s.spec(id, action, instance, artifacts), &engine.MemoryJournal{}, &deafPods{s.k, make(chan error)}
	go func() { _, _ = s.engine(deaf).Run(context.Background(), spec, journal) }()
	require.NoError(s.t, <-deaf.ended)
	events, err := journal.Events(s.t.Context())
	require.NoError(s.t, err)
	found := &engine.MemoryJournal{}
	for _, e := range events {
		require.NoError(s.t, found.Append(s.t.Context(), e))
	}
	res, err := s.engine(s.k).Resume(s.t.Context(), found)
	require.NoError(s.t, err)
	out, err := res.Artifacts(0)
	require.NoError(s.t, err)
	return out
}

// pods are those of dumps that were seen, by their identity.
func (s *rdsStage) pods() int {
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`"name":"[^"]*-(?:dump|restore)-\d+","namespace":"[^"]*","uid":"([^"]*)"`).FindAllStringSubmatch(s.seen.text.String(), -1) {
		found[m[1]] = true
	}
	return len(found)
}

// objectsStored are the files of the location.
func (s *rdsStage) objectsStored() (names []string) {
	s.t.Helper()
	require.NoError(s.t, filepath.WalkDir(s.folder, func(name string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	}))
	return names
}

// onlyOurs checks that nothing is left of runs but what they were to make.
func (s *rdsStage) onlyOurs(instances, snapshots int) {
	s.t.Helper()
	ctx := s.t.Context()
	found, err := s.client.DescribeDBInstances(ctx, &awsrds.DescribeDBInstancesInput{})
	require.NoError(s.t, err)
	require.Len(s.t, found.DBInstances, instances)
	cut, err := s.client.DescribeDBSnapshots(ctx, &awsrds.DescribeDBSnapshotsInput{SnapshotType: aws.String("manual")})
	require.NoError(s.t, err)
	require.Len(s.t, cut.DBSnapshots, snapshots)
	require.Eventually(s.t, func() bool {
		pods, err := s.c.CoreV1().Pods(s.namespace).List(ctx, metav1.ListOptions{})
		return err == nil && len(pods.Items) == 2
	}, 30*time.Second, 100*time.Millisecond, "the pods of runs are gone")
}

// TestRDSExportOnKubernetes dumps a snapshot through a pod of the cluster to a location and restores it to another instance, with TLS that verifies the servers and hosts that die.
func TestRDSExportOnKubernetes(t *testing.T) {
	t.Parallel()
	s := newRDSStage(t)
	s.sql("source", "postgres", `CREATE ROLE app; CREATE DATABASE orders OWNER app; CREATE DATABASE "Odd 'näme'";`)
	s.sql("source", "orders", `CREATE TABLE orders AS SELECT i AS id, md5(i::text) AS note FROM generate_series(1, 5000) i; ALTER TABLE orders OWNER TO app; SELECT lo_from_bytea(77, 'large');`)
	s.sql("source", `Odd 'näme'`, `CREATE TABLE t AS SELECT E'\\.\n\\connect x' AS a;`)

	// The role is missing there: nothing is restored.
	kept := s.crash("1", "backup", "shop", nil)
	require.Equal(t, 1, s.pods())
	s.onlyOurs(2, 1)
	require.Len(t, s.objectsStored(), 2, "the dump and its record")
	_, err := s.run("2", "restore", "restored", kept)
	require.ErrorContains(t, err, `role "app" does not exist (roles are not part of a dump: create them first)`)
	require.Equal(t, "postgres\ntemplate0\ntemplate1\n", s.sql("target", "postgres", "SELECT datname FROM pg_database ORDER BY 1;"))

	s.sql("target", "postgres", "CREATE ROLE app;")
	s.crash("3", "restore", "restored", kept)
	require.Equal(t, 3, s.pods(), "one of the dump, one of each restore")
	for database, query := range map[string]string{
		"orders":     "SELECT count(*), md5(string_agg(note, '' ORDER BY id)) FROM orders; SELECT tableowner FROM pg_tables WHERE tablename = 'orders'; SELECT lo_get(77);",
		`Odd 'näme'`: "SELECT * FROM t;",
	} {
		require.Equal(t, s.sql("source", database, query), s.sql("target", database, query))
	}
	_, err = s.run("4", "delete", "shop", kept)
	require.NoError(t, err)
	s.onlyOurs(2, 0)
	require.Empty(t, s.objectsStored())

	// A dump that fails leaves no object and no temporary instance.
	s.sql("source", "postgres", "ALTER DATABASE orders ALLOW_CONNECTIONS false;")
	_, err = s.run("5", "backup", "shop", nil)
	require.ErrorContains(t, err, `dump database "orders"`)
	s.onlyOurs(2, 1)
	require.Empty(t, s.objectsStored())

	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	require.Contains(t, s.seen.text.String(), "pgdump", "pods of dumps were seen")
	require.NotContains(t, s.seen.text.String(), s.password)
	require.NotContains(t, s.log.String(), s.password)
	require.NotContains(t, err.Error(), s.password)
}
