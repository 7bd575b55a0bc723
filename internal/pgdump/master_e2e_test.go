//go:build e2e

package pgdump_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/pgdump"
	"github.com/davit-project/davit/internal/pgdump/pgserver"
)

// The user of an instance of RDS is no superuser: a server of its own has this one.
const master = "CREATE ROLE master LOGIN CREATEDB CREATEROLE PASSWORD 'master'; CREATE ROLE app; GRANT app TO master; GRANT pg_read_all_data TO master;"

func asMaster(s *pgserver.Server) pgdump.Server {
	out := at(s)
	out.User, out.Password = "master", "master"
	return out
}

// Dumps are made, restored and undone with no more rights than RDS gives.
func TestWithoutSuperuser(t *testing.T) {
	t.Parallel()
	from, to, d := start(t), start(t), newDepot(t)
	for _, s := range []*pgserver.Server{from, to} {
		_, err := s.SQL(t.Context(), "postgres", master)
		require.NoError(t, err)
	}
	const be = "SET SESSION AUTHORIZATION master; "
	_, err := from.SQL(t.Context(), "postgres", be+"CREATE DATABASE shop; ALTER DATABASE shop OWNER TO app; CREATE DATABASE other; COMMENT ON DATABASE other IS 'theirs'; ALTER DATABASE other SET work_mem = '5MB'; ALTER DATABASE other IS_TEMPLATE true;")
	require.NoError(t, err)
	_, err = from.SQL(t.Context(), "shop", be+"CREATE EXTENSION pgcrypto; CREATE TABLE t AS SELECT 7 AS seven; ALTER TABLE t OWNER TO app; SELECT lo_from_bytea(42, 'large');")
	require.NoError(t, err)
	_, err = d.do(pgdump.Dump, asMaster(from), "p", "shop", "other")
	require.NoError(t, err)

	before, err := to.SQL(t.Context(), "postgres", listing)
	require.NoError(t, err)
	text := unpack(t, readFile(t, d, "p"))
	d.put("broken", append(text, "SELECT 1/0;\n"...))
	_, err = d.do(pgdump.Restore, asMaster(to), "broken")
	require.ErrorContains(t, err, "division by zero")
	require.NotContains(t, err.Error(), "could not be removed")
	after, err := to.SQL(t.Context(), "postgres", listing)
	require.NoError(t, err)
	require.Equal(t, before, after)

	_, err = d.do(pgdump.Restore, asMaster(to), "p")
	require.NoError(t, err)
	for database, query := range map[string]string{
		"postgres": "SELECT datname, pg_get_userbyid(datdba), shobj_description(oid, 'pg_database'), datistemplate FROM pg_database WHERE datname IN ('shop', 'other') ORDER BY 1;",
		"shop":     "SELECT seven, encode(lo_get(42), 'escape'), crypt('x', 'ab') FROM t; SELECT tableowner FROM pg_tables WHERE tablename = 't';",
		"other":    "SHOW work_mem;",
	} {
		want, err := from.SQL(t.Context(), database, query)
		require.NoError(t, err)
		got, err := to.SQL(t.Context(), database, query)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err = d.do(pgdump.Restore, asMaster(to), "p")
	require.ErrorContains(t, err, "already exists")
}

// A name of a database is never anything else.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	s, d := start(t), newDepot(t)
	for _, name := range []string{"dbname=postgres host=127.0.0.3", "postgres://127.0.0.3/postgres", "--version", "-f/tmp/x", "postgres; SELECT 1", "host=127.0.0.3"} {
		_, err := d.do(pgdump.Dump, at(s), "missing", name)
		require.ErrorContains(t, err, "FATAL:  database \""+name+"\" does not exist")
		require.Empty(t, d.objects())
	}
	for _, name := range []string{"dbname=postgres host=127.0.0.3", "postgres://127.0.0.3/postgres", "--version", `\! x`} {
		_, err := s.SQL(t.Context(), "postgres", "CREATE DATABASE "+quoted(name)+";")
		require.NoError(t, err)
		_, err = s.SQL(t.Context(), name, "CREATE TABLE t AS SELECT 7 AS seven;")
		require.NoError(t, err)
	}
	_, err := d.do(pgdump.Dump, at(s), "p")
	require.NoError(t, err)
	to := start(t)
	_, err = d.do(pgdump.Restore, at(to), "p")
	require.NoError(t, err)
	for _, name := range []string{"dbname=postgres host=127.0.0.3", "postgres://127.0.0.3/postgres", "--version", `\! x`} {
		got, err := to.SQL(t.Context(), name, "SELECT seven FROM t;")
		require.NoError(t, err)
		require.Equal(t, "7", got)
	}
}
