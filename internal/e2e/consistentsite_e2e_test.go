//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/csi"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

// dbSite is a namespace with servers of a database, and a host.
type dbSite struct {
	*testcluster.Client
	t         *testing.T
	db        *database
	namespace string
	cluster   *kubecluster.Cluster
	snapshots *snapshot.Snapshotter
	engine    *engine.Engine

	mu    sync.Mutex
	notes []note
}

// note is what a phase of the latest run reported, and when.
type note struct {
	text string
	at   time.Time
}

// newDBSite makes the namespace, and claims.
func newDBSite(t *testing.T, db *database, claims ...string) *dbSite {
	t.Helper()
	c := testcluster.Open(t)
	s := &dbSite{Client: c, t: t, db: db, namespace: c.Namespace(t, nil)}
	clients, err := kubecluster.ForConfig(c.Config)
	require.NoError(t, err)
	s.cluster, err = kubecluster.New(clients, nil)
	require.NoError(t, err)
	driver, err := csi.NewForConfig(c.Config, nil)
	require.NoError(t, err)
	s.snapshots = snapshot.New(driver, nil)
	k := s.cluster
	registry, err := function.NewRegistry(builtin.All(builtin.Deps{
		Kube: kube.Deps{Exec: k, Pods: k, Scaler: k, Objects: k, Namespace: s.namespace}, Volume: volume.Deps{Snapshots: s.snapshots},
	})...)
	require.NoError(t, err)
	s.engine = engine.New(registry, kubedata.New(k, k), &engine.Options{Sweep: k, Progress: func(_ engine.PhaseRef, p function.Progress) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notes = append(s.notes, note{p.Note, time.Now()})
	}})
	for _, claim := range claims {
		_, err := c.CoreV1().PersistentVolumeClaims(s.namespace).Create(t.Context(), &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: claim},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	return s
}

// volumes is where a server has its volumes.
type volumes struct {
	pod string
	// The claim at /data, and those at /log and /archive, or "" for none.
	data, log, archive string
	// label of the backup that the server recovers.
	label string
}

// serve makes a server with empty tables.
func (s *dbSite) serve(at volumes) {
	s.t.Helper()
	require.NoError(s.t, s.start(at))
	s.must(at.pod, "", s.db.schema)
}

// pod is that of a server.
func (s *dbSite) pod(at volumes) *corev1.Pod {
	user, yes := int64(999), true
	server := corev1.Container{Name: "server", Image: s.db.image, ImagePullPolicy: corev1.PullNever, Command: []string{"bash", "-c", s.db.start}}
	spec := corev1.PodSpec{
		ShareProcessNamespace: &yes, TerminationGracePeriodSeconds: new(int64), RestartPolicy: corev1.RestartPolicyNever,
		SecurityContext: &corev1.PodSecurityContext{RunAsUser: &user, RunAsGroup: &user},
	}
	root := ""
	if s.db.privileged {
		spec.SecurityContext, root = nil, "/claims"
		server.Command[0], server.SecurityContext = "sh", &corev1.SecurityContext{Privileged: &yes}
	}
	logs := "/data/log"
	if at.log != "" {
		logs = "/log"
	}
	server.Env = []corev1.EnvVar{{Name: "LOG", Value: logs}, {Name: "LABEL", Value: at.label}}
	for folder, claim := range map[string]string{"data": at.data, "log": at.log, "archive": at.archive} {
		if claim == "" {
			continue
		}
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: folder, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
		server.VolumeMounts = append(server.VolumeMounts, corev1.VolumeMount{Name: folder, MountPath: root + "/" + folder})
	}
	spec.Containers = []corev1.Container{server}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: at.pod}, Spec: spec}
}

