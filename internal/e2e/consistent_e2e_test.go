//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubernetes-csi/external-snapshotter/client/v6/clientset/versioned"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/cluster/session"
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

// A PostgreSQL whose log is on a volume of its own is snapshotted while it is written to, and held by a session; so is a MariaDB. What is restored begins cleanly, and has
// all that was acknowledged before it was held, and nothing that was sent after the cut. Then the host is killed while the database is held.
func TestConsistentPostgres(t *testing.T) { consistent(t, twoVolumePostgres()) }
func TestConsistentMariaDB(t *testing.T)  { consistent(t, twoVolumeMariaDB()) }

func consistent(t *testing.T, db *twoVolumes) {
	t.Parallel()
	s := newConsistentSite(t, db)
	s.start("db", "data", "log")
	s.sql("db", "", db.schema)
	for i := range 3 {
		s.sql("db", "shop", "INSERT INTO counter VALUES ("+strconv.Itoa(i)+", 0);")
	}
	s.locks(t)
	w := s.startWriters(t, 3)

	bp := parseBlueprint(t, db.blueprint(t, testcluster.SnapshotClass, "30s"))
	artifacts := s.run(bp, "backup", nil)
	time.Sleep(300 * time.Millisecond) // what is written now must not be in the snapshots
	held, free := s.noted(" is held"), s.noted(" goes on, it was held for ")
	require.NotZero(t, held)
	require.NotZero(t, free)
	cut, err := time.Parse(time.RFC3339Nano, artifacts["volumes"].KeyValue["cut"])
	require.NoError(t, err)
	require.True(t, held.Before(cut) && cut.Before(free), "%s, %s, %s", held, cut, free)
	for i := range w.all {
		require.Zero(t, w.count(i, func(one written) bool { return one.sent.After(held) && !one.acked.IsZero() && one.acked.Before(cut) }), "written while it was held")
	}
	t.Logf("%s: held for %s, of that %s until the line came; %d transactions were acknowledged before", db.name, s.heldFor(), held.Sub(s.noted("holding ")), w.ackedBefore(held))

	s.hostKilled(t, w)
	w.end(t)
	s.run(bp, "restore", artifacts)
	s.start("restored", "data-restored", "log-restored")
	s.compare(w, held, cut)
}

// locks holds the database with a lock alone, as one volume may want it.
func (s *consistentSite) locks(t *testing.T) {
	t.Helper()
	held, err := session.New(s.cluster, session.Spec{
		Namespace: s.namespace, Pod: "db", Container: "server", Command: documented(t, s.db.lock), MaxHold: time.Minute,
	})
	require.NoError(t, err)
	o, err := held.Open(t.Context())
	require.NoError(t, err)
	if s.db.name == "mariadb" {
		var out bytes.Buffer
		args := append(s.db.client[:len(s.db.client):len(s.db.client)], "shop")
		require.Error(t, s.exec(t.Context(), "db", args, "SET lock_wait_timeout = 1; DELETE FROM ledger;", &out))
		require.Contains(t, out.String(), "Lock wait timeout")
	}
	require.NoError(t, o.Release(t.Context()))
	locked, err := o.Output()
	require.NoError(t, err)
	require.Contains(t, locked, s.db.locked)
	s.sql("db", "shop", "DELETE FROM ledger;")
}

// consistentSite is a namespace with a database.
type consistentSite struct {
	*testcluster.Client
	t         *testing.T
	db        *twoVolumes
	namespace string
	cluster   *kubecluster.Cluster
	engine    *engine.Engine

	mu    sync.Mutex
	notes []note
}

// note is what a phase reported, and when.
type note struct {
	text string
	at   time.Time
}

