//go:build e2e

package pgdump_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/pgdump"
	"github.com/davit-project/davit/internal/pgdump/pgserver"
)

// listing are all databases with their comments.
const listing = "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database ORDER BY 1;"

// eventually waits until a query of the database postgres answers so.
func eventually(t *testing.T, s *pgserver.Server, query, want string) {
	t.Helper()
	require.Eventually(t, func() bool {
		got, err := s.SQL(t.Context(), "postgres", query)
		return err == nil && got == want
	}, 2*time.Minute, 20*time.Millisecond, query)
}

// german starts a server whose errors are German, which the test sees.
func german(t *testing.T) *pgserver.Server {
	t.Helper()
	s, err := pgserver.New(t.Context(), &pgserver.Options{Language: "de"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.SQL(t.Context(), "postgres", "SELECT FROM gibtsnicht;")
	require.ErrorContains(t, err, "FEHLER:  Relation »gibtsnicht« existiert nicht")
	return s
}

// What is decided by what the server says does not depend on its language.
func TestLanguage(t *testing.T) {
	t.Parallel()
	s, d := german(t), newDepot(t)
	before, err := s.SQL(t.Context(), "postgres", listing)
	require.NoError(t, err)
	fails := func(text string, want ...string) {
		t.Helper()
		d.said = nil
		d.put("p", []byte(text))
		_, err := d.do(pgdump.Restore, at(s), "p")
		for _, w := range want {
			require.ErrorContains(t, err, w)
		}
		require.NotContains(t, err.Error(), "secret row")
		require.NotContains(t, strings.Join(d.said, "\n"), "FEHLER", "an error is told once, by the error")
		after, err := s.SQL(t.Context(), "postgres", listing)
		require.NoError(t, err)
		require.Equal(t, before, after)
	}
	const made = "CREATE DATABASE neu TEMPLATE template0;\n\\connect neu\nCREATE TABLE t (a text PRIMARY KEY);\n"
	fails(made+"ALTER TABLE t OWNER TO app;\n", "FEHLER:  42704: Rolle »app« existiert nicht (roles are not part of a dump: create them first)")
	fails(made+"CREATE TABLE t (a int);\n", "FEHLER:  42P07: Relation »t« existiert bereits (a dump goes into databases that are empty or not there)")
	fails(made+"ALTER TABLE t ALTER a TYPE nosuchtype;\n", "FEHLER:  42704: Typ »nosuchtype« existiert nicht")
	fails(made+"INSERT INTO t VALUES ('secret row'), ('secret row');\n", "FEHLER:  23505:") // the row is in the details
	fails(made+"DO $$ BEGIN RAISE NOTICE 'eine Notiz'; END $$;\n"+"SELECT 1/0;\n", "FEHLER:  22012: Division durch Null")
	require.Contains(t, strings.Join(d.said, "\n"), `database "neu": psql:<stdin>:4: HINWEIS:  00000: eine Notiz`)

	wrong := at(s)
	wrong.Password = "wrong"
	_, err = d.do(pgdump.Restore, wrong, "p")
	require.ErrorContains(t, err, "Passwort-Authentifizierung")
}

// A database that somebody else makes while a restore is about to is theirs, and stays.
func TestDatabaseOfSomebodyElse(t *testing.T) {
	t.Parallel()
	for _, s := range []*pgserver.Server{german(t), start(t)} {
		d := newDepot(t)
		d.put("p", []byte("CREATE DATABASE first TEMPLATE template0;\nCREATE DATABASE shop TEMPLATE template0;\n"))
		release := hold(t, s, "LOCK TABLE pg_catalog.pg_shdescription IN SHARE MODE;") // the mark has to wait
		ended := make(chan error, 1)
		go func() {
			_, err := d.do(pgdump.Restore, at(s), "p")
			ended <- err
		}()
		eventually(t, s, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'davit %' AND wait_event_type = 'Lock';", "1")
		_, err := s.SQL(t.Context(), "postgres", "CREATE DATABASE shop;")
		require.NoError(t, err)
		_, err = s.SQL(t.Context(), "shop", "CREATE TABLE theirs (a int);")
		require.NoError(t, err)
		release()
		require.ErrorContains(t, <-ended, "shop")
		_, err = s.SQL(t.Context(), "shop", "SELECT FROM theirs;")
		require.NoError(t, err, "somebody else's database is gone")
		got, err := s.SQL(t.Context(), "postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database;")
		require.NoError(t, err)
		require.Equal(t, "postgres shop template0 template1", got)
	}
}

// hold executes statements in a transaction that stays open until the function that it returns is called.
func hold(t *testing.T, s *pgserver.Server, statements string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = s.SQL(ctx, "postgres", "SET application_name = 'holder'; BEGIN; "+statements+" SELECT pg_sleep(600);")
	}()
	release = func() {
		_, err := s.SQL(t.Context(), "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder';")
		require.NoError(t, err)
		<-ended
	}
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	eventually(t, s, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder' AND wait_event = 'PgSleep';", "1")
	return release
}

// A restore that is stopped while the server still makes a database leaves none, in whichever step that is.
func TestStoppedWhileCreating(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, table := range map[string]string{"before it is there": "pg_database", "before it has its mark": "pg_shdescription"} {
		d := newDepot(t)
		d.put("p", []byte("CREATE DATABASE shop TEMPLATE template0;\n"))
		release := hold(t, s, "LOCK TABLE pg_catalog."+table+" IN SHARE MODE;")
		ctx, cancel := context.WithCancelCause(t.Context())
		d.ctx = ctx
		stop := errors.New("stop")
		ended := make(chan error, 1)
		go func() {
			_, err := d.do(pgdump.Restore, at(s), "p")
			ended <- err
		}()
		eventually(t, s, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'davit %' AND wait_event_type = 'Lock';", "1")
		cancel(stop)
		eventually(t, s, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'davit %' AND query ~ 'CREATE|COMMENT';", "0")
		release()
		require.ErrorIs(t, <-ended, stop, name)
		eventually(t, s, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'davit %';", "0")
		got, err := s.SQL(t.Context(), "postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database;")
		require.NoError(t, err)
		require.Equal(t, "postgres template0 template1", got, name)
	}
}

// What a restore that was killed between two steps has left is known, and what is only like it is not.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	s, d := start(t), newDepot(t)
	d.put("p", []byte("CREATE DATABASE shop TEMPLATE template0;\n\\connect shop\nSELECT pg_sleep(600);\n"))
	ctx, cancel := context.WithCancelCause(t.Context())
	d.ctx = ctx
	ended := make(chan error, 1)
	go func() {
		_, err := d.do(pgdump.Restore, at(s), "p")
		ended <- err
	}()
	eventually(t, s, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'davit %' AND wait_event = 'PgSleep';", "1")
	got, err := s.SQL(t.Context(), "postgres", "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'shop';")
	require.NoError(t, err)
	require.Equal(t, "davit restores p", got, "it has its mark from the first moment")
	cancel(errors.New("stop"))
	require.Error(t, <-ended)
	d.ctx = t.Context()

	// A template is not dropped as it is; a database with a comment of a megabyte is one more to list.
	d.put("p", []byte("CREATE DATABASE shop TEMPLATE template0;\nALTER DATABASE shop IS_TEMPLATE = true;\nCOMMENT ON DATABASE shop IS '"+strings.Repeat("x", 8<<10)+"';\n\\connect shop\nSELECT 1/0;\n"))
	_, err = d.do(pgdump.Restore, at(s), "p")
	require.ErrorContains(t, err, "division by zero")
	require.NotContains(t, err.Error(), "could not be removed")
	_, err = s.SQL(t.Context(), "postgres", "CREATE DATABASE aa; CREATE DATABASE victim; CREATE DATABASE davit_restores_0; CREATE DATABASE half IS_TEMPLATE true; COMMENT ON DATABASE half IS 'davit restores p';"+
		"DO $$ BEGIN EXECUTE 'COMMENT ON DATABASE aa IS ' || quote_literal(repeat('x', 2000000)); END $$; COMMENT ON DATABASE victim IS 'davit restores p2';")
	require.NoError(t, err)
	d.put("p", []byte("CREATE DATABASE shop TEMPLATE template0;\nCOMMENT ON DATABASE shop IS '"+strings.Repeat("y", 8<<10)+"';\n"))
	_, err = d.do(pgdump.Restore, at(s), "p")
	require.NoError(t, err)
	got, err = s.SQL(t.Context(), "postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database; SELECT length(shobj_description(oid, 'pg_database')) FROM pg_database WHERE datname = 'shop';")
	require.NoError(t, err)
	require.Equal(t, "aa davit_restores_0 postgres shop template0 template1 victim\n8192", got)
}

// A database that takes no changes by default is dumped and restored as any other: into none, and into one that has that setting.
func TestSettingsInTheWay(t *testing.T) {
	t.Parallel()
	s, d := start(t), newDepot(t)
	_, err := s.SQL(t.Context(), "postgres", "CREATE DATABASE frozen; CREATE DATABASE there;")
	require.NoError(t, err)
	_, err = s.SQL(t.Context(), "frozen", "CREATE TABLE t AS SELECT 7 AS seven;")
	require.NoError(t, err)
	const freeze = " SET default_transaction_read_only = on; "
	_, err = s.SQL(t.Context(), "postgres", "ALTER DATABASE frozen"+freeze+"ALTER ROLE postgres"+freeze)
	require.NoError(t, err)
	_, err = d.do(pgdump.Dump, at(s), "p", "frozen")
	require.NoError(t, err)
	const thaw = "SET default_transaction_read_only = off; "
	_, err = s.SQL(t.Context(), "postgres", thaw+"DROP DATABASE frozen;")
	require.NoError(t, err)
	for range 2 {
		_, err = d.do(pgdump.Restore, at(s), "p")
		require.NoError(t, err)
		got, err := s.SQL(t.Context(), "frozen", "SELECT seven FROM t; SHOW default_transaction_read_only;")
		require.NoError(t, err)
		require.Equal(t, "7\non", got)
		_, err = s.SQL(t.Context(), "frozen", thaw+"DROP TABLE t;") // the second goes into a database that was there
		require.NoError(t, err)
	}
}