// start starts a server and waits until it answers. What it wrote is in the error.
func (s *dbSite) start(at volumes) error {
	pods := s.CoreV1().Pods(s.namespace)
	if _, err := pods.Create(s.t.Context(), s.pod(at), metav1.CreateOptions{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	for {
		var out bytes.Buffer
		failed := s.exec(ctx, at.pod, s.db.client, s.db.ping, &out)
		if failed == nil && out.String() == "1\n" {
			return nil
		}
		pod, err := pods.Get(s.t.Context(), at.pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if ctx.Err() != nil || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
			return fmt.Errorf("server %s does not start: pod %s, client: %w %s\n%s", at.pod, pod.Status.Phase, failed, &out, s.logOf(at.pod))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// logOf is what the server of a pod wrote.
func (s *dbSite) logOf(pod string) string {
	text, err := s.CoreV1().Pods(s.namespace).GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(context.Background())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *dbSite) exec(ctx context.Context, pod string, args []string, in string, out *bytes.Buffer) error {
	return s.cluster.Exec(ctx, cluster.Command{
		Namespace: s.namespace, Pod: pod, Container: "server", Args: args, Stdin: strings.NewReader(in), Stdout: out, Stderr: out,
	})
}

// databaseClient is the client, connected to the tables.
func (s *dbSite) databaseClient() []string {
	args := s.db.client[:len(s.db.client):len(s.db.client)]
	if s.db.name == "mariadb" { // PostgreSQL has a database of its own
		args = append(args, "shop")
	}
	return args
}

// sql runs commands, in the database where one is named.
func (s *dbSite) sql(pod, database, commands string) (string, error) {
	args := s.db.client
	if database != "" {
		args = s.databaseClient()
	}
	var out bytes.Buffer
	if err := s.exec(s.t.Context(), pod, args, commands, &out); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", commands, err, &out)
	}
	return strings.TrimSpace(out.String()), nil
}

func (s *dbSite) must(pod, database, commands string) string {
	s.t.Helper()
	out, err := s.sql(pod, database, commands)
	require.NoError(s.t, err)
	return out
}

// run runs an action of the blueprint to its end.
func (s *dbSite) run(bp *blueprint.Blueprint, action string, artifacts map[string]template.Artifact) map[string]template.Artifact {
	s.t.Helper()
	s.mu.Lock()
	s.notes = nil
	s.mu.Unlock()
	journal, err := engine.OpenFile(filepath.Join(s.t.TempDir(), "journal"))
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, journal.Close()) }()
	result, err := s.engine.Run(s.t.Context(), &engine.Spec{ID: s.namespace + "-" + action, Blueprints: []*blueprint.Blueprint{bp}, Actions: []blueprint.ActionSpec{{
		Name: action, Blueprint: bp.Name, Object: template.ObjectReference{Kind: "Namespace", Name: s.namespace}, Artifacts: artifacts,
	}}}, journal)
	require.NoError(s.t, err)
	out, err := result.Artifacts(0)
	require.NoError(s.t, err)
	return out
}

// noted is when a phase first reported something with this in it, and what came behind it.
func (s *dbSite) noted(part string) (at time.Time, rest string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.notes {
		if _, rest, ok := strings.Cut(n.text, part); ok {
			return n.at, rest
		}
	}
	require.Fail(s.t, "no phase reported", part)
	return
}

// heldRun runs action backup of the blueprint, and returns what it made and what the snapshots must hold.
func (s *dbSite) heldRun(bp *blueprint.Blueprint, w *writers) (map[string]template.Artifact, span) {
	s.t.Helper()
	artifacts := s.run(bp, "backup", nil)
	asked, _ := s.noted("holding ")
	held, _ := s.noted(" is held")
	free, lasted := s.noted(" goes on, it was held for ")
	cut, err := time.Parse(time.RFC3339Nano, artifacts["volumes"].KeyValue["cut"])
	require.NoError(s.t, err)
	require.True(s.t, held.Before(cut) && cut.Before(free), "%s, %s, %s", held, cut, free)
	s.t.Logf("%s: held for %s, of that %s until the line came", s.db.name, lasted, held.Sub(asked).Round(time.Millisecond))
	w.goOn(s.t, 2*time.Minute) // what is written now must not be in the snapshots
	return artifacts, heldSpan(held, cut)
}

// take takes one snapshot, which nobody holds anything for. It returns when the call returned, too.
func (s *dbSite) take(claim, name string) (st snapshot.Status, heard time.Time) {
	s.t.Helper()
	st, err := s.snapshots.Create(s.t.Context(), snapshot.Request{Ref: snapshot.Ref{Namespace: s.namespace, Name: name}, Volume: claim, Class: testcluster.SnapshotClass, Token: "test"})
	require.NoError(s.t, err)
	return st, time.Now()
}

// bring makes a claim of a snapshot.
func (s *dbSite) bring(name, claim string) {
	s.t.Helper()
	_, err := s.snapshots.Restore(s.t.Context(), snapshot.RestoreRequest{
		Ref: snapshot.Ref{Namespace: s.namespace, Name: claim}, Snapshot: name, Size: "1Gi", StorageClass: testcluster.StorageClass, Token: "test",
	})
	require.NoError(s.t, err)
}

// check starts a server on what was restored and says what is wrong with it: that it does not start, that it complains, that a table is damaged, that it has not what the span wants.
// The controls of this check, which want it to fail, and the tests of what must be good use no other.
func (s *dbSite) check(at volumes, logs [][]written, sp span) error {
	if err := s.start(at); err != nil {
		return err
	}
	var faults []error
	log := s.logOf(at.pod)
	if !strings.Contains(log, s.db.recovered) {
		faults = append(faults, fmt.Errorf("the server did not say %q", s.db.recovered))
	}
	for line := range strings.Lines(log) {
		for _, word := range s.db.faulty {
			if strings.Contains(line, word) {
				faults = append(faults, fmt.Errorf("the server says %q", line))
				break
			}
		}
	}
	faults = append(faults, s.intact(at.pod), s.prefix(at.pod, logs, sp))
	return errors.Join(faults...)
}

// intact checks the tables and their indexes.
func (s *dbSite) intact(pod string) error {
	out, err := s.sql(pod, "shop", s.db.intact)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out + "\n") { // no line is none that says ok
		if !strings.Contains(strings.ToLower(line), "ok") {
			return fmt.Errorf("the tables are damaged: %s", out)
		}
	}
	return nil
}

// prefix compares what is there with what the writers know.
func (s *dbSite) prefix(pod string, logs [][]written, sp span) error {
	text, err := s.sql(pod, "shop", s.db.rows)
	if err != nil {
		return err
	}
	rows, err := parseRows(text)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.writer < len(logs) {
			must, may := sp.bounds(logs[r.writer])
			s.t.Logf("%s, %s, writer %d: %d transactions; from %d to %d are right, %d were sent in all", s.db.name, pod, r.writer, r.total, must, may, len(logs[r.writer]))
		}
	}
	return prefixFaults(logs, rows, sp)
}
