//go:build e2e

package pgdump_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/pgdump"
	"github.com/davit-project/davit/internal/pgdump/pgserver"
	"github.com/davit-project/davit/internal/testcluster/image"
)

// newer unpacks a newer PostgreSQL than that of the machines that run the tests, with all it needs.
func newer(t *testing.T) string {
	t.Helper()
	base, err := os.UserCacheDir()
	require.NoError(t, err)
	root := t.TempDir()
	require.NoError(t, image.Unpack(t.Context(), image.NewerPostgres(), filepath.Join(base, image.CacheName), root))
	for at := root; len(at) > len(filepath.Clean(os.TempDir())); at = filepath.Dir(at) { // the server is another user
		if info, err := os.Stat(at); err == nil && info.Mode().Perm()&0o001 == 0 {
			require.NoError(t, os.Chmod(at, info.Mode().Perm()|0o011))
		}
	}
	return root
}

// clients makes a folder with the client programs of an unpacked system, for PATH. They run with its libraries.
func clients(t *testing.T, root string) string {
	t.Helper()
	one := func(pattern string) string {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, found, pattern)
		return found[0]
	}
	loader, bin := one("usr/lib/*/ld-linux*"), one("usr/lib/postgresql/*/bin")
	dir := t.TempDir()
	for _, name := range []string{"psql", "pg_dump"} {
		text := fmt.Sprintf("#!/bin/sh\nexec '%s' --library-path '%s' '%s' \"$@\"\n", loader, filepath.Dir(loader), filepath.Join(bin, name))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700)) //nolint:gosec // it is a program
	}
	return dir
}

// version is the major version of a server.
func version(t *testing.T, s *pgserver.Server) string {
	t.Helper()
	got, err := s.SQL(t.Context(), "postgres", "SELECT current_setting('server_version_num')::int / 10000;")
	require.NoError(t, err)
	return got
}

// Dumps go to a newer server with the newer client programs, and what those write goes back into an older one with the older programs.
func TestVersions(t *testing.T) {
	root := newer(t)
	from, d := filled(t), newDepot(t)
	to, err := pgserver.New(t.Context(), &pgserver.Options{Root: root})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, to.Close()) })
	require.Greater(t, version(t, to), version(t, from), "the suite is too old to test something else")
	want := state(t, from)
	others(t, to)

	old := os.Getenv("PATH")
	t.Setenv("PATH", clients(t, root)+":"+old)
	_, err = d.do(pgdump.Dump, at(from), "newer")
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(d.dir, "newer"))
	require.NoError(t, err)
	require.Contains(t, string(unpack(t, text)), "SET transaction_timeout = 0;", "the dump is not the newer program's")
	require.Contains(t, string(unpack(t, text)), "\\restrict ")
	_, err = d.do(pgdump.Restore, at(to), "newer")
	require.NoError(t, err)
	got := state(t, to)
	got["shop"] = strings.ReplaceAll(got["shop"], "app=arwdDxtm/", "app=arwdDxt/") // its owners have one right more
	require.Equal(t, want, got)
	_, err = d.do(pgdump.Dump, at(to), "newest")
	require.NoError(t, err)

	t.Setenv("PATH", old)
	_, err = d.do(pgdump.Dump, at(to), "too new")
	require.ErrorContains(t, err, "server version mismatch")
	for _, path := range []string{"newer", "newest"} {
		back := start(t)
		others(t, back)
		d.said = nil
		_, err = d.do(pgdump.Restore, at(back), path)
		require.NoError(t, err)
		require.Equal(t, want, state(t, back))
		require.Contains(t, strings.Join(d.said, "\n"), "setting transaction_timeout of the dump is not known to this server")
	}
}
