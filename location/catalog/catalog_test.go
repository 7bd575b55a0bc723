package catalog

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

var update = flag.Bool("update", false, "rewrite the golden manifest")

const document = `{"apiVersion":"cr.kanister.io/v1alpha1","kind":"Blueprint","metadata":{"name":"notes"},"actions":{"backup":{"phases":[{"func":"KubeExec","name":"a","args":{"x":"a<b & \u2028 c","f":1.0}}]}}}`

func manifest() *Manifest {
	return &Manifest{
		Davit: "v1", Run: "backup-1x2y", Action: "backup",
		Started:   time.Date(2026, 11, 21, 13, 5, 6, 789, time.UTC),
		Ended:     time.Date(2026, 11, 21, 13, 6, 0, 0, time.UTC),
		Subject:   Object{Kind: "StatefulSet", Namespace: "shop", Name: "db"},
		Profile:   &Object{Kind: "Profile", Namespace: "shop", Name: "backups"},
		Options:   map[string]string{"plain": "yes"},
		Phases:    []Phase{{Name: "a", Func: "KubeExec", Version: "v0.0.0", State: "complete"}},
		Artifacts: map[string]Artifact{"dump": {KeyValue: map[string]string{"path": "db/1.tar", "size": "3"}}, "copy": {KopiaSnapshot: "abc"}},
		Withheld:  []string{"options.token"},
		Blueprint: Blueprint{Name: "notes", Document: json.RawMessage(document)},
	}
}

func memory(t *testing.T) *location.Bucket {
	b := location.New(memblob.OpenBucket(nil), &location.Options{Prefix: "some/where"})
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func write(t *testing.T, b *location.Bucket, key, content string) {
	require.NoError(t, b.Objects().Put(t.Context(), key, []byte(content), false))
}

func stored(t *testing.T, b *location.Bucket, id string) string {
	data, err := b.Objects().ReadAll(t.Context(), "davit-catalog/"+id+".json", 1<<20)
	require.NoError(t, err)
	return string(data)
}

// What is stored stays as it is: other versions of the program read it.
func TestGolden(t *testing.T) {
	b := memory(t)
	_, err := b.Write(t.Context(), "db/1.tar", strings.NewReader("abc"), nil)
	require.NoError(t, err)
	m := manifest()
	require.NoError(t, m.Describe(t.Context(), b))
	require.NoError(t, Save(t.Context(), b, m))
	const id = "20261121T130506Z-backup-1x2y-0"
	got := stored(t, b, id)
	const golden = "testdata/manifest.json"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)

	read, err := Load(t.Context(), b, id)
	require.NoError(t, err)
	require.Equal(t, m, read)
	require.Equal(t, digest([]byte(document)), read.Blueprint.SHA256, "the digest is that of the canonical form")
	require.Equal(t, []Content{{Artifact: "dump", Key: "path", Path: "db/1.tar", Size: 3, SHA256: digest([]byte("abc"))}}, read.Contents)
	require.NoError(t, read.Verify(t.Context(), b))
	_, err = b.Write(t.Context(), "db/1.tar", strings.NewReader("abd"), nil)
	require.NoError(t, err)
	require.ErrorIs(t, read.Verify(t.Context(), b), location.ErrCorrupt)
	_, err = b.Delete(t.Context(), "db/1.tar")
	require.NoError(t, err)
	require.ErrorIs(t, read.Verify(t.Context(), b), location.ErrNotFound)
}

// A manifest is written once: the same again is fine, also from another version, and another is refused.
func TestSaveAgain(t *testing.T) {
	b := memory(t)
	require.NoError(t, Save(t.Context(), b, manifest()))
	first := stored(t, b, manifest().ID())
	require.NoError(t, Save(t.Context(), b, manifest()))
	later := manifest()
	later.Davit = "v2"
	require.NoError(t, Save(t.Context(), b, later))
	other := manifest()
	other.Artifacts = nil
	require.ErrorIs(t, Save(t.Context(), b, other), ErrConflict)
	require.Equal(t, first, stored(t, b, manifest().ID()))
	write(t, b, "davit-catalog/"+manifest().ID()+".json", "garbage")
	require.ErrorIs(t, Save(t.Context(), b, manifest()), ErrConflict)
}