func newConsistentSite(t *testing.T, db *twoVolumes) *consistentSite {
	t.Helper()
	c := testcluster.Open(t)
	databaseImages(t, c, db.spec)
	s := &consistentSite{Client: c, t: t, db: db, namespace: c.Namespace(t, nil)}
	clients, err := kubecluster.ForConfig(c.Config)
	require.NoError(t, err)
	s.cluster, err = kubecluster.New(clients, nil)
	require.NoError(t, err)
	driver, err := csi.NewForConfig(c.Config, nil)
	require.NoError(t, err)
	k := s.cluster
	registry, err := function.NewRegistry(builtin.All(builtin.Deps{
		Kube: kube.Deps{Exec: k, Pods: k, Scaler: k, Objects: k, Namespace: s.namespace}, Volume: volume.Deps{Snapshots: snapshot.New(driver, nil)},
	})...)
	require.NoError(t, err)
	s.engine = engine.New(registry, kubedata.New(k, k), &engine.Options{Sweep: k, Progress: func(_ engine.PhaseRef, p function.Progress) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notes = append(s.notes, note{p.Note, time.Now()})
	}})
	for _, claim := range []string{"data", "log"} {
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

// start starts a server on two claims and waits until it answers.
func (s *consistentSite) start(pod, data, log string) {
	s.t.Helper()
	user := int64(999)
	yes := true
	_, err := s.CoreV1().Pods(s.namespace).Create(s.t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod}, Spec: corev1.PodSpec{
		ShareProcessNamespace: &yes, TerminationGracePeriodSeconds: new(int64), RestartPolicy: corev1.RestartPolicyNever,
		SecurityContext: &corev1.PodSecurityContext{RunAsUser: &user, RunAsGroup: &user},
		Containers: []corev1.Container{{
			Name: "server", Image: s.db.image, ImagePullPolicy: corev1.PullNever, Command: []string{"bash", "-c", s.db.start},
			VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}, {Name: "log", MountPath: "/log"}},
		}},
		Volumes: []corev1.Volume{
			{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: data}}},
			{Name: "log", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: log}}},
		},
	}}, metav1.CreateOptions{})
	require.NoError(s.t, err)
	require.Eventually(s.t, func() bool {
		var out bytes.Buffer
		return s.exec(s.t.Context(), pod, s.db.client, "SELECT 1;", &out) == nil && out.String() == "1\n"
	}, 2*time.Minute, 200*time.Millisecond, "%s answers:\n%s", pod, logOf{s, pod})
}

// logOf is the log of a pod, read when a message needs it.
type logOf struct {
	s   *consistentSite
	pod string
}

func (l logOf) String() string {
	text, err := l.s.CoreV1().Pods(l.s.namespace).GetLogs(l.pod, &corev1.PodLogOptions{}).DoRaw(context.Background())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *consistentSite) exec(ctx context.Context, pod string, args []string, in string, out *bytes.Buffer) error {
	return s.cluster.Exec(ctx, cluster.Command{
		Namespace: s.namespace, Pod: pod, Container: "server", Args: args, Stdin: strings.NewReader(in), Stdout: out, Stderr: out,
	})
}

// database is the argument of the client that names the database: PostgreSQL has one of its own.
func (s *consistentSite) database() []string {
	if s.db.name == "mariadb" {
		return []string{"shop"}
	}
	return nil
}

// sql runs commands, in the database where one is named.
func (s *consistentSite) sql(pod, database, commands string) string {
	s.t.Helper()
	var out bytes.Buffer
	args := s.db.client[:len(s.db.client):len(s.db.client)]
	if database != "" {
		args = append(args, s.database()...)
	}
	require.NoError(s.t, s.exec(s.t.Context(), pod, args, commands, &out), "%s: %s", commands, &out)
	return strings.TrimSpace(out.String())
}

// run runs an action of the blueprint to its end.
func (s *consistentSite) run(bp *blueprint.Blueprint, action string, artifacts map[string]template.Artifact) map[string]template.Artifact {
	s.t.Helper()
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

// noted is when a phase first reported something with this in it.
func (s *consistentSite) noted(part string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.notes {
		if strings.Contains(n.text, part) {
			return n.at
		}
	}
	return time.Time{}
}

// heldFor is what the function reports.
func (s *consistentSite) heldFor() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.notes {
		if _, time, ok := strings.Cut(n.text, "it was held for "); ok {
			return time
		}
	}
	return "not known"
}

