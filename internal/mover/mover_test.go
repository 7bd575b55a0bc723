package mover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository"
)

func TestRepliesKeepWhatErrorsAre(t *testing.T) {
	t.Parallel()
	var got []Reply
	f := &Follower{Reply: func(r Reply) { got = append(got, r) }}
	for _, err := range []error{
		fmt.Errorf("open: %w: %w", repository.ErrNoRepository, location.ErrProfile), errors.New(strings.Repeat("größe\n", 2000)), ErrNothing,
	} {
		line := ReplyOf(Result{}, err).Line()
		require.LessOrEqual(t, len(line), MaxReply)
		_, _ = f.Write(line)
	}
	_, _ = f.Write(ReplyOf(Result{Snapshot: "s", Counted: true, Files: 1}, nil).Line())
	require.Len(t, got, 4)
	require.ErrorIs(t, got[0].Fault, repository.ErrNoRepository)
	require.ErrorIs(t, got[0].Fault, location.ErrProfile)
	require.NotErrorIs(t, got[0].Fault, repository.ErrPassword)
	require.True(t, strings.HasPrefix(got[1].Fault.Message, "größe\n"))
	require.True(t, strings.HasSuffix(got[1].Fault.Message, "…"))
	require.ErrorIs(t, got[2].Fault, ErrNothing)
	require.Equal(t, Reply{Result: Result{Snapshot: "s", Counted: true, Files: 1}}, got[3])
}

func TestFollowerSortsLines(t *testing.T) {
	t.Parallel()
	text := Hello + "\r\nwords\n" + string(Progress{Bytes: 1, Total: 2}.Line()) + "\n" + replyMarker + "{}\n" + progressMarker + `{"bytes":-1}` + "\n" +
		strings.Repeat("x", 2*maxLine) + "\n" + replyMarker + `{"result":{"snapshot":"cut"}}`
	for size := 1; size < 50; size += 7 {
		var hellos int
		var progress []Progress
		var others []string
		f := &Follower{
			Hello: func() { hellos++ }, Progress: func(p Progress) { progress = append(progress, p) }, Reply: func(Reply) { t.Error("there is no whole reply") },
			Other: func(line []byte) { others = append(others, string(line)) },
		}
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			_, _ = f.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		require.NoError(t, f.Close())
		require.Equal(t, 1, hellos)
		require.Equal(t, []Progress{{Bytes: 1, Total: 2}}, progress)
		require.Equal(t, []string{"words", replyMarker + "{}", progressMarker + `{"bytes":-1}`, strings.Repeat("x", maxLine)}, others)
	}
}

func FuzzFollower(f *testing.F) {
	f.Add([]byte(Hello + "\n" + string(ReplyOf(Result{Snapshot: "s"}, nil).Line())))
	f.Fuzz(func(_ *testing.T, text []byte) {
		w := &Follower{Hello: func() {}, Reply: func(Reply) {}, Progress: func(Progress) {}, Other: func([]byte) {}}
		_, _ = w.Write(text)
		_ = w.Close()
	})
}

func TestRequests(t *testing.T) {
	t.Parallel()
	good := Request{Op: Restore, Profile: []byte(`{"a":1}`), Password: "canary", Snapshot: "s", Target: "/", Mounts: []string{"/data"}}
	text, err := good.Text()
	require.NoError(t, err)
	require.NotContains(t, string(text), "\n")
	again, err := ParseRequest(text)
	require.NoError(t, err)
	require.Equal(t, &good, again)
	for _, shown := range []string{fmt.Sprint(good), fmt.Sprintf("%+v %#v %s", good, good, &good)} {
		require.NotContains(t, shown, "canary")
	}
	for name, change := range map[string]func(r *Request){
		"operation": func(r *Request) { r.Op = "format" },
		"no mounts": func(r *Request) { r.Mounts = nil },
		"which":     func(r *Request) { r.Snapshot = "" },
		"target":    func(r *Request) { r.Target = "here" },
		"mount":     func(r *Request) { r.Mounts = []string{"/a", "b"} },
		"folder":    func(r *Request) { *r = Request{Op: Backup, Tag: "t", Folder: "x"} },
		"tag":       func(r *Request) { *r = Request{Op: Backup, Folder: "/x"} },
	} {
		bad := good
		change(&bad)
		text, err := bad.Text()
		require.NoError(t, err)
		_, err = ParseRequest(text)
		require.ErrorIs(t, err, errRequest, name)
	}
	_, err = ParseRequest([]byte(`{"op": canary`))
	require.ErrorIs(t, err, errRequest)
	require.NotContains(t, err.Error(), "canary")
}

func TestBetween(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ inside, target, mount, from, to string }{
		{"", "/", "/var/log", "/var/log", "/var/log"},
		{"", "/var/log", "/var/log", "/", "/var/log"},
		{"/var/log", "/data", "/data", "/var/log", "/data"},
		{"/var/log", "/data", "/data/deep", "/var/log/deep", "/data/deep"},
		{"/x", "/data/deep/er", "/data", "/x", "/data/deep/er"},
		{"", "/data2", "/data", "", ""},
		{"", "/elsewhere", "/data", "", ""},
	} {
		from, to, ok := between(c.inside, c.target, c.mount)
		require.Equal(t, c.from != "", ok, c)
		require.Equal(t, []string{c.from, c.to}, []string{from, to}, c)
	}
}

// TestFolderIn follows no link out of the volume.
func TestFolderIn(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	volume, outside := filepath.Join(dir, "volume"), filepath.Join(dir, "outside")
	require.NoError(t, os.Mkdir(volume, 0o750))
	require.NoError(t, os.Mkdir(outside, 0o750))
	require.NoError(t, os.Symlink("../outside", filepath.Join(volume, "out")))
	require.NoError(t, os.Symlink(outside, filepath.Join(volume, "far")))
	got, err := folderIn(volume, "a/b")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(volume, "a/b"), got)
	for _, name := range []string{"out", "out/x", "far", "far/x", "../outside/x"} {
		_, err := folderIn(volume, name)
		require.Error(t, err, name)
	}
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, entries)
}
