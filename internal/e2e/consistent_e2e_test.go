//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubernetes-csi/external-snapshotter/client/v6/clientset/versioned"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/internal/testcluster/image"
)

// A PostgreSQL whose log is on a volume of its own is snapshotted while it is written to, and held by a session; so is a MariaDB, and so are two file systems. What is restored begins
// cleanly, and has all that was acknowledged before the cut, and nothing that was sent once it was held. Then the host is killed while the database is held. Then the two volumes are
// snapshotted without being held, the log first: the same check must find that broken.
func TestConsistentPostgres(t *testing.T) {
	t.Parallel()
	databaseImages(t, testcluster.Open(t), image.Postgres)
	t.Run("two volumes", func(t *testing.T) { consistent(t, postgres()) })
	t.Run("one volume", onePostgres)
}

func TestConsistentMariaDB(t *testing.T) {
	t.Parallel()
	databaseImages(t, testcluster.Open(t), image.MariaDB)
	t.Run("two volumes", func(t *testing.T) { consistent(t, mariadb()) })
	t.Run("one volume", oneMariaDB)
}

func TestConsistentFreeze(t *testing.T) { consistent(t, filesystems()) }

func consistent(t *testing.T, db *database) {
	t.Parallel()
	s := newDBSite(t, db, "data", "log")
	s.serve(volumes{pod: "db", data: "data", log: "log"})
	w := s.startWriters()

	group := heldClaims{claims: []string{"data", "log"}, command: documented(t, db.stop), class: s.cutsLate(), maxHold: "1m"}
	bp := parseBlueprint(t, group.document(t))
	artifacts, held := s.heldRun(bp, w)
	s.hostKilled(t, group, func(longest time.Duration) { w.goOn(t, longest) })
	between := s.control(w)
	w.end(t)
	logs := w.logs()

	s.run(bp, "restore", artifacts)
	require.NoError(t, s.check(volumes{pod: "restored", data: "data-restored", log: "log-restored"}, logs, held))
	require.ErrorContains(t, s.prefix("restored", logs, between), "is missing", "later ones would be")
	require.ErrorContains(t, s.check(volumes{pod: "control", data: "data-control", log: "log-control"}, logs, between), db.broken)
}

// cutsLate is a class of snapshots that are cut a while after they are asked for: long enough for every writer to write in it, if nobody held the database. Else a hold that holds nothing
// would not be noticed.
func (s *dbSite) cutsLate() string {
	return s.SnapshotClassWith(s.t, "Delete", map[string]string{"cutDelay": "1500ms"})
}

// control snapshots the log, lets the writers and the server write, and snapshots the data. It returns what the two would have to hold if the database had been held meanwhile.
func (s *dbSite) control(w *writers) span {
	t := s.t
	t.Helper()
	asked := time.Now()
	s.take("log", "control-log")
	w.goOn(t, 2*time.Minute)
	s.must("db", "shop", s.db.settle)
	data, _ := s.take("data", "control-data")
	s.bring("control-log", "log-control")
	s.bring("control-data", "data-control")
	return heldSpan(asked, data.CutAt)
}

// hostKilled kills the command davit while it holds the application: that goes on within the longest hold, and the run that is resumed has one snapshot of each volume. Storage cuts later
// than the host is killed; on a machine on which it does not, it is tried again, with more time.
func (s *dbSite) hostKilled(t *testing.T, group heldClaims, goesOn func(longest time.Duration)) {
	t.Helper()
	longest, err := time.ParseDuration(group.maxHold)
	require.NoError(t, err)
	for delay := 2 * time.Second; ; delay *= 2 {
		require.Less(t, delay, longest, "the host is killed before the volumes are cut")
		before := s.listed()
		group.class = s.SnapshotClassWith(t, "Delete", map[string]string{"cutDelay": delay.String()})
		davit := s.davit(t, s.namespace+"-killed-"+delay.String())
		first, said := davit("-b", writeFile(t, group.document(t)), "-a", "backup", "-T", s.namespace)
		require.NoError(t, first.Start())
		var none time.Time // a moment when no snapshot had been asked for
		require.Eventually(t, func() bool {
			now := time.Now()
			if len(s.listed()) > len(before) {
				return true
			}
			none = now
			return false
		}, time.Minute, 20*time.Millisecond, "the application is held, and snapshots are asked for; the host: %s", said)
		require.NoError(t, first.Process.Kill())
		killed := time.Now()
		_ = first.Wait()
		if killed.After(none.Add(delay)) {
			t.Logf("%s: killed too late, %s after the last look", s.namespace, killed.Sub(none))
			continue
		}
		require.NotContains(t, said.String(), "phase-complete")
		goesOn(longest)
		t.Logf("%s: it has gone on %s after the host was killed", s.namespace, time.Since(killed).Round(time.Millisecond))

		again, said := davit()
		require.NoError(t, again.Run(), said)
		require.Contains(t, said.String(), `"event":"run-resumed"`)
		require.Contains(t, said.String(), `"state":"complete"`)
		count := map[string]int{}
		for name, claim := range s.listed() {
			if _, old := before[name]; !old {
				count[claim]++
			}
		}
		want := map[string]int{}
		for _, claim := range group.claims {
			want[claim] = 1
		}
		require.Equal(t, want, count, "one of each volume")
		return
	}
}

// davit makes a run of the command davit, with its state in a folder of its own: the first time with arguments, then without.
func (s *dbSite) davit(t *testing.T, id string) func(args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	state := t.TempDir()
	return func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		var out bytes.Buffer
		args = append([]string{"run", "--run", id, "--kubeconfig", s.Kubeconfig, "--state", state}, args...)
		cmd := exec.CommandContext(t.Context(), filepath.Join(cache, image.CacheName, "davit"), args...) //nolint:gosec // ours
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd, &out
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "blueprint.yaml")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// listed are the claims of the snapshots by the names of these.
func (s *dbSite) listed() map[string]string {
	client, err := versioned.NewForConfig(s.Config)
	require.NoError(s.t, err)
	all, err := client.SnapshotV1().VolumeSnapshots(s.namespace).List(s.t.Context(), metav1.ListOptions{})
	require.NoError(s.t, err)
	claims := map[string]string{}
	for _, one := range all.Items {
		claims[one.Name] = *one.Spec.Source.PersistentVolumeClaimName
	}
	return claims
}
