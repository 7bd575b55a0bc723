package pgdump

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Without the programs, or with a psql that would run a dump's commands, nothing is touched.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	req := &Request{Op: Restore, Path: "p", Profile: json.RawMessage("{}"), Server: Server{Host: "127.0.0.1", Port: 1, User: "u", Password: "canary"}}
	_, err := Do(t.Context(), req, Env{})
	require.ErrorContains(t, err, "must have PostgreSQL's client programs")

	old := "#!/bin/sh\necho 'psql (PostgreSQL) 15.13'\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "psql"), []byte(old), 0o700)) //nolint:gosec // it is a program
	s, release, err := connectTo(t.Context(), req.Server, nil)
	require.NoError(t, err)
	require.NoError(t, release())
	_, err = restore(t.Context(), s, nil, req, Env{})
	require.ErrorIs(t, err, errOldPsql)
	_, err = s.open(t.Context(), "postgres", false)
	require.ErrorIs(t, err, errOldPsql)
}

// What the programs are told is in their environment, and nothing of this process's steers them.
func TestEnvironment(t *testing.T) {
	t.Setenv("PGSERVICE", "evil")
	t.Setenv("PGHOSTADDR", "127.0.0.9")
	s := &server{Server: Server{Host: "db", User: "u", Password: "p", TLS: TLSVerify}, ca: "/ca"}
	env := s.env("a=b host=evil")
	require.Subset(t, env, []string{"PGHOST=db", "PGPORT=5432", "PGUSER=u", "PGPASSWORD=p", "PGDATABASE=a=b host=evil", "PGSSLMODE=verify-full", "PGSSLROOTCERT=/ca", "PGGSSENCMODE=disable"})
	for _, e := range env {
		require.NotContains(t, e, "PGSERVICE")
		require.NotContains(t, e, "PGHOSTADDR")
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	var each []string
	l := &lines{each: func(line string) bool {
		each = append(each, line)
		return true
	}}
	for range 20 {
		_, err := l.Write([]byte("one\r\n\ntw"))
		require.NoError(t, err)
		_, err = l.Write([]byte("o\n"))
		require.NoError(t, err)
	}
	_, err := l.Write(append(make([]byte, 5000), "\nlast"...))
	require.NoError(t, err)
	require.Len(t, each, 41)
	require.Contains(t, l.tail(), "; last")
	require.LessOrEqual(t, len(l.tail()), tailLines*(maxLine+2))
}
