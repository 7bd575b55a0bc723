//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// agent builds the program that pods find as kando.
func agent(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "davit")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/davit-project/davit/cmd/davit").CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

const streamed = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: stream}
actions:
  backup:
    outputArtifacts: {dump: {keyValue: {path: "{{ .Phases.push.Output.path }}"}}}
    phases:
    - func: KubeTask
      name: push
      args:
        namespace: app
        image: none
        command:
        - sh
        - -c
        - |
          (sleep 2; head -c {{ .Options.size }} /dev/zero) | kando location push --path big -
          code=$?
          [ $code = 0 ] && kando output path big
          exit $code
  restore:
    inputArtifactNames: [dump]
    phases:
    - func: KubeTask
      name: pull
      args:
        namespace: app
        image: none
        command:
        - sh
        - -c
        - |
          n=$(kando location pull --path {{ .ArtifactsIn.dump.KeyValue.path }} - | wc -c)
          [ "$n" = {{ .Options.size }} ] && kando output bytes $n
  delete:
    inputArtifactNames: [dump]
    phases:
    - func: KubeTask
      name: delete
      args:
        namespace: app
        image: none
        command: [kando, location, delete, --path, "{{ .ArtifactsIn.dump.KeyValue.path }}"]
`

// store is a cluster whose profile is a folder.
func store(t *testing.T, dir, folder string) *localcluster.Cluster {
	c, err := localcluster.Open(t.Context(), filepath.Join(dir, "cluster"), &localcluster.Options{Agent: agent(t), Grace: time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Down(context.Background())) })
	require.NoError(t, c.Apply(t.Context(), "p.yaml", []byte(`
