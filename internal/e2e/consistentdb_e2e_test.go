//go:build e2e

package e2e

import (
	"strings"

	"github.com/davit-project/davit/internal/testcluster/image"
)

// twoVolumes is a database that writes to two volumes, mounted at /data and /log.
type twoVolumes struct {
	name, image string
	spec        func(davit string) image.Spec
	// start makes the database where there is none, and serves it.
	start string
	// client reads SQL from standard input, and prints rows with tabs at once.
	client []string
	schema string
	// flush is what a writer runs every now and then, so that both volumes are written to all the time.
	flush string
	// intact selects nothing but lines that say ok.
	intact string
	// hold is the command of a held session.
	hold string
	// recovered is in the log of a server that begins with what was there when it was cut; faulty never is.
	recovered string
	faulty    []string
}

// stopAll defines stop_all and go_on for the processes that are called $server. It needs them in the container's view of processes, none of them its first one, which nobody can stop:
// hence shareProcessNamespace. A process is asked to stop and stops somewhat later, and may start another one before: so it looks until two looks find nothing that runs. One that ended meanwhile
// stays as a zombie, as the server does not wait for it now. What a process was writing when it was stopped is written then, as the system call ends before.
const stopAll = `
servers() { grep -lx "$server" /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3; }
running() { for p in $(servers); do grep -L '^State:.[TZ]' /proc/$p/task/*/status; done 2>/dev/null; }
go_on() { kill -CONT $(servers); }
stop_all() {
  trap go_on EXIT
  trap 'exit 1' TERM
  until kill -STOP $(servers) && [ -z "$(running)$(running)" ]; do sleep 0.05; done
}
`

// twoVolumePostgres has its log on a volume of its own. A checkpoint first makes the recovery short. All of its processes have to be stopped: backup mode (pg_backup_start) lets it go on
// writing, and the log of the backup would have to be archived.
func twoVolumePostgres() *twoVolumes {
	return &twoVolumes{
		name: "postgres", image: image.PostgresImage, spec: image.Postgres,
		start: `set -eu
export PGDATA=/data/pgdata
if [ ! -e $PGDATA ]; then
  initdb --pgdata=$PGDATA.new --waldir=/log/wal --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --data-checksums >/dev/null
  mv $PGDATA.new $PGDATA
fi
exec postgres -c jit=off -c max_wal_size=32MB -c wal_level=replica -c bgwriter_delay=10ms -c shared_buffers=4MB`,
		client: []string{"psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--field-separator=\t", "--set=ON_ERROR_STOP=1", "--username=postgres"},
		schema: `CREATE TABLE ledger (writer int, n int, entry text, PRIMARY KEY (writer, n)); CREATE TABLE counter (writer int PRIMARY KEY, total int); CREATE EXTENSION amcheck;`,
		flush:  `CHECKPOINT;`,
		intact: `SELECT 'ok' FROM (SELECT bt_index_check('ledger_pkey', true), bt_index_check('counter_pkey', true)) i; SELECT msg FROM verify_heapam('ledger'); SELECT msg FROM verify_heapam('counter');`,
		hold: `set -eu
server=postgres` + stopAll + `
psql --no-psqlrc --quiet --username=postgres --command=CHECKPOINT
stop_all
echo held
cat`,
		recovered: "automatic recovery in progress",
		faulty:    []string{"PANIC", "ERROR", "corrupt", "invalid page", "could not"},
	}
}

// twoVolumeMariaDB has the log of InnoDB and the binary log on a volume of their own. The lock waits until statements have ended, and purges, flushes and checkpoints go on behind it, so that
// all threads are stopped too. The client that has the lock is asked for it once more before it lets go: it fails when the server has dropped the connection.
func twoVolumeMariaDB() *twoVolumes {
	return &twoVolumes{
		name: "mariadb", image: image.MariaDBImage, spec: image.MariaDB,
		start: `set -eu
if [ ! -e /data/db ]; then
  mariadb-install-db --no-defaults --datadir=/data/db.new --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve >/dev/null
  mv /data/db.new/ib_logfile0 /log/
  mv /data/db.new /data/db
fi
exec mariadbd --no-defaults --datadir=/data/db --innodb-log-group-home-dir=/log --log-bin=/log/binlog --innodb-log-file-size=8M --innodb-buffer-pool-size=8M \
  --innodb-max-dirty-pages-pct=0 --innodb-fast-shutdown=0 --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/mysqld.pid --skip-networking`,
		client: []string{"mariadb", "--no-defaults", "--user=root", "--batch", "--raw", "--quick", "--unbuffered", "--skip-column-names"},
		schema: `CREATE DATABASE shop; USE shop; CREATE TABLE ledger (writer int, n int, entry text, PRIMARY KEY (writer, n)); CREATE TABLE counter (writer int PRIMARY KEY, total int);`,
		flush:  `SET GLOBAL innodb_max_purge_lag_wait = 0;`,
		intact: `CHECK TABLE shop.ledger, shop.counter EXTENDED;`,
		hold: `set -eu
export held='server=mariadbd` + strings.ReplaceAll(stopAll, "'", `'\''`) + `
stop_all
echo held
cat'
exec mariadb --no-defaults --user=root --skip-reconnect --execute='FLUSH TABLES WITH READ LOCK;
\! sh -c "$held"
UNLOCK TABLES'`,
		recovered: "Starting crash recovery from checkpoint",
		faulty:    []string{"[ERROR]", "orrupt", "Assertion"},
	}
}

// consistentBlueprint takes both volumes at one moment, and makes claims of them. The command of the session is put in as JSON, which is YAML.
func (db *twoVolumes) blueprint(class, maxHold string) string {
	return strings.NewReplacer("CLASS", class, "MAXHOLD", maxHold, "HOLD", quoteYAML(db.hold)).Replace(`
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: consistent}
actions:
  backup:
    kind: Namespace
    outputArtifacts:
      volumes:
        keyValue:
          data: "{{ (index .Phases.snapshots.Output.snapshots 0).name }}"
          log: "{{ (index .Phases.snapshots.Output.snapshots 1).name }}"
          cut: "{{ .Phases.snapshots.Output.lastCut }}"
    phases:
    - func: CreateCSISnapshotGroup
      name: snapshots
      args:
        namespace: "{{ .Namespace.Name }}"
        pvcs: [data, log]
        snapshotClass: CLASS
        maxHold: MAXHOLD
        hold:
          pod: db
          container: server
          command: [bash, -c, HOLD]
          keepOutput: false
  restore:
    kind: Namespace
    inputArtifactNames: [volumes]
    phases:
    - func: RestoreCSISnapshot
      name: data
      args: {namespace: "{{ .Namespace.Name }}", name: "{{ .ArtifactsIn.volumes.KeyValue.data }}", pvc: data-restored, storageClass: davit-test, restoreSize: 1Gi}
    - func: RestoreCSISnapshot
      name: log
      args: {namespace: "{{ .Namespace.Name }}", name: "{{ .ArtifactsIn.volumes.KeyValue.log }}", pvc: log-restored, storageClass: davit-test, restoreSize: 1Gi}
`)
}
