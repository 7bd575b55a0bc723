//go:build unix

package volume_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/session"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

// shell runs the commands of pods on this machine, each in a process group of its own, as the kubelet does.
type shell struct{ pods []string }

var _ cluster.Executor = (*shell)(nil)

func (s *shell) Exec(ctx context.Context, cmd cluster.Command) error {
	s.pods = append(s.pods, cmd.Pod+" "+cmd.Container)
	c := exec.CommandContext(ctx, cmd.Args[0], cmd.Args[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.Stdout, c.Stderr = cmd.Stdout, cmd.Stderr
	in, err := c.StdinPipe() // Run would wait for the end of its input
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(in, cmd.Stdin); _ = in.Close() }()
	err = c.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return &cluster.ExitError{What: cmd.Pod, Code: exit.ExitCode()}
	}
	return err
}

// database is what is held: while it is, there is a file, and its log tells how often it was.
type database struct {
	*place
	dir string
	// unheld are the snapshots that were asked for while it was not held.
	unheld []string
}

func newDatabase(t *testing.T, opts memsnap.Options) *database {
	d := &database{dir: t.TempDir()}
	opts.ReadyAfter = 50 * time.Millisecond
	d.place = newPlace(t, &opts)
	d.exec = &shell{}
	return d
}

func (d *database) deps() volume.Deps {
	return volume.Deps{Snapshots: snapshot.New(watched{d.Driver, d}, &snapshot.Options{Interval: 5 * time.Millisecond}), Exec: d.exec}
}

// watched notes what is asked for while the database is not held.
type watched struct {
	*memsnap.Driver
	d *database
}

func (w watched) Create(ctx context.Context, req snapshot.Request) error {
	if !w.d.held() {
		w.d.mu.Lock()
		w.d.unheld = append(w.d.unheld, req.Name)
		w.d.mu.Unlock()
	}
	return w.Driver.Create(ctx, req)
}

func (d *database) held() bool {
	_, err := os.Stat(filepath.Join(d.dir, "held"))
	return err == nil
}

// times is how often the database was held.
func (d *database) times() int {
	data, err := os.ReadFile(filepath.Join(d.dir, "log"))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	require.NoError(d.t, err)
	return strings.Count(string(data), "\n")
}

// args hold it by a command; what that writes at the end is the number of the hold.
func (d *database) args(more map[string]any) map[string]any {
	script := `trap 'rm -f "$0/held"' EXIT; touch "$0/held"; echo once >>"$0/log"; echo held; cat >/dev/null; echo "label $(wc -l <"$0/log")"`
	return map[string]any{"maxHold": "10m", "names": map[string]any{"data": "one", "wal": "two"},
		"hold": with(map[string]any{"command": []any{"sh", "-c", script, d.dir}, "container": "db"}, more)}
}

func (d *database) call() (*function.Call, *functiontest.Recorder) {
	call, rec := functiontest.NewCall("run/a/b")
	call.Subject = function.Subject{Kind: "StatefulSet", Namespace: app, Name: "db", Pods: []string{"db-0"},
		Claims: map[string]map[string]string{"db-0": {"data": "/data", "wal": "/wal"}}}
	return call, rec
}

func (d *database) exec1(ctx context.Context, call *function.Call, args map[string]any) (function.Outputs, error) {
	return lookup(d.t, volume.Functions(d.deps()), "CreateCSISnapshotGroup").Exec(ctx, call, args)
}

// TestHold takes snapshots of what the held pod mounts, while it is held.
func TestHold(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, memsnap.Options{CutAfter: 100 * time.Millisecond})
	call, rec := d.call()
	out, err := d.exec1(t.Context(), call, d.args(nil))
	require.NoError(t, err)
	require.Empty(t, d.unheld)
	require.False(t, d.held())
	require.Equal(t, []string{"app/one", "app/two"}, d.Snapshots())
	require.Equal(t, []string{"db-0 db"}, d.exec.(*shell).pods)
	require.Equal(t, "label 1\n", out["holdOutput"])
	require.Equal(t, false, out["adopted"])
	lasted, err := time.ParseDuration(out["holdTime"].(string))
	require.NoError(t, err)
	require.Greater(t, lasted, 100*time.Millisecond)
	notes := ""
	for _, p := range rec.Progress() {
		notes += p.Note + "\n"
	}
	require.Regexp(t, `(?s)holding the application in pod app/db-0\n.*is held\n.*waiting until it is cut.*the application in pod app/db-0 goes on, it was held for \d.*can be restored`, notes)
	require.Contains(t, rec.Log(), "the application goes on")
}

