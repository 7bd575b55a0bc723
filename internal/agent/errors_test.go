package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUsage(t *testing.T) {
	p := profileOf(t, t.TempDir())
	folder := t.TempDir()
	noProfile := "no profile: give --profile or --location, or let DAVIT_PROFILE_FILE name a file"
	for name, tc := range map[string]struct {
		args []string
		err  string
	}{
		"nothing":                {nil, "kando: needs a command: location, output"},
		"unknown":                {[]string{"chronicle"}, `kando: unknown command "chronicle", want one of: location, output`},
		"location alone":         {[]string{"location"}, "kando location: needs a command: cat, check, delete, ls, pull, push"},
		"unknown below":          {[]string{"location", "list"}, `kando location: unknown command "list", want one of: cat, check, delete, ls, pull, push`},
		"a secret as command":    {[]string{"location", `"canary"}`}, `kando location: unknown command "[not shown]"`},
		"no path":                {[]string{"location", "push", "-p", p, "-"}, "kando location push: --path is missing or empty"},
		"empty path":             {[]string{"location", "delete", "-p", p, "-s", ""}, "--path is missing or empty"},
		"path of dots":           {[]string{"location", "delete", "-p", p, "-s", "/../"}, "leads out of the location's prefix"},
		"path of slashes":        {[]string{"location", "delete", "-p", p, "-s", "//"}, "it is empty"},
		"no profile":             {[]string{"location", "push", "-s", "a", "-"}, noProfile},
		"bad profile":            {[]string{"location", "push", "-p", "{canary", "-s", "a", "-"}, "invalid profile: it is not JSON"},
		"a file as profile":      {[]string{"location", "push", "-p", "canary.json", "-s", "a", "-"}, "--profile takes the JSON itself; a file is named by DAVIT_PROFILE_FILE"},
		"null profile":           {[]string{"location", "push", "-p", "null", "-s", "a", "-"}, "the action was started without a profile"},
		"store not built in":     {[]string{"location", "push", "-p", `{"Location":{"type":"gcs","bucket":"b"}}`, "-s", "a", "-"}, `location type "gcs" is not built into this program, which knows: file`},
		"no source":              {[]string{"location", "push", "-p", p, "-s", "a"}, "takes 1 arguments (a file, or - for standard input), got 0"},
		"a profile fallen apart": {[]string{"location", "push", "-s", "a", "-p", "{", "canary", "canary"}, "takes 1 arguments"},
		"unknown flag":           {[]string{"location", "push", "--canary=canary", "-"}, `unknown flag "canary"`},
		"unknown short flag":     {[]string{"location", "push", "-X{canary}", "-"}, `unknown flag "X"`},
		"flag without value":     {[]string{"location", "push", "-", "--path"}, `flag "path" needs a value`},
		"bad bool":               {[]string{"location", "push", "-", "--allow-empty=canary"}, "the value of flag --allow-empty cannot be used"},
		"a folder as source":     {[]string{"location", "push", "-p", p, "-s", "a", folder}, "is a folder: pipe an archive of it"},
		"output alone":           {[]string{"output"}, "kando output: takes 2 arguments (a key and a value), got 0"},
		"output without key":     {[]string{"output", "", "v"}, "the key must be of letters, digits and underscores, at least one"},
		"output with bad key":    {[]string{"output", "a-b", "canary"}, "the key must be of letters, digits and underscores, at least one"},
		"output of a negative":   {[]string{"output", "k", "-1"}, `unknown flag "1"; if it is the value, put -- before it`},
		"output of bytes":        {[]string{"output", "k", "canary\xff"}, "the value of k is not UTF-8: encode it, for example with base64"},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, map[string]string{"DAVIT_PROFILE_FILE": filepath.Join(folder, "none")}, strings.NewReader("data"), tc.args...)
			require.Equal(t, 2, got.code)
			require.Contains(t, got.err, tc.err)
			require.Empty(t, got.out)
			require.Equal(t, 1, strings.Count(got.err, "\n"), "one line")
			if name != "unknown flag" { // the name of a flag is shown
				require.NotContains(t, got.err, "canary")
			}
		})
	}
}

func TestOutput(t *testing.T) {
	for value, want := range map[string]string{
		"v":         `###Phase-output###: {"key":"k_1","value":"v"}` + "\n",
		"":          `###Phase-output###: {"key":"k_1","value":""}` + "\n",
		"a\"b\nc":   `###Phase-output###: {"key":"k_1","value":"a\"b\nc"}` + "\n",
		"<&>":       `###Phase-output###: {"key":"k_1","value":"\u003c\u0026\u003e"}` + "\n",
		"-v x -p":   `###Phase-output###: {"key":"k_1","value":"-v x -p"}` + "\n",
		"{\"a\":1}": `###Phase-output###: {"key":"k_1","value":"{\"a\":1}"}` + "\n",
	} {
		got := call(t, nil, nil, "output", "--", "k_1", value)
		require.Equal(t, result{out: want}, got)
	}
	require.Equal(t, result{out: "###Phase-output###: {\"key\":\"k\",\"value\":\"v\"}\n"}, call(t, nil, nil, "output", "k", "v"))
}

