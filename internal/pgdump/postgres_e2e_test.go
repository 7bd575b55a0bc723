//go:build e2e

package pgdump_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/internal/pgdump"
	"github.com/davit-project/davit/internal/pgdump/pgserver"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

// odd is a name that needs every kind of quoting.
const odd = `o"d'd \ naïve db=x $1`

// fill makes databases with what dumps can trip over.
var fill = map[string]string{
	"postgres": `
CREATE ROLE app; CREATE ROLE reader LOGIN PASSWORD 'reader';
CREATE DATABASE shop OWNER app; CREATE DATABASE ` + quoted(odd) + `; CREATE DATABASE "Empty One";
COMMENT ON DATABASE shop IS E'first line\n\\connect postgres\n''quoted''';
ALTER DATABASE shop SET work_mem = '5MB'; GRANT CONNECT ON DATABASE shop TO reader;
CREATE TABLE in_postgres AS SELECT 7 AS seven;`,
	"shop": `
CREATE TABLE items (id int PRIMARY KEY, name text, raw bytea);
INSERT INTO items SELECT i, 'item ' || i || E'\t\\.\n\\connect postgres\n; '' " $$', decode(md5(i::text), 'hex') FROM generate_series(1, 2000) i;
CREATE TABLE lines (id serial, line text);
INSERT INTO lines (line) VALUES (E'\\.'), (E'COMMIT;\nBEGIN;\nCREATE DATABASE x;'), (NULL), (''), (E'--\n/*');
ALTER TABLE items OWNER TO app;
CREATE FUNCTION f(a int) RETURNS text LANGUAGE plpgsql AS $body$ BEGIN -- it's
  RETURN '\! touch /tmp/x; COMMIT;' || $1; END $body$;
CREATE FUNCTION g(a int) RETURNS int BEGIN ATOMIC SELECT 1; SELECT a + 1; END;
CREATE VIEW v AS SELECT id, E'a\\''b' AS x FROM items WHERE name <> '/*';
SELECT lo_from_bytea(4242, convert_to(repeat('large object ', 100000), 'UTF8'));
GRANT SELECT ON items TO reader;`,
	odd: `CREATE TABLE "we""ird" ("a b" text); INSERT INTO "we""ird" VALUES (E'\u00e9\u4e2d\\'), ('x;y');`,
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// sums are queries that tell everything of the databases.
var sums = map[string]string{
	"postgres": `SELECT datname, pg_get_userbyid(datdba), encoding, datcollate, shobj_description(d.oid, 'pg_database'), s.setconfig, datacl FROM pg_database d LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid ORDER BY 1; SELECT * FROM in_postgres;`,
	"shop": `SELECT md5(string_agg(i::text, ',' ORDER BY id)) FROM items i; SELECT md5(string_agg(l::text, ',' ORDER BY id)) FROM lines l; SELECT f(1), g(2), count(*), max(x) FROM v;
SELECT md5(lo_get(4242)); SELECT last_value, is_called FROM lines_id_seq; SELECT relname, pg_get_userbyid(relowner), relacl FROM pg_class WHERE relname IN ('items', 'lines') ORDER BY 1; SHOW work_mem;`,
	odd: `SELECT * FROM "we""ird" ORDER BY 1;`,
}

// state is what all databases hold.
func state(t *testing.T, s *pgserver.Server) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, query := range sums {
		got, err := s.SQL(t.Context(), name, query)
		require.NoError(t, err, name)
		out[name] = got
	}
	return out
}

// start starts a server.
func start(t *testing.T, settings ...string) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), settings...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func filled(t *testing.T) *pgserver.Server {
	t.Helper()
	s := start(t)
	for _, name := range []string{"postgres", "shop", odd} {
		_, err := s.SQL(t.Context(), name, fill[name])
		require.NoError(t, err)
	}
	return s
}

// depot is a folder as a location.
type depot struct {
	t    *testing.T
	dir  string
	said []string
	mu   sync.Mutex
	// progress is called where it is set.
	progress func()
	ctx      context.Context
}

func newDepot(t *testing.T) *depot { return &depot{t: t, dir: t.TempDir(), ctx: t.Context()} }