apiVersion: v1
kind: ConfigMap
metadata: {name: subject, namespace: app}
---
apiVersion: cr.kanister.io/v1alpha1
kind: Profile
metadata: {name: store, namespace: app}
location: {type: file, bucket: "`+folder+`", prefix: backups}
`)))
	return c
}

func streamSpec(t *testing.T, id, action string, size int64, artifacts map[string]template.Artifact) *engine.Spec {
	f := blueprint.Parse("stream.yaml", []byte(streamed))
	require.NoError(t, f.Err())
	return &engine.Spec{ID: id, Blueprints: f.Blueprints, Actions: []blueprint.ActionSpec{{
		Name: action, Blueprint: "stream", Artifacts: artifacts, Options: map[string]string{"size": strconv.FormatInt(size, 10)},
		Object:  template.ObjectReference{APIVersion: "v1", Resource: "configmaps", Namespace: "app", Name: "subject"},
		Profile: &template.ObjectReference{Namespace: "app", Name: "store"},
	}}}
}

// TestStreamOf4GiB sends 4 GiB from a task through the agent to a folder and back, and measures the memory of the host and of the agent.
func TestStreamOf4GiB(t *testing.T) {
	const size, bound = 4 << 30, 64 << 20
	dir := t.TempDir()
	c := store(t, dir, filepath.Join(dir, "store"))
	var last function.Progress
	e, err := engineOn(c, engine.Options{Progress: func(_ engine.PhaseRef, p function.Progress) { last = p }})
	require.NoError(t, err)

	require.NoError(t, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600)) // begin with the present size, see proc(5)
	idle := peak("self")
	watch := watchAgent()
	begin := time.Now()
	res, err := e.Run(t.Context(), streamSpec(t, "stream-1", "backup", size, nil), &engine.MemoryJournal{})
	took := time.Since(begin)
	require.NoError(t, err)
	first, most := watch()
	host := peak("self") - idle
	require.Equal(t, int64(size), last.Bytes, "progress reaches the end")
	t.Logf("4 GiB in %s: host %d MiB above its idle %d MiB; agent %d MiB above its idle %d MiB", took.Round(time.Second),
		host>>20, idle>>20, (most-first)>>20, first>>20)
	require.Positive(t, first)
	require.LessOrEqual(t, host, int64(bound))
	require.LessOrEqual(t, most-first, int64(bound))

	artifacts, err := res.Artifacts(0)
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(dir, "store", "backups", "big"))
	require.NoError(t, err)
	require.Equal(t, int64(size), info.Size())
	res, err = e.Run(t.Context(), streamSpec(t, "stream-2", "restore", size, artifacts), &engine.MemoryJournal{})
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(size), res.Actions[0].Phases[0].Outputs["bytes"])
	_, err = e.Run(t.Context(), streamSpec(t, "stream-3", "delete", size, artifacts), &engine.MemoryJournal{})
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(dir, "store", "backups", "big"))
}

// peak is the largest memory a process ever had, in bytes.
func peak(pid string) int64 {
	data, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// watchAgent samples the agent's memory until the returned function is called; that tells the last sample before the stream begins and the largest.
func watchAgent() func() (idle, most int64) {
	stop, done := make(chan struct{}), make(chan struct{})
	var idle, most int64
	go func() {
		defer close(done)
		var seen time.Time
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			pids, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, path := range pids {
				line, _ := os.ReadFile(path)
				if !bytes.Contains(line, []byte("kando\x00location\x00push")) {
					continue
				}
				if seen.IsZero() {
					seen = time.Now()
				}
				n := peak(filepath.Base(filepath.Dir(path)))
				if time.Since(seen) < time.Second { // the stream begins after two
					idle = max(idle, n)
				}
				most = max(most, n)
			}
		}
	}()
	return func() (int64, int64) {
		close(stop)
		<-done
		return idle, most
	}
}

// tmpfs mounts a small file system.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput()
	require.NoError(t, err, "a small file system is needed here, and root to mount it: %s", out)
	t.Cleanup(func() { require.NoError(t, exec.CommandContext(context.Background(), "umount", "-l", dir).Run()) })
	return dir
}

// TestLocationFullOrReadOnly pushes to a folder that has no room, or cannot be written: the run fails with the reason, nothing is half there.
func TestLocationFullOrReadOnly(t *testing.T) {
	folder := tmpfs(t, "2m")
	c := store(t, t.TempDir(), folder)
	e, err := engineOn(c, engine.Options{})
	require.NoError(t, err)
	res, err := e.Run(t.Context(), streamSpec(t, "full-1", "backup", 8<<20, nil), &engine.MemoryJournal{})
	require.ErrorIs(t, err, engine.ErrFailed)
	require.ErrorContains(t, err, "no space left on device")
	require.Equal(t, engine.Failed, res.State)
	require.Empty(t, files(t, folder))

	_, err = e.Run(t.Context(), streamSpec(t, "full-2", "backup", 1<<20, nil), &engine.MemoryJournal{})
	require.NoError(t, err, "what fits is stored")
	require.NoError(t, exec.CommandContext(t.Context(), "mount", "-o", "remount,ro", folder).Run())
	before := files(t, folder)
	_, err = e.Run(t.Context(), streamSpec(t, "ro-1", "backup", 1<<20, nil), &engine.MemoryJournal{})
	require.ErrorContains(t, err, "read-only file system")
	require.Equal(t, before, files(t, folder))
}

func files(t *testing.T, dir string) []string {
	var all []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	}))
	return all
}

// TestJournalFull lets the journal run out of room in the middle of a run: the run stands still, and goes on when there is room.
func TestJournalFull(t *testing.T) {
	folder := tmpfs(t, "1m")
	p := newPlace(t)
	p.allow(commands...)
	path := filepath.Join(folder, "run.jsonl")
	e, err := engineOn(p.open(), engine.Options{Observe: func(ev engine.Event) {
		if ev.Seq == 2 { // fill what is left
			_ = os.WriteFile(filepath.Join(folder, "ballast"), make([]byte, 2<<20), 0o600)
		}
	}})
	require.NoError(t, err)
	j, err := engine.OpenFile(path)
	require.NoError(t, err)
	spec := p.spec(nil)
	spec.Actions[0].Options["pad"] = strings.Repeat("x", 20000) // more than what the last block has left
	_, err = e.Run(t.Context(), spec, j)
	require.ErrorIs(t, err, engine.ErrJournal)
	require.ErrorContains(t, err, "no space left on device")
	require.ErrorContains(t, err, "resume it once the journal can be written")
	require.NoError(t, j.Close())
	require.NoError(t, os.Remove(filepath.Join(folder, "ballast")))

	j, err = engine.OpenFile(path)
	require.NoError(t, err)
	defer j.Close()
	e, err = engineOn(p.open(), engine.Options{})
	require.NoError(t, err)
	res, err := e.Resume(t.Context(), j)
	require.NoError(t, err, "the pod that had ended is adopted, nothing is lost")
	require.Equal(t, engine.Complete, res.State)
	for _, c := range commands {
		require.Equal(t, 1, p.calls(c), c)
	}
	require.Empty(t, p.leftovers())
	_, err = engine.OpenFile(filepath.Join("/proc", "run.jsonl"))
	require.ErrorIs(t, err, engine.ErrJournal, "a folder that cannot be written")
}