func TestSaveRefuses(t *testing.T) {
	b := memory(t)
	for name, change := range map[string]func(*Manifest){
		"no run":       func(m *Manifest) { m.Run = "" },
		"a path":       func(m *Manifest) { m.Run = "../x" },
		"no action":    func(m *Manifest) { m.Action = "" },
		"no blueprint": func(m *Manifest) { m.Blueprint.Document = nil },
		"no JSON":      func(m *Manifest) { m.Blueprint.Document = []byte("kind: Blueprint") },
		"too large":    func(m *Manifest) { m.Options["x"] = strings.Repeat("x", maxManifest) },
		"far year":     func(m *Manifest) { m.Started = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		t.Run(name, func(t *testing.T) {
			m := manifest()
			change(m)
			require.ErrorIs(t, Save(t.Context(), b, m), ErrInvalid)
		})
	}
	for range List(t.Context(), b) {
		t.Error("something is stored")
	}
}

// The location is hostile: what was changed there is refused.
func TestLoadRefuses(t *testing.T) {
	b := memory(t)
	require.NoError(t, Save(t.Context(), b, manifest()))
	id := manifest().ID()
	good := stored(t, b, id)
	for name, bad := range map[string]string{
		"another blueprint": strings.Replace(good, "a<b", "a>b", 1),
		"another digest":    strings.Replace(good, `"sha256": "`, `"sha256": "0`, 1),
		"another run":       strings.Replace(good, `"run": "backup-1x2y"`, `"run": "backup-1x2z"`, 1),
		"another time":      strings.Replace(good, "2026-11-21T13:05:06", "2026-11-21T13:05:07", 1),
		"a later format":    strings.Replace(good, `"format": 1`, `"format": 2`, 1),
		"no format":         strings.Replace(good, `"format": 1,`, ``, 1),
		"cut":               good[:len(good)/2],
		"empty":             "",
		"a list":            "[]",
		"no blueprint":      `{"format":1}`,
		"no text":           good + "\xff",
		"a negative size":   strings.Replace(good, `"withheld"`, `"contents":[{"size":-1}],"withheld"`, 1),
		"deep":              strings.Repeat(`{"a":`, 20000),
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, good, bad)
			write(t, b, "davit-catalog/"+id+".json", bad)
			_, err := Load(t.Context(), b, id)
			require.ErrorIs(t, err, ErrInvalid)
			require.Less(t, len(err.Error()), 1000)
		})
	}
	write(t, b, "davit-catalog/"+id+".json", strings.Repeat(" ", maxManifest)+good)
	_, err := Load(t.Context(), b, id)
	require.ErrorIs(t, err, location.ErrCorrupt)
	for _, id := range []string{"", "x", "../" + id, "20261121T130506Z-none-0"} {
		_, err := Load(t.Context(), b, id)
		require.ErrorIs(t, err, ErrNotFound)
	}
}

func TestFind(t *testing.T) {
	b := memory(t)
	save := func(run string, index, second int) string {
		m := manifest()
		m.Run, m.Index, m.Started = run, index, m.Started.Add(time.Duration(second)*time.Second)
		require.NoError(t, Save(t.Context(), b, m))
		return m.ID()
	}
	first := save("nightly", 0, 1)
	again := save("nightly", 0, 2)
	one, two := save("both", 0, 3), save("both", 1, 3)
	long := save("nightly-2", 0, 4)
	for _, name := range []string{"notes.txt", "20261321T130506Z-x-0.json", "20261121T130506Z-x-00.json", "20261121T130506Z-X-0.json", "a/b.json"} {
		write(t, b, "davit-catalog/"+name, "")
	}
	var all []string
	for e, err := range List(t.Context(), b) {
		require.NoError(t, err)
		all = append(all, e.ID)
	}
	require.Equal(t, []string{first, again, one, two, long}, all)
	for text, want := range map[string]string{first: first, "nightly-2": long, "nightly-": long, "both-1": two, "20261121T130508Z": again} {
		e, err := Find(t.Context(), b, text)
		require.NoError(t, err, text)
		require.Equal(t, want, e.ID, text)
	}
	for _, text := range []string{"nightly", "both", "2026", "n", "nightly-0"} {
		_, err := Find(t.Context(), b, text)
		require.ErrorIs(t, err, ErrAmbiguous, text)
	}
	_, err := Find(t.Context(), b, "both")
	require.ErrorContains(t, err, one+", "+two)
	for _, text := range []string{"", "none", "davit-catalog"} {
		_, err := Find(t.Context(), b, text)
		require.ErrorIs(t, err, ErrNotFound, text)
	}
}

// Values that are no paths of objects are no contents, whatever they look like.
func TestDescribe(t *testing.T) {
	opened, err := file.Open(t.Context(), &location.Location{Type: location.TypeFile, Bucket: filepath.Join(t.TempDir(), "b")})
	require.NoError(t, err)
	b := location.New(opened, nil)
	defer b.Close()
	_, err = b.Write(t.Context(), "a/file", strings.NewReader("abc"), nil)
	require.NoError(t, err)
	m := manifest()
	m.Artifacts = map[string]Artifact{"x": {KeyValue: map[string]string{
		"1": "/a/file", "2": "a", "3": "a/file/below", "4": "../a/file", "5": "", "6": "two\nlines", "7": strings.Repeat("x", 5000), "8": ".davit/sum/a/file.json", "9": "a/file/",
	}}}
	require.NoError(t, m.Describe(t.Context(), b))
	var keys []string
	for _, c := range m.Contents {
		keys = append(keys, c.Key)
	}
	require.Equal(t, []string{"1", "9"}, keys)
}

func FuzzParse(f *testing.F) {
	data, err := manifest().seal()
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`{"format":1,"blueprint":{"document":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parse(manifest().ID(), data)
		if err != nil {
			require.ErrorIs(t, err, ErrInvalid)
			return
		}
		require.Equal(t, manifest().ID(), m.ID())
		require.Equal(t, m.Blueprint.SHA256, digest(m.Blueprint.Document))
		require.True(t, m.sameAs(m))
	})
}