func (d *depot) open(ctx context.Context, _ []byte) (*location.Bucket, error) {
	return location.Open(ctx, &location.Location{Type: location.TypeFile, Bucket: d.dir}, map[string]location.Opener{location.TypeFile: file.Open}, nil)
}

// do asks for a dump or a restore of path.
func (d *depot) do(op string, s pgdump.Server, path string, databases ...string) (mover.Result, error) {
	return pgdump.Do(d.ctx, &pgdump.Request{Op: op, Server: s, Profile: json.RawMessage("{}"), Path: path, Databases: databases}, pgdump.Env{
		Open: d.open,
		Warn: func(text string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.said = append(d.said, text)
		},
		Progress: func(mover.Progress) {
			if d.progress != nil {
				d.progress()
			}
		},
	})
}

// put stores an object as another program does: without a record.
func (d *depot) put(path string, data []byte) {
	d.t.Helper()
	name := filepath.Join(d.dir, path)
	require.NoError(d.t, os.MkdirAll(filepath.Dir(name), 0o700))
	require.NoError(d.t, os.WriteFile(name, data, 0o600))
}

// objects are the names of all files but those of folders.
func (d *depot) objects() (names []string) {
	d.t.Helper()
	require.NoError(d.t, filepath.WalkDir(d.dir, func(name string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	}))
	return names
}

func at(s *pgserver.Server) pgdump.Server {
	return pgdump.Server{Host: "127.0.0.1", Port: int32(s.Port), User: "postgres", Password: s.Password, CA: s.CA}
}

// others makes the roles, which are not part of a dump.
func others(t *testing.T, s *pgserver.Server) {
	t.Helper()
	_, err := s.SQL(t.Context(), "postgres", "CREATE ROLE app; CREATE ROLE reader LOGIN PASSWORD 'reader';")
	require.NoError(t, err)
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	from, d := filled(t), newDepot(t)
	want := state(t, from)
	argv := watchArguments(t, from.Password)
	made, err := d.do(pgdump.Dump, at(from), "pre/fix/id")
	require.NoError(t, err)
	require.Equal(t, "pre/fix/id", made.Snapshot)
	require.EqualValues(t, 5, made.Files, "postgres, template1, shop, Empty One and the odd one")
	require.Positive(t, made.Bytes)
	require.Greater(t, made.Bytes, made.Stored)

	to := start(t)
	others(t, to)
	argv2 := watchArguments(t, to.Password)
	got, err := d.do(pgdump.Restore, at(to), "pre/fix/id")
	require.NoError(t, err)
	require.EqualValues(t, 5, got.Files)
	require.Equal(t, want, state(t, to))
	argv()
	argv2()
	for _, text := range d.said {
		require.NotContains(t, text, to.Password)
	}

	// Once more, it goes into databases that are not empty: nothing of it does.
	_, err = d.do(pgdump.Restore, at(to), "pre/fix/id")
	require.ErrorContains(t, err, "already exists")
	require.Equal(t, want, state(t, to))

	// psql alone reads it too.
	plain := start(t)
	others(t, plain)
	data, err := os.ReadFile(filepath.Join(d.dir, "pre/fix/id"))
	require.NoError(t, err)
	unpacked, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	text, err := io.ReadAll(unpacked)
	require.NoError(t, err)
	_, err = plain.SQL(t.Context(), "postgres", string(text))
	require.NoError(t, err)
	require.Equal(t, want[odd], state(t, plain)[odd])
}

