//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/internal/rehearsal"
	"github.com/davit-project/davit/internal/testcluster/image"
)

// A PostgreSQL is backed up while it is written to, loses its volume, and its tables, and is what it was at the moment of the backup.
func TestPostgresComesBack(t *testing.T) {
	s := newStage(t, rehearsal.Postgres(), image.Postgres, 20000)
	s.rehearse("volume", s.LoseVolume)
	reset(s)
	s.rehearse("tables", s.DropTables)
	s.noSecret()
}

// reset empties the ledger: a rehearsal's writer begins at 1.
func reset(s *stage) {
	s.t.Helper()
	_, err := s.SQL(s.t.Context(), "shop", "TRUNCATE TABLE ledger; UPDATE counter SET total = 0;")
	require.NoError(s.t, err)
}

// otherPassword makes a secret with a password that is wrong.
func otherPassword(s *stage, user string) {
	s.t.Helper()
	_, err := s.c.CoreV1().Secrets(s.Namespace()).Create(s.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "wrong"}, StringData: map[string]string{"username": user, "password": "wrong"},
	}, metav1.CreateOptions{})
	require.NoError(s.t, err)
}

// Whatever fails in a backup of PostgreSQL, the run fails and nothing is left of it.
func TestPostgresBackupThatFailsLeavesNothing(t *testing.T) {
	s := newStage(t, rehearsal.Postgres(), image.Postgres, 20000)
	otherPassword(s, "postgres")
	s.fails(rehearsal.Request{ID: "password", Action: "backup", Options: map[string]string{"secret": "wrong"}}, "password authentication failed")
	require.Empty(t, s.files())

	// A second database is dumped after the first is stored.
	_, err := s.SQL(t.Context(), "shop", "CREATE DATABASE more;")
	require.NoError(t, err)
	stop := s.meanwhile(func(ctx context.Context) {
		_, _ = s.SQL(ctx, "shop", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'davit %' AND query LIKE 'COPY public.items%';")
	})
	slow := map[string]string{"host": s.ghosts("5432")}
	s.fails(rehearsal.Request{ID: "backend", Action: "backup", Options: slow}, ".dump was not stored")
	stop()
	require.Empty(t, s.objects())

	killed := s.killPods("dump", 2, s.writing)
	s.fails(rehearsal.Request{ID: "pod", Action: "backup", Options: slow}, "")
	require.Equal(t, 2, killed(), "both attempts")
	require.Empty(t, s.objects())

	require.NoError(t, s.Scale(t.Context(), 0))
	s.fails(rehearsal.Request{ID: "down", Action: "backup"}, "database-0.database."+s.Namespace()+".svc")
	require.Empty(t, s.objects())
	require.NoError(t, s.Scale(t.Context(), 1))

	// After all this, one succeeds.
	_, err = s.Run(t.Context(), rehearsal.Request{ID: "good", Action: "backup"})
	require.NoError(t, err)
	require.NotEmpty(t, s.objects())
	s.noSecret()
}

// A restore that fails, or dies, leaves the databases as they were; one that dies once succeeds.
func TestPostgresRestoreThatFailsChangesNothing(t *testing.T) {
	s := newStage(t, rehearsal.Postgres(), image.Postgres, 20000)
	b, err := s.BackUp(t.Context(), "backup")
	require.NoError(t, err)
	path := filepath.Join(s.backups, b.Artifacts["backup"].KeyValue["path"])
	dumps, err := filepath.Glob(filepath.Join(path, "*.dump"))
	require.NoError(t, err)
	require.Len(t, dumps, 2, "postgres and shop")
	whole := map[string][]byte{}
	_, err = s.SQL(t.Context(), "shop", "CREATE TABLE since_then (a int); GRANT CONNECT ON DATABASE shop TO reader;")
	require.NoError(t, err)
	unchanged := func() {
		t.Helper()
		_, err := s.Check(t.Context(), b)
		require.NoError(t, err)
		_, err = s.SQL(t.Context(), "shop", "SELECT FROM since_then;")
		require.NoError(t, err)
		names, err := s.SQL(t.Context(), "shop", "SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1;")
		require.NoError(t, err)
		require.Equal(t, "postgres\nshop\ntemplate1", names)
	}

	for _, dump := range dumps { // the last one is damaged, so that others have been restored before
		data, err := os.ReadFile(dump)
		require.NoError(t, err)
		if strings.Contains(string(data), "items") {
			whole[dump] = bytes.Clone(data)
			data[len(data)/2] ^= 1
			require.NoError(t, os.WriteFile(dump, data, 0o600))
		}
	}
	s.fails(rehearsal.Request{ID: "damaged", Action: "restore", Artifacts: b.Artifacts}, "")
	unchanged()
	for dump, data := range whole {
		require.NoError(t, os.WriteFile(dump, data, 0o600))
	}

	// Pods die while they fill a table, and the server does not notice: the sessions of the dead stay.
	unnoticed := map[string]string{"host": s.ghosts("5432")}
	filling := s.counts("template1", "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'davit %' AND query LIKE 'COPY public.items%' AND state = 'active';")
	killed := s.killPods("load", 2, filling)
	s.fails(rehearsal.Request{ID: "dies", Action: "restore", Artifacts: b.Artifacts, Options: unnoticed}, "")
	require.Equal(t, 2, killed(), "both attempts")
	unchanged()

	// One attempt dies, and the next one succeeds.
	killed = s.killPods("load", 1, filling)
	_, err = s.Run(t.Context(), rehearsal.Request{ID: "comes-back", Action: "restore", Artifacts: b.Artifacts, Options: unnoticed})
	require.NoError(t, err)
	require.Equal(t, 1, killed())
	_, err = s.Check(t.Context(), b)
	require.NoError(t, err)
	_, err = s.SQL(t.Context(), "shop", "SELECT FROM since_then;")
	require.ErrorContains(t, err, "does not exist")
}
