//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/davit-project/davit/internal/testcluster/image"
)

// database is one that keeps its data in /data and its logs in $LOG, which is /log where they have a volume of their own.
type database struct {
	name, image string
	// start makes the database where there is none, and serves it.
	start string
	// client reads commands from standard input, and prints rows with tabs at once; ping is a command that prints 1.
	client []string
	ping   string
	// schema makes a table for the entries of writers, and one with a counter for each of three.
	schema string
	// transaction is a line with which a writer adds an entry and sets its counter, and prints the number when that is safe.
	transaction func(writer, n int) string
	// settle writes all tables to the data volume, and returns when that is done. It takes no lock of which a writer could be one end of a cycle.
	settle string
	// intact prints nothing but lines that say ok, rows what restoredRow has of each writer.
	intact, rows string
	// recovered is in the log of a server that begins with what was there when it was cut; faulty never is.
	recovered string
	faulty    []string
	// stop is the first line of the command for held sessions in docs/snapshots.md that holds two volumes.
	stop string
	// privileged servers run as root, with the claims below /claims.
	privileged bool
	// broken is what the check says when the log was cut before the data.
	broken string
}

// sqlSchema is that of every dialect.
const sqlSchema = `CREATE TABLE ledger (writer int, n int, entry text, PRIMARY KEY (writer, n)); CREATE TABLE counter (writer int PRIMARY KEY, total int);
	INSERT INTO counter VALUES (0, 0), (1, 0), (2, 0);`

// sqlTransaction runs flush every now and then, so that both volumes are written to all the time.
func sqlTransaction(flush string) func(writer, n int) string {
	return func(writer, n int) string {
		also := ""
		if n%40 == 0 {
			also = flush
		}
		return fmt.Sprintf("BEGIN; INSERT INTO ledger VALUES (%d, %d, '%s'); UPDATE counter SET total = %[2]d WHERE writer = %[1]d; COMMIT; %[4]s SELECT %[2]d;",
			writer, n, strings.Repeat("x", entryLength(n)), also)
	}
}

// sqlRows is understood in every dialect.
const sqlRows = `SELECT c.writer, c.total, COUNT(l.n), COALESCE(MAX(l.n), 0), COALESCE(SUM(LENGTH(l.entry)), 0)
	FROM counter c LEFT JOIN ledger l ON l.writer = c.writer GROUP BY c.writer, c.total ORDER BY 1;`

// postgres has its log on a volume of its own. A checkpoint first makes the recovery short. All of its processes have to be stopped: backup mode (pg_backup_start) lets it go on
// writing, and the log of the backup would have to be archived. Where /archive is, the log is archived there; with LABEL, a backup is recovered with the log from there alone, up to its end.
func postgres() *database {
	return &database{
		name: "postgres", image: image.PostgresImage,
		start: `set -eu
export PGDATA=/data/pgdata
mkdir -p $LOG
if [ ! -e $PGDATA ]; then
  initdb --pgdata=$PGDATA.new --waldir=$LOG/wal --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --data-checksums >/dev/null
  mv $PGDATA.new $PGDATA
fi
more=()
if [ "${LABEL:-}" ]; then
  rm -rf $LOG/wal/*
  printf %s "$LABEL" >$PGDATA/backup_label
  touch $PGDATA/recovery.signal
  more=(-c 'restore_command=cp /archive/%f %p' -c recovery_target=immediate -c recovery_target_action=promote)
elif [ -e /archive ]; then
  more=(-c archive_mode=on -c 'archive_command=cp %p /archive/%f.new && mv /archive/%f.new /archive/%f')
fi
exec postgres -c jit=off -c max_wal_size=32MB -c wal_level=replica -c bgwriter_delay=10ms -c shared_buffers=4MB "${more[@]}"`,
		client: []string{"psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--field-separator=\t", "--set=ON_ERROR_STOP=1", "--username=postgres"},
		ping:   "SELECT 1;", schema: sqlSchema + "CREATE EXTENSION amcheck;", transaction: sqlTransaction("CHECKPOINT;"), settle: "CHECKPOINT;", rows: sqlRows,
		intact:    `SELECT 'ok' FROM (SELECT bt_index_check('ledger_pkey', true), bt_index_check('counter_pkey', true)) i; SELECT msg FROM verify_heapam('ledger'); SELECT msg FROM verify_heapam('counter');`,
		recovered: "automatic recovery in progress", faulty: []string{"PANIC", "ERROR", "corrupt", "invalid page", "could not"},
		stop: "PostgreSQL, stopped", broken: "could not locate a valid checkpoint record",
	}
}