// watchArguments looks at the arguments of all processes until the function that it returns is called, which fails the test if any has held the secret.
func watchArguments(t *testing.T, secret string) (stop func()) {
	done, found := make(chan struct{}), make(chan string, 1)
	looked := 0
	go func() {
		defer close(found)
		for {
			select {
			case <-done:
				return
			default:
			}
			names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, name := range names {
				text, _ := os.ReadFile(name)
				if bytes.Contains(text, []byte("pg_dump\x00")) || bytes.Contains(text, []byte("psql\x00")) {
					looked++
				}
				if bytes.Contains(text, []byte(secret)) {
					found <- string(text)
					return
				}
			}
		}
	}()
	return func() {
		t.Helper()
		close(done)
		for text := range found {
			t.Errorf("arguments hold the password: %q", text)
		}
		require.Positive(t, looked, "no program was seen at work")
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s, plain, d := start(t), start(t, "ssl=off"), newDepot(t)
	other, _, _, err := pgserver.Certificates()
	require.NoError(t, err)
	change := func(s *pgserver.Server, f func(s *pgdump.Server)) pgdump.Server {
		out := at(s)
		f(&out)
		return out
	}
	for name, tc := range map[string]struct {
		server pgdump.Server
		fault  string
	}{
		"verified":                 {server: at(s)},
		"encrypted":                {server: change(s, func(s *pgdump.Server) { s.CA = nil })},
		"wrong authority":          {server: change(s, func(s *pgdump.Server) { s.CA = other }), fault: "certificate verify failed"},
		"system's authorities":     {server: change(s, func(s *pgdump.Server) { s.CA, s.TLS = nil, pgdump.TLSVerify }), fault: "certificate"},
		"wrong name":               {server: change(s, func(s *pgdump.Server) { s.Host = "127.0.0.2" }), fault: "127.0.0.2"},
		"plain by default":         {server: change(plain, func(s *pgdump.Server) { s.CA = nil }), fault: "server does not support SSL"},
		"plain with an authority":  {server: at(plain), fault: "server does not support SSL"},
		"plain where that is said": {server: change(plain, func(s *pgdump.Server) { s.TLS = pgdump.TLSDisable })},
		"wrong password":           {server: change(s, func(s *pgdump.Server) { s.Password = "not it" }), fault: "password authentication failed"},
	} {
		key := strings.ReplaceAll(name, " ", "-")
		_, err := d.do(pgdump.Dump, tc.server, key)
		if tc.fault == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, tc.fault, name)
		require.NotContains(t, err.Error(), tc.server.Password, name)
		require.NoFileExists(t, filepath.Join(d.dir, key))
	}
	require.Len(t, d.objects(), 2*3, "three dumps and their records")
}

// Whatever goes wrong in a dump, there is no object of it, and one from before is untouched.
func TestDumpFails(t *testing.T) {
	t.Parallel()
	s, d := filled(t), newDepot(t)
	_, err := d.do(pgdump.Dump, at(s), "before", "shop")
	require.NoError(t, err)
	before, err := os.ReadFile(filepath.Join(d.dir, "before"))
	require.NoError(t, err)
	objects := d.objects()
	fails := func(path, fault string, server pgdump.Server, databases ...string) {
		t.Helper()
		_, err := d.do(pgdump.Dump, server, path, databases...)
		require.ErrorContains(t, err, fault)
		require.Equal(t, objects, d.objects())
		now, err := os.ReadFile(filepath.Join(d.dir, "before"))
		require.NoError(t, err)
		require.Equal(t, before, now)
	}
	reader := at(s)
	reader.User, reader.Password = "reader", "reader"
	fails("none", `dump database "shop": pg_dump: exit status 1: pg_dump: error: query failed: ERROR:  permission denied for table lines`, reader, "shop")
	fails("before", "permission denied", reader, "Empty One", "shop")
	fails("none", `database "missing" does not exist`, at(s), "Empty One", "missing")

	_, err = s.SQL(t.Context(), "shop", "INSERT INTO items SELECT i, repeat(md5(i::text), 100), NULL FROM generate_series(10000, 30000) i;")
	require.NoError(t, err)
	slow := d.progress
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	d.ctx, d.progress = ctx, func() { cancel(stop) }
	fails("before", "stop", at(s), "shop")
	d.ctx = t.Context()

	d.progress = func() { _ = s.Kill() }
	fails("before", "dump database ", at(s), "shop")
	d.progress = slow
	fails("none", "refused", at(s))
}

