package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/require"
)

func TestList(t *testing.T) {
	dir := t.TempDir()
	p := profileOf(t, dir)
	require.Equal(t, result{}, call(t, nil, nil, "location", "ls", "-p", profileOf(t, t.TempDir())), "none is no error")
	for _, key := range []string{"db/1/a", "db/1/b", "db/10", "other"} {
		require.Equal(t, result{}, call(t, nil, strings.NewReader("12345"), "location", "push", "-p", p, "-s", key, "-"))
	}
	require.Equal(t, result{out: "db/1/a\ndb/1/b\ndb/10\nother\n"}, call(t, nil, nil, "location", "ls", "-p", p))
	require.Equal(t, result{out: "db/1/a\ndb/1/b\n"}, call(t, nil, nil, "location", "ls", "-p", p, "-s", "/db/1"))
	long := call(t, nil, nil, "location", "ls", "-p", p, "-s", "other", "--long")
	require.Regexp(t, `^5\t20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\tother\n$`, long.out)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "pre", "bad\x1b[31mname"), nil, 0o600))
	require.NotContains(t, call(t, nil, nil, "location", "ls", "-p", p).out, "\x1b", "a name is not what a terminal acts on")
}

func TestCat(t *testing.T) {
	p := profileOf(t, t.TempDir())
	require.Equal(t, result{}, call(t, nil, strings.NewReader("text"), "location", "push", "-p", p, "-s", "a", "-"))
	require.Equal(t, result{out: "text"}, call(t, nil, nil, "location", "cat", "-p", p, "-s", "a"))
	require.Equal(t, 3, call(t, nil, nil, "location", "cat", "-p", p, "-s", "b").code)
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	got := call(t, nil, nil, "location", "check", "-p", profileOf(t, dir), "-s", "below/this")
	require.Zero(t, got.code, got)
	require.Contains(t, got.out, `file location "`+dir+`", prefix "pre"`)
	for _, name := range []string{"list", "put", "get", "overwrite", "conditional create", "multipart", "read after write", "delete", "clock"} {
		require.Contains(t, got.out, "ok    "+name+" (")
	}
	require.Empty(t, tree(t, dir), "nothing is left")

	file := filepath.Join(t.TempDir(), "in the way")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	got = call(t, nil, nil, "location", "check", "--location", "file://"+filepath.Dir(file)+"?prefix=in%20the%20way/below")
	require.Equal(t, 1, got.code, got)
	require.Contains(t, got.out, "FAIL  put: write object")
	require.Contains(t, got.out, "      get: not tried")
	require.Contains(t, got.err, "the location is not fit for backups: ")
}

func TestLocationByURL(t *testing.T) {
	dir := t.TempDir()
	url := "file://" + dir + "?prefix=x"
	require.Equal(t, result{}, call(t, nil, strings.NewReader("text"), "location", "push", "--location", url, "-s", "a", "-"))
	require.Equal(t, result{out: "text"}, call(t, nil, nil, "location", "pull", "--location", url, "-s", "a", "-"))
	require.Contains(t, tree(t, dir), "x/a")
	got := call(t, nil, nil, "location", "ls", "--location", url, "-p", profileOf(t, dir))
	require.Equal(t, result{code: 2, err: "kando location ls: give --profile or --location, not both\n"}, got)
	require.Equal(t, 2, call(t, nil, nil, "location", "ls", "--location", "s3://key:secret@bucket").code)
	require.Equal(t, 2, call(t, nil, nil, "location", "ls", "--location", "s3://bucket").code, "this build has no S3")
}

func TestEncryptionAndCompression(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	keys := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(keys, []byte("# created for a test\n\n"+id.String()+"\n"), 0o600))
	dir := t.TempDir()
	p := profileOf(t, dir)
	text := strings.Repeat("the same again, ", 10_000)
	push := func(path string, flags ...string) result {
		return call(t, nil, strings.NewReader(text), append([]string{"location", "push", "-p", p, "-s", path, "-"}, flags...)...)
	}
	cat := func(path string, flags ...string) result {
		return call(t, nil, nil, append([]string{"location", "cat", "-p", p, "-s", path}, flags...)...)
	}

	require.Equal(t, result{}, push("small", "--compress"))
	info, err := os.Stat(filepath.Join(dir, "pre", "small"))
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(len(text)/10))
	require.Equal(t, result{out: text}, cat("small"), "it is known by itself")

	require.Equal(t, result{}, push("secret", "--compress", "--recipient", id.Recipient().String()))
	stored, err := os.ReadFile(filepath.Join(dir, "pre", "secret"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(stored), "age-encryption.org/v1"))
	require.Equal(t, result{out: text}, cat("secret", "--identity-file", keys))
	got := cat("secret")
	require.Equal(t, 1, got.code)
	require.Empty(t, got.out)
	require.Contains(t, got.err, `was written with "age", which this location is not set up for`)

	require.Equal(t, result{}, push("plain"))
	got = cat("plain", "--identity-file", keys)
	require.Equal(t, 1, got.code)
	require.Empty(t, got.out)
	require.Equal(t, result{out: text}, cat("plain", "--identity-file", keys, "--accept-plain"))

	// Wrong use, before anything is touched, and without the key in the text.
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, []byte("# nothing\n"), 0o600))
	for name, flags := range map[string][]string{
		"no such file":         {"--identity-file", empty + "x"},
		"no key":               {"--identity-file", empty},
		"a secret key in argv": {"--recipient", id.String()},
		"no recipient":         {"--recipient", "secret words"},
		"nothing to accept":    {"--accept-plain"},
	} {
		got := push("never", flags...)
		require.Equal(t, 2, got.code, "%s: %v", name, got)
		require.NotContains(t, got.err, id.String()[20:], name)
		require.NotContains(t, got.err, "secret words", name)
	}
	require.NotContains(t, tree(t, dir), "pre/never")
}