// compare compares the restored database with what the writers know.
func (s *consistentSite) compare(w *writers, held, cut time.Time) {
	t := s.t
	t.Helper()
	log := logOf{s, "restored"}.String()
	require.Contains(t, log, s.db.recovered)
	for _, word := range s.db.faulty {
		require.NotContains(t, log, word)
	}
	for line := range strings.Lines(s.sql("restored", "shop", s.db.intact)) {
		require.Contains(t, strings.ToLower(line), "ok", "the tables are intact")
	}
	got := s.sql("restored", "shop", "SELECT c.writer, c.total, COUNT(l.n), MAX(l.n) FROM counter c JOIN ledger l ON l.writer = c.writer GROUP BY c.writer, c.total ORDER BY 1;")
	rows := strings.Split(got, "\n")
	require.Len(t, rows, len(w.all), got)
	for i, row := range rows {
		fields := strings.Fields(row)
		require.Len(t, fields, 4, row)
		n, err := strconv.Atoi(fields[1])
		require.NoError(t, err)
		require.Equal(t, []string{strconv.Itoa(i), fields[1], fields[1], fields[1]}, fields, "a prefix: every transaction whole, none between them missing")
		must := w.count(i, func(one written) bool { return !one.acked.IsZero() && one.acked.Before(held) })
		may := w.count(i, func(one written) bool { return one.sent.Before(cut) })
		t.Logf("%s, writer %d: %d transactions restored; %d were acknowledged before it was held, %d sent before the last cut, %d in all", s.db.name, i, n, must, may, len(w.all[i]))
		require.GreaterOrEqual(t, n, must, "acknowledged before it was held")
		require.LessOrEqual(t, n, may, "sent after the last cut")
		require.Less(t, may, len(w.all[i]), "the writers went on")
	}
}

// hostKilled kills the command davit while it holds the database: the database goes on within the longest hold, and the run that is resumed has one snapshot of each volume.
func (s *consistentSite) hostKilled(t *testing.T, w *writers) {
	t.Helper()
	const longest = 20 * time.Second
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := t.TempDir()
	slow := s.SnapshotClassWith(t, "Delete", map[string]string{"cutDelay": "4s"})
	bp := filepath.Join(dir, "blueprint.yaml")
	require.NoError(t, os.WriteFile(bp, []byte(s.db.blueprint(t, slow, longest.String())), 0o600))
	davit := func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), filepath.Join(cache, testcluster.CacheName, "davit"), //nolint:gosec // ours
			append(args, "--kubeconfig", s.Kubeconfig, "--state", dir)...)
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd, &out
	}
	before := s.snapshots()
	id := s.namespace + "-killed"
	first, said := davit("run", "--run", id, "-b", bp, "-a", "backup", "-T", s.namespace)
	require.NoError(t, first.Start())
	require.Eventually(t, func() bool { return time.Since(w.last()) > time.Second }, 30*time.Second, time.Millisecond, "the database is held")
	quiet := w.last()
	require.NoError(t, first.Process.Kill())
	killed := time.Now()
	_ = first.Wait()
	require.NotContains(t, said.String(), "phase-complete")
	require.Eventually(t, func() bool { return w.last().After(killed) }, longest, time.Millisecond, "the database goes on")
	t.Logf("%s: the host was killed %s after the last acknowledgement, and the next one came %s later", s.db.name, killed.Sub(quiet), w.last().Sub(killed))

	again, said := davit("run", "--run", id)
	require.NoError(t, again.Run(), said)
	require.Contains(t, said.String(), `"event":"run-resumed"`)
	require.Contains(t, said.String(), `"state":"complete"`)
	count := map[string]int{}
	for name, claim := range s.snapshots() {
		if _, old := before[name]; !old {
			count[claim]++
		}
	}
	require.Equal(t, map[string]int{"data": 1, "log": 1}, count, "one of each volume")
}

// snapshots are the claims of the snapshots by their names. Each is ready.
func (s *consistentSite) snapshots() map[string]string {
	client, err := versioned.NewForConfig(s.Config)
	require.NoError(s.t, err)
	all, err := client.SnapshotV1().VolumeSnapshots(s.namespace).List(s.t.Context(), metav1.ListOptions{})
	require.NoError(s.t, err)
	claims := map[string]string{}
	for _, one := range all.Items {
		require.True(s.t, one.Status != nil && one.Status.ReadyToUse != nil && *one.Status.ReadyToUse)
		claims[one.Name] = *one.Spec.Source.PersistentVolumeClaimName
	}
	return claims
}
