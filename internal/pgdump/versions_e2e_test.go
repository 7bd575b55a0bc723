//go:build e2e

package pgdump_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/pgdump"
	"github.com/davit-project/davit/internal/pgdump/pgserver"
)

// newer is a suite of Debian with a newer PostgreSQL than that of the machines that run the tests.
const newer = "trixie"

// debian unpacks packages of a suite, with all that they depend on, and returns the folder. They are from where this machine's own are from.
func debian(t *testing.T, suite string, packages ...string) string {
	t.Helper()
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).Output()
		require.NoError(t, err, "%s %q: %s", name, args, out)
		return string(out)
	}
	base, err := os.UserCacheDir()
	require.NoError(t, err)
	debs, dir := filepath.Join(base, "davit", "pgdump", suite), t.TempDir()
	for _, folder := range []string{filepath.Join(debs, "partial"), filepath.Join(dir, "lists", "partial")} {
		require.NoError(t, os.MkdirAll(folder, 0o700))
	}
	mirror := ""
	for line := range strings.Lines(run("apt-get", "indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "Debian" && words[1] == "main" && mirror == "" {
			mirror = words[2]
		}
	}
	require.NotEmpty(t, mirror, "this machine has no sources of Debian, or no lists of them: apt-get update")
	arch := strings.TrimSpace(run("dpkg", "--print-architecture"))
	status := ""
	for _, left := range []string{ // what only maintainer scripts use, languages, and the compiler of queries
		"adduser", "debconf", "dpkg", "init-system-helpers", "passwd", "sensible-utils", "ucf", "usrmerge", "perl", "perl-base", "libjson-perl", "locales", "ssl-cert", "tzdata", "netbase",
		"postgresql-common", "postgresql-client-common", "libllvm19",
	} {
		status += fmt.Sprintf("Package: %s\nStatus: install ok installed\nVersion: 9999:1\nArchitecture: %s\nMulti-Arch: allowed\nMaintainer: none\nDescription: left out\n\n", left, arch)
	}
	put := func(name, text string) string {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	apt := func(args ...string) string {
		t.Helper()
		return run("apt-get", append([]string{
			"-q", "-y", "--no-install-recommends", "-o", "Dir::Etc::sourcelist=" + put("sources.list", "deb "+mirror+" "+suite+" main\n"), "-o", "Dir::Etc::sourceparts=/dev/null",
			"-o", "Dir::State::lists=" + filepath.Join(dir, "lists"), "-o", "Dir::State::status=" + put("status", status), "-o", "Dir::Cache=" + dir, "-o", "Dir::Cache::archives=" + debs,
			"-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=3", "-o", "APT::Update::Post-Invoke::=true",
		}, args...)...)
	}
	apt("update")
	apt(append([]string{"--download-only", "install"}, packages...)...)
	root := filepath.Join(dir, "root")
	for _, folder := range []string{"bin", "lib", "lib64", "sbin"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, "usr", folder), 0o755))
		require.NoError(t, os.Symlink(filepath.Join("usr", folder), filepath.Join(root, folder)))
	}
	for line := range strings.Lines(apt(append([]string{"--print-uris", "-o", "Dir::Cache::archives=" + filepath.Join(dir, "none"), "install"}, packages...)...)) {
		if words := strings.Fields(line); len(words) > 2 && strings.HasPrefix(line, "'") {
			run("dpkg-deb", "--extract", filepath.Join(debs, words[1]), root)
		}
	}
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
	root := debian(t, newer, "postgresql", "dash", "libc-bin")
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