// A restore that fails leaves the server as it was.
func TestRestoreFails(t *testing.T) {
	t.Parallel()
	from, d := filled(t), newDepot(t)
	_, err := d.do(pgdump.Dump, at(from), "good")
	require.NoError(t, err)
	good, err := os.ReadFile(filepath.Join(d.dir, "good"))
	require.NoError(t, err)
	to := start(t)
	databases := func() string {
		got, err := to.SQL(t.Context(), "postgres", "SELECT string_agg(datname, ',' ORDER BY 1) FROM pg_database; SELECT count(*) FROM pg_class WHERE relname = 'in_postgres';")
		require.NoError(t, err)
		return got
	}
	empty := databases()
	_, err = d.do(pgdump.Restore, at(to), "good")
	require.ErrorContains(t, err, `role "app" does not exist (roles are not part of a dump`)
	require.Equal(t, empty, databases())
	others(t, to)
	_, err = d.do(pgdump.Restore, at(to), "missing")
	require.ErrorIs(t, err, location.ErrNotFound)

	// Every cut of the stream is found, by the record, by gzip or by the SQL.
	text := unpack(t, good)
	for _, cut := range []int{len(text) / 5, len(text) / 2, len(text) * 9 / 10} {
		d.put("cut", pack(t, text[:cut]))
		_, err = d.do(pgdump.Restore, at(to), "cut")
		require.Error(t, err, cut)
		require.Equal(t, empty, databases())
	}
	d.put("cut", good[:len(good)-4])
	_, err = d.do(pgdump.Restore, at(to), "cut")
	require.ErrorContains(t, err, "EOF")
	d.put("empty", pack(t, nil))
	_, err = d.do(pgdump.Restore, at(to), "empty")
	require.ErrorContains(t, err, "holds no SQL")
	damaged := bytes.Clone(good)
	damaged[len(damaged)/2] ^= 4
	d.put("good", damaged)
	_, err = d.do(pgdump.Restore, at(to), "good")
	require.Error(t, err)
	require.Equal(t, empty, databases())

	// One that is stopped tidies up.
	d.put("good", good)
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	d.ctx = ctx
	d.put("slow", []byte("CREATE DATABASE slow TEMPLATE template0;\n\\connect slow\nCREATE TABLE t (a int);\nSELECT pg_sleep(60);\n"))
	go func() {
		defer cancel(stop)
		for range 600 {
			if got, err := to.SQL(ctx, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'davit %' AND query LIKE '%pg_sleep%';"); err != nil || got == "1" {
				return
			}
		}
	}()
	_, err = d.do(pgdump.Restore, at(to), "slow")
	require.ErrorIs(t, err, stop)
	require.Equal(t, empty, databases())
	d.ctx = t.Context()

	// What a restore that died has left is made anew.
	_, err = to.SQL(t.Context(), "postgres", "CREATE DATABASE shop; COMMENT ON DATABASE shop IS 'davit restores good';")
	require.NoError(t, err)
	_, err = to.SQL(t.Context(), "shop", "CREATE TABLE items (half int);")
	require.NoError(t, err)
	_, err = d.do(pgdump.Restore, at(to), "good")
	require.NoError(t, err)
	require.Equal(t, state(t, from), state(t, to))
}

func unpack(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return text
}