// mariadb has the log of InnoDB and the binary log on a volume of their own. The lock waits until statements have ended, and purges, flushes and checkpoints go on behind it, so that
// all threads are stopped too. The client that has the lock is asked for it once more before it lets go: it fails when the server has dropped the connection.
func mariadb() *database {
	return &database{
		name: "mariadb", image: image.MariaDBImage,
		start: `set -eu
mkdir -p $LOG
if [ ! -e /data/db ]; then
  mariadb-install-db --no-defaults --datadir=/data/db.new --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve >/dev/null
  mv /data/db.new/ib_logfile0 $LOG/
  mv /data/db.new /data/db
fi
exec mariadbd --no-defaults --datadir=/data/db --innodb-log-group-home-dir=$LOG --log-bin=$LOG/binlog --innodb-log-file-size=8M --innodb-buffer-pool-size=8M \
  --innodb-max-dirty-pages-pct=0 --innodb-fast-shutdown=0 --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/mysqld.pid --skip-networking`,
		client: []string{"mariadb", "--no-defaults", "--user=root", "--batch", "--raw", "--quick", "--unbuffered", "--skip-column-names"},
		ping:   "SELECT 1;", schema: "CREATE DATABASE shop; USE shop; " + sqlSchema, transaction: sqlTransaction("SET GLOBAL innodb_max_purge_lag_wait = 0;"), rows: sqlRows,
		settle:    "FLUSH TABLES ledger FOR EXPORT; UNLOCK TABLES; FLUSH TABLES counter FOR EXPORT; UNLOCK TABLES;",
		intact:    "CHECK TABLE ledger, counter EXTENDED;",
		recovered: "Recovering after a crash using", faulty: []string{"[ERROR]", "orrupt", "Assertion"},
		stop: "MariaDB, stopped", broken: "is in the future",
	}
}

// heldClaims are claims that are taken together while a command holds what writes to them.
type heldClaims struct {
	claims         []string
	command        []string
	class, maxHold string
	// keep is true when what the command writes belongs to the snapshots.
	keep bool
}

// document takes them, and makes claims of the snapshots. The command is put in as JSON, which is YAML.
func (h heldClaims) document(t *testing.T) string {
	t.Helper()
	hold, err := json.Marshal(h.command)
	require.NoError(t, err)
	text := `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: consistent}
actions:
  backup:
    kind: Namespace
    outputArtifacts:
      volumes:
        keyValue:
          snapshots: "{{ toJson .Phases.snapshots.Output.snapshots }}"
          cut: "{{ .Phases.snapshots.Output.lastCut }}"
          output: "{{ .Phases.snapshots.Output.holdOutput }}"
    phases:
    - func: CreateCSISnapshotGroup
      name: snapshots
      args:
        namespace: "{{ .Namespace.Name }}"
        pvcs: [CLAIMS]
        snapshotClass: CLASS
        maxHold: MAXHOLD
        hold:
          pod: db
          container: server
          command: HOLD
          keepOutput: KEEP
  restore:
    kind: Namespace
    inputArtifactNames: [volumes]
    phases:
`
	for i, claim := range h.claims {
		text += strings.NewReplacer("CLAIM", claim, "INDEX", strconv.Itoa(i)).Replace(`
    - func: RestoreCSISnapshot
      name: CLAIM
      args:
        namespace: "{{ .Namespace.Name }}"
        name: "{{ (index (fromJson .ArtifactsIn.volumes.KeyValue.snapshots) INDEX).name }}"
        pvc: CLAIM-restored
        storageClass: davit-test
        restoreSize: 1Gi
`)
	}
	return strings.NewReplacer(
		"CLAIMS", strings.Join(h.claims, ", "), "CLASS", h.class, "MAXHOLD", h.maxHold, "HOLD", string(hold), "KEEP", strconv.FormatBool(h.keep),
	).Replace(text)
}

// documented is a command of docs/snapshots.md, by the first line of its block.
func documented(t *testing.T, title string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/snapshots.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(page), "```yaml\n# "+title+"\n")
	require.True(t, found, title)
	block, _, _ := strings.Cut(rest, "```")
	var args struct{ Command []string }
	require.NoError(t, yaml.Unmarshal([]byte(block), &args))
	require.NotEmpty(t, args.Command)
	return args.Command
}