// TestHoldThatFails wants the application to go on, and nothing left, whatever goes wrong.
func TestHoldThatFails(t *testing.T) {
	t.Parallel()
	stop := errors.New("somebody had enough")
	for name, c := range map[string]struct {
		opts memsnap.Options
		args map[string]any
		// stopAfter cancels the call.
		stopAfter time.Duration
		want      error
		permanent bool
	}{
		"the storage is too slow":   {opts: memsnap.Options{CutAfter: time.Hour}, args: map[string]any{"maxHold": "5s"}, want: snapshot.ErrMaxHold},
		"a cancel":                  {opts: memsnap.Options{CutAfter: time.Hour}, stopAfter: 300 * time.Millisecond, want: stop},
		"a command that does not":   {args: map[string]any{"hold": map[string]any{"command": []any{"sh", "-c", "echo no >&2; exit 3"}}}, want: session.ErrNotHeld},
		"a command that lets go":    {opts: memsnap.Options{CutAfter: time.Hour}, args: map[string]any{"hold": map[string]any{"command": []any{"echo", "HELD"}, "heldLine": "HELD"}}, want: snapshot.ErrHoldLost},
		"a command that ends early": {opts: memsnap.Options{CutAfter: time.Hour}, args: map[string]any{"hold": map[string]any{"command": []any{"sh", "-c", "echo held; sleep 0.2"}}}, want: snapshot.ErrHoldLost},
		"a command that then fails": {args: map[string]any{"hold": map[string]any{"command": []any{"sh", "-c", "echo held; cat; exit 1"}}}, want: snapshot.ErrHoldLost},
		"too short a hold":          {args: map[string]any{"maxHold": "10ms"}, want: cluster.ErrInvalid, permanent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t, c.opts)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if c.stopAfter > 0 {
				time.AfterFunc(c.stopAfter, func() { cancel(stop) })
			}
			call, _ := d.call()
			_, err := d.exec1(ctx, call, with(d.args(nil), c.args))
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.permanent, function.IsPermanent(err), "%v", err)
			require.False(t, d.held())
			d.gone()
		})
	}
}

// TestHoldOfSeveralPods is not guessed.
func TestHoldOfSeveralPods(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, memsnap.Options{})
	call, _ := d.call()
	call.Subject.Pods = []string{"db-0", "db-1"}
	call.Subject.Claims["db-1"] = map[string]string{"other": "/data"}
	_, err := d.exec1(t.Context(), call, d.args(nil))
	require.ErrorContains(t, err, "argument hold.pod is required: the action's subject has 2 pods (db-0, db-1)")
	require.True(t, function.IsPermanent(err))
	args := d.args(map[string]any{"pod": "db-1"})
	delete(args, "names")
	out, err := d.exec1(t.Context(), call, args)
	require.NoError(t, err)
	require.Len(t, out["snapshots"], 1, "those of the pod that is held")
	_, err = d.exec1(t.Context(), call, d.args(map[string]any{"pod": "stranger"}))
	require.ErrorContains(t, err, "argument pvcs is required: stranger, which is to be held, is none of the action's subject")
	call.Subject.Pods = nil
	_, err = d.exec1(t.Context(), call, d.args(nil))
	require.ErrorContains(t, err, "has no running pod")
}

// TestHoldAfterACrash takes the group over where the command's output is not needed, and takes it anew where it is: it died with the host.
func TestHoldAfterACrash(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		d := newDatabase(t, memsnap.Options{})
		call, _ := d.call()
		first, err := d.exec1(t.Context(), call, d.args(map[string]any{"keepOutput": keep}))
		require.NoError(t, err)
		stored := d.Stored()

		call.Resumed = true // as if the host had died before it recorded that
		again, err := d.exec1(t.Context(), call, d.args(map[string]any{"keepOutput": keep}))
		require.NoError(t, err)
		require.Equal(t, []string{"app/one", "app/two"}, d.Snapshots())
		require.Len(t, d.Stored(), 2)
		require.Equal(t, !keep, again["adopted"])
		if keep {
			require.Equal(t, "label 2\n", again["holdOutput"])
			require.NotEqual(t, stored, d.Stored())
			require.Equal(t, 2, d.times())
			continue
		}
		require.Equal(t, []any{"", "0s"}, []any{again["holdOutput"], again["holdTime"]})
		require.Equal(t, first["snapshots"], again["snapshots"])
		require.Equal(t, stored, d.Stored())
		require.Equal(t, 1, d.times())
	}
}

// TestHoldAfterACrashOfAnother leaves snapshots of another run alone.
func TestHoldAfterACrashOfAnother(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, memsnap.Options{})
	d.must("CreateCSISnapshot", "run/x/y", with(createArgs(), map[string]any{"name": "one"}))
	stored := d.Stored()
	call, _ := d.call()
	call.Attempt = 2
	_, err := d.exec1(t.Context(), call, d.args(nil))
	require.ErrorIs(t, err, snapshot.ErrExists)
	require.Equal(t, stored, d.Stored())
	require.Zero(t, d.times(), "nothing was held for nothing")
}

// TestHoldAndCrash lets the host die before and after each thing that a held group asks the storage for. Whatever the next one finds, it ends with snapshots that were all
// asked for while the database was held; one that has to give up leaves nothing.
func TestHoldAndCrash(t *testing.T) {
	t.Parallel()
	for at := 1; at <= 40; at += 2 {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprint(at, " cancelled ", cancelled), func(t *testing.T) {
				t.Parallel()
				d := newDatabase(t, memsnap.Options{CutAfter: 20 * time.Millisecond})
				args := d.args(map[string]any{"keepOutput": false})
				call, _ := d.call()
				d.live(at)
				_, err := d.exec1(t.Context(), call, args)
				d.live(0)
				require.False(t, d.held())
				if err != nil {
					require.ErrorIs(t, err, errDead)
				} else {
					require.Greater(t, at, 20, "the host died too seldom to prove anything")
				}
				call.Resumed = true
				if cancelled {
					ctx, cancel := context.WithCancel(t.Context())
					cancel()
					_, err := d.exec1(ctx, call, args)
					require.ErrorIs(t, err, context.Canceled)
					d.gone()
					return
				}
				out, err := d.exec1(t.Context(), call, args)
				require.NoError(t, err)
				require.Equal(t, []string{"app/one", "app/two"}, d.Snapshots())
				require.Len(t, d.Stored(), 2)
				require.Empty(t, d.unheld)
				require.False(t, d.held())
				if out["adopted"] == true {
					require.Equal(t, 1, d.times())
				}
			})
		}
	}
}