func pack(t *testing.T, text []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// kanister dumps as Kanister does: pg_dump --create --inserts of each database, in a tar.
func kanister(t *testing.T, s *pgserver.Server, databases ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "backup/", Typeflag: tar.TypeDir, Mode: 0o755}))
	for _, name := range databases {
		cmd := exec.CommandContext(t.Context(), "pg_dump", "-C", "--inserts")
		cmd.Env = append(os.Environ(), "PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(s.Port), "PGUSER=postgres", "PGPASSWORD="+s.Password, "PGDATABASE="+name)
		out, err := cmd.Output()
		require.NoError(t, err)
		require.NoError(t, w.WriteHeader(&tar.Header{Name: "backup/" + name + ".sql", Mode: 0o644, Size: int64(len(out))}))
		_, err = w.Write(out)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return pack(t, buf.Bytes())
}

// What Kanister's export has written is restored, into default databases and one that the instance was made with too.
func TestRestoreOfKanister(t *testing.T) {
	t.Parallel()
	from, to, d := filled(t), start(t), newDepot(t)
	want := state(t, from)
	d.put("kanister", kanister(t, from, odd, "postgres", "shop", "template1", "Empty One"))
	others(t, to)
	_, err := to.SQL(t.Context(), "postgres", `CREATE DATABASE "Empty One";`)
	require.NoError(t, err)
	_, err = d.do(pgdump.Restore, at(to), "kanister")
	require.NoError(t, err)
	require.Equal(t, want, state(t, to))
	require.Contains(t, strings.Join(d.said, "\n"), `database "Empty One" was there before`)

	// Into a database that was there, large objects go in the transaction too.
	_, err = to.SQL(t.Context(), "postgres", "DROP DATABASE shop; CREATE DATABASE shop;")
	require.NoError(t, err)
	const inShop = "SELECT count(*) FROM pg_largeobject_metadata; SELECT count(*) FROM pg_class WHERE relname = 'items'; SELECT count(*) FROM pg_largeobject;"
	empty, err := to.SQL(t.Context(), "shop", inShop)
	require.NoError(t, err)
	_, err = d.do(pgdump.Dump, at(from), "shop", "shop")
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(d.dir, "shop"))
	require.NoError(t, err)
	d.put("broken", append(unpack(t, text), "SELECT 1/0;\n"...))
	_, err = d.do(pgdump.Restore, at(to), "broken")
	require.ErrorContains(t, err, "division by zero")
	got, err := to.SQL(t.Context(), "shop", inShop)
	require.NoError(t, err)
	require.Equal(t, empty, got)
	_, err = d.do(pgdump.Restore, at(to), "shop")
	require.NoError(t, err)
	got, err = to.SQL(t.Context(), "shop", sums["shop"])
	require.NoError(t, err)
	require.Equal(t, strings.TrimSuffix(want["shop"], "5MB")+"4MB", got, "its settings stay as they are")

	// What only other versions know is left out.
	d.put("plain", []byte("SET transaction_timeout = 0;\nSET default_with_oids TO false;\nSET search_path = '';\nCOMMENT ON EXTENSION nobody IS 'x';\nCREATE TABLE public.plain (a int);\n"))
	_, err = d.do(pgdump.Restore, at(to), "plain")
	require.NoError(t, err)
	_, err = to.SQL(t.Context(), "postgres", "SELECT FROM plain;")
	require.NoError(t, err)
}

// Nothing that stands in an object reaches the pod.
func TestHostileDump(t *testing.T) {
	t.Parallel()
	s, d, dir := start(t), newDepot(t), t.TempDir()
	victim := filepath.Join(dir, "victim")
	touch := `\! touch ` + victim + "\n"
	for name, text := range map[string]string{
		"shell":            touch,
		"after a comment":  "-- a\n" + touch,
		"in a statement":   "SELECT 1 " + touch + ";",
		"a nul in rows":    "CREATE TABLE t (a text);\nCOPY t FROM stdin;\n\\.\x00\n" + touch,
		"after a nul":      "SELECT '\x00';\n" + touch,
		"after a copy":     "CREATE TABLE t (a text);\nCOPY t FROM stdin WITH (FORMAT text);\n\\.\n" + touch,
		"unlike quotes":    "SET standard_conforming_strings = off;\nSELECT 'a\\';\n" + touch + "-- ';\n",
		"in a name":        `\connect -reuse-previous=on "dbname='postgres' host='127.0.0.3'"` + "\n",
		"as settings":      `\connect "postgres://127.0.0.3/postgres"` + "\n",
		"two words":        `\connect postgres other 127.0.0.3` + "\n",
		"unrestrict":       "\\unrestrict x\n" + touch,
		"set":              "\\set ON_ERROR_STOP 0\nSELECT 1/0;\n",
		"include":          "\\i /etc/passwd\n",
		"copy to a file":   "\\copy pg_class TO '" + victim + "'\n",
		"backquotes":       "SELECT `touch " + victim + "`;\n",
		"a lone backslash": "\\\n",
	} {
		d.put("hostile", []byte(text))
		_, err := d.do(pgdump.Restore, at(s), "hostile")
		require.Error(t, err, name)
		require.NoFileExists(t, victim, name)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	text := "CREATE TABLE fine (a int);\n"
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "../../" + victim + ".sql", Mode: 0o777, Size: int64(len(text))}))
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	d.put("tar", buf.Bytes())
	_, err = d.do(pgdump.Restore, at(s), "tar")
	require.NoError(t, err, "a name is a name")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// readFile is an object.
func readFile(t *testing.T, d *depot, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(d.dir, path))
	require.NoError(t, err)
	return data
}