func TestEmptyStream(t *testing.T) {
	dir := t.TempDir()
	p := profileOf(t, dir)
	got := call(t, nil, strings.NewReader(""), "location", "push", "-p", p, "-s", "a", "-")
	require.Equal(t, 1, got.code)
	require.Contains(t, got.err, "the stream is empty, which a failed dump in front of the pipe looks like")
	require.Empty(t, tree(t, dir))
	require.Equal(t, result{}, call(t, nil, strings.NewReader(""), "location", "push", "-p", p, "-s", "a", "-", "--allow-empty"))
	require.Equal(t, result{}, call(t, nil, nil, "location", "pull", "-p", p, "-s", "a", "-"))
}

func TestProfileFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(t.TempDir(), "profile.json")
	require.NoError(t, os.WriteFile(name, []byte(profileOf(t, dir)), 0o600))
	env := map[string]string{"DAVIT_PROFILE_FILE": name}
	require.Equal(t, result{}, call(t, env, strings.NewReader("data"), "location", "push", "-s", "a", "-"))
	require.Equal(t, result{out: "data"}, call(t, env, nil, "location", "pull", "-s", "a", "-"))
}

func TestNotFoundAndDamaged(t *testing.T) {
	dir := t.TempDir()
	p := profileOf(t, dir)
	target := filepath.Join(t.TempDir(), "target")
	require.NoError(t, os.WriteFile(target, []byte("kept"), 0o600))

	got := call(t, nil, nil, "location", "pull", "-p", p, "-s", "a", target)
	require.Equal(t, 3, got.code)
	require.Contains(t, got.err, `"pre/a": not found in the location`)

	require.Equal(t, result{}, call(t, nil, strings.NewReader("some data"), "location", "push", "-p", p, "-s", "a", "-"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pre/a"), []byte("some dXta"), 0o600))
	for _, to := range []string{target, "-"} {
		got = call(t, nil, nil, "location", "pull", "-p", p, "-s", "a", to)
		require.Equal(t, 4, got.code)
		require.Contains(t, got.err, "the object is not what was written")
	}
	require.Equal(t, []string{"target"}, tree(t, filepath.Dir(target)))
	content, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, "kept", string(content))
}

func TestPullTargets(t *testing.T) {
	dir := t.TempDir()
	p := profileOf(t, dir)
	require.Equal(t, result{}, call(t, nil, strings.NewReader("data"), "location", "push", "-p", p, "-s", "a", "-"))
	folder := t.TempDir()

	got := call(t, nil, nil, "location", "pull", "-p", p, "-s", "a", folder)
	require.Equal(t, 2, got.code)
	require.Contains(t, got.err, "is a folder: name a file")

	got = call(t, nil, nil, "location", "pull", "-p", p, "-s", "a", filepath.Join(folder, "no", "such"))
	require.Equal(t, 1, got.code)
	require.Contains(t, got.err, "no such file or directory")

	require.NoError(t, os.WriteFile(filepath.Join(folder, "real"), []byte("old"), 0o600))
	require.NoError(t, os.Symlink("real", filepath.Join(folder, "link")))
	require.Equal(t, result{}, call(t, nil, nil, "location", "pull", "-p", p, "-s", "a", filepath.Join(folder, "link")))
	content, err := os.ReadFile(filepath.Join(folder, "real"))
	require.NoError(t, err)
	require.Equal(t, "data", string(content), "the file that the link names")

	require.Equal(t, result{}, call(t, nil, nil, "location", "pull", "-p", p, "-s", "a", os.DevNull))
	info, err := os.Stat(os.DevNull)
	require.NoError(t, err)
	require.False(t, info.Mode().IsRegular(), "a device stays one")
}

func TestProgress(t *testing.T) {
	p := profileOf(t, t.TempDir())
	source := filepath.Join(t.TempDir(), "source")
	require.NoError(t, os.WriteFile(source, []byte("12345"), 0o600))
	env := map[string]string{"DAVIT_PROGRESS": "1"}
	known := result{err: "###Phase-progress###: {\"bytes\":5,\"total\":5}\n"}
	require.Equal(t, known, call(t, env, nil, "location", "push", "-p", p, "-s", "a", source))
	require.Equal(t, result{err: "###Phase-progress###: {\"bytes\":5}\n"}, call(t, env, strings.NewReader("12345"), "location", "push", "-p", p, "-s", "a", "-"))
	known.out = "12345"
	require.Equal(t, known, call(t, env, nil, "location", "pull", "-p", p, "-s", "a", "-"))
	require.Equal(t, result{out: "12345"}, call(t, nil, nil, "location", "pull", "-p", p, "-s", "a", "-"))
}
