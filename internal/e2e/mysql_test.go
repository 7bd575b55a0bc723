//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/rehearsal"
	"github.com/davit-project/davit/internal/testcluster/image"
)

// A MariaDB is backed up while it is written to, loses its volume, and its tables, and is what it was at the moment of the backup.
func TestMariaDBComesBack(t *testing.T) {
	s := newStage(t, rehearsal.MariaDB(), image.MariaDB, 20000)
	s.rehearse("volume", s.LoseVolume)
	reset(s)
	s.rehearse("tables", s.DropTables)
	packet, err := s.SQL(t.Context(), "mysql", "SELECT @@GLOBAL.max_allowed_packet;")
	require.NoError(t, err)
	require.Equal(t, "16777216", packet, "as it was before")
	s.noSecret()
}

// Whatever fails in a backup of MariaDB, the run fails and nothing is left of it.
func TestMariaDBBackupThatFailsLeavesNothing(t *testing.T) {
	s := newStage(t, rehearsal.MariaDB(), image.MariaDB, 1000)
	otherPassword(s, "root")
	s.fails(rehearsal.Request{ID: "password", Action: "backup", Options: map[string]string{"secret": "wrong"}}, "Access denied")
	require.Empty(t, s.files())

	// The dump comes to this table last, and waits for it.
	release, err := s.Hold(t.Context(), "shop", "LOCK TABLES ledger WRITE;")
	require.NoError(t, err)
	stop := s.meanwhile(func(ctx context.Context) {
		waiting, _ := s.SQL(ctx, "mysql", "SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist WHERE state = 'Waiting for table metadata lock';")
		_, _ = s.SQL(ctx, "mysql", waiting) // one that has gone meanwhile is no harm
	})
	s.fails(rehearsal.Request{ID: "backend", Action: "backup"}, ".sql was not stored")
	stop()
	require.Empty(t, s.objects())

	killed := s.killPods("dump", 2, s.writing)
	s.fails(rehearsal.Request{ID: "pod", Action: "backup"}, "")
	require.Equal(t, 2, killed(), "both attempts")
	require.Empty(t, s.objects())
	require.NoError(t, release())

	require.NoError(t, s.Scale(t.Context(), 0))
	s.fails(rehearsal.Request{ID: "down", Action: "backup"}, "database-0.database."+s.Namespace()+".svc")
	require.Empty(t, s.objects())
	require.NoError(t, s.Scale(t.Context(), 1))

	// A table without transactions has no snapshot.
	_, err = s.SQL(t.Context(), "shop", "CREATE TABLE old (a int) ENGINE = MyISAM;")
	require.NoError(t, err)
	s.fails(rehearsal.Request{ID: "myisam", Action: "backup"}, "shop.old (MyISAM)")
	require.Empty(t, s.objects())

	// After all this, one succeeds.
	_, err = s.Run(t.Context(), rehearsal.Request{ID: "good", Action: "backup", Options: map[string]string{"nontransactional": "allow"}})
	require.NoError(t, err)
	require.NotEmpty(t, s.objects())
	s.noSecret()
}

// A dump that is not whole is found out before anything is changed; a restore that dies once succeeds.
func TestMariaDBRestoreThatFails(t *testing.T) {
	s := newStage(t, rehearsal.MariaDB(), image.MariaDB, 20000)
	b, err := s.BackUp(t.Context(), "backup")
	require.NoError(t, err)
	dump := filepath.Join(s.backups, b.Artifacts["backup"].KeyValue["path"])
	whole, err := os.ReadFile(dump)
	require.NoError(t, err)
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 1
	require.NoError(t, os.WriteFile(dump, damaged, 0o600))
	s.fails(rehearsal.Request{ID: "damaged", Action: "restore", Artifacts: b.Artifacts}, "the dump is not whole: nothing was changed")
	_, err = s.Check(t.Context(), b)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dump, whole, 0o600))

	// The pod dies while it fills a table, and the server does not notice: the session of the dead stays, with its lock on the table.
	killed := s.killPods("load", 1, s.counts("mysql", "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO `items`%';"))
	_, err = s.Run(t.Context(), rehearsal.Request{
		ID: "comes-back", Action: "restore", Artifacts: b.Artifacts, Options: map[string]string{"host": s.ghosts("3306")},
	})
	require.NoError(t, err)
	require.Equal(t, 1, killed())
	_, err = s.Check(t.Context(), b)
	require.NoError(t, err)
}
