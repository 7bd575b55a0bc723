//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/testcluster"
)

// oneMariaDB: a MariaDB on one volume is snapshotted under the lock. What is restored has all that was committed before the lock, and the binary log ends at the position that the command wrote.
func oneMariaDB(t *testing.T) {
	t.Parallel()
	s := newDBSite(t, mariadb(), "data")
	s.serve(volumes{pod: "db", data: "data"})
	w := s.startWriters()
	group := heldClaims{claims: []string{"data"}, command: documented(t, "MariaDB, a lock"), class: s.cutsLate(), maxHold: "1m", keep: true}
	bp := parseBlueprint(t, group.document(t))
	artifacts, held := s.heldRun(bp, w)
	w.end(t)

	s.run(bp, "restore", artifacts)
	require.NoError(t, s.check(volumes{pod: "restored", data: "data-restored"}, w.logs(), held))
	position := strings.Fields(artifacts["volumes"].KeyValue["output"])
	require.Len(t, position, 6, "names of columns, of which two are empty, and a row")
	require.Equal(t, []string{"File", "Position"}, position[:2])
	var size bytes.Buffer
	require.NoError(t, s.exec(t.Context(), "restored", []string{"stat", "--format=%s", "/data/log/" + position[4]}, "", &size))
	require.Equal(t, position[5], strings.TrimSpace(size.String()))
}

// onePostgres: a PostgreSQL on one volume is snapshotted while nobody holds it, which recovers as after a power failure; and in backup mode, which recovers with the label that the command wrote and the
// archive of the log, without the log that is in the snapshot.
func onePostgres(t *testing.T) {
	t.Parallel()
	s := newDBSite(t, postgres(), "data", "archive")
	s.serve(volumes{pod: "db", data: "data", archive: "archive"})
	w := s.startWriters()
	plain, heard := s.take("data", "plain")
	w.goOn(t, 2*time.Minute)

	group := heldClaims{claims: []string{"data"}, command: documented(t, "PostgreSQL, backup mode"), class: testcluster.SnapshotClass, maxHold: "1m", keep: true}
	bp := parseBlueprint(t, group.document(t))
	artifacts, held := s.heldRun(bp, w)
	ended, _ := s.noted(" goes on, it was held for ")
	last := s.must("db", "shop", "SELECT pg_walfile_name(pg_switch_wal());")
	require.Eventually(t, func() bool {
		return s.must("db", "shop", fmt.Sprintf("SELECT last_archived_wal >= '%s' FROM pg_stat_archiver;", last)) == "t"
	}, 2*time.Minute, 100*time.Millisecond, "the log is archived")
	w.end(t)

	s.bring("plain", "data-plain")
	require.NoError(t, s.check(volumes{pod: "plain", data: "data-plain"}, w.logs(), cutSpan(plain.CutAt, heard)))
	s.run(bp, "restore", artifacts)
	s.db.recovered = "starting point-in-time recovery to earliest consistent point"
	at := volumes{pod: "restored", data: "data-restored", archive: "archive", label: artifacts["volumes"].KeyValue["output"]}
	// It goes on writing while it is in backup mode, and what is restored is what it was at the end of that.
	require.NoError(t, s.check(at, w.logs(), span{all: held.all, none: ended}))
	require.Contains(t, s.logOf("restored"), "restored log file")
}
