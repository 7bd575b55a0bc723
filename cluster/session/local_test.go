//go:build linux

package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/cluster/session"
)

// written is the whole output.
func written(t *testing.T, o *session.Open) string {
	t.Helper()
	text, err := o.Output()
	require.NoError(t, err)
	return text
}

// The shell of this machine; another file has the others.
func TestShell(t *testing.T) {
	t.Parallel()
	realSessions(t, nil)
}

const manifest = `
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: app}
spec: {containers: [{name: server, command: [sleep, "100000"], env: [{name: davit, value: x}]}]}
`

// patience is how long a test waits for what happens at once on a machine that has time.
const patience = 2 * time.Minute

// pod is a pod on this machine, whose commands run in the folder dir.
type pod struct {
	*localcluster.Cluster
	dir string
}

func newPod(t *testing.T, programs map[string]string) *pod {
	t.Helper()
	dir := t.TempDir()
	c, err := localcluster.Open(t.Context(), dir, &localcluster.Options{Programs: programs})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Down(context.Background())) })
	require.NoError(t, c.Apply(t.Context(), "db.yaml", []byte(manifest)))
	yes := cluster.Command{Namespace: "app", Pod: "db", Args: []string{"true"}}
	require.Eventually(t, func() bool { return c.Exec(t.Context(), yes) == nil }, patience, 5*time.Millisecond)
	return &pod{c, filepath.Join(dir, "pods", "app", "db", "root")}
}

// has tells whether a command has made the file.
func (p *pod) has(name string) bool {
	_, err := os.Stat(filepath.Join(p.dir, name))
	return err == nil
}

// open runs a script of the shell. The folder of the pod is its working directory.
func (p *pod) open(t *testing.T, s session.Spec, script string) (*session.Open, error) {
	t.Helper()
	s.Namespace, s.Pod = "app", "db"
	s.Command = []string{"sh", "-c", script}
	held, err := session.New(p, s)
	require.NoError(t, err)
	held.Await(patience)
	return held.Open(t.Context())
}

// marks tells sessions apart: each has a grace of its own, which the far end's arguments show.
var marks atomic.Int64

// mark is a grace that no other session has, and a function that lists the processes that are left of its session.
func mark() (time.Duration, func() []string) {
	seconds := int64(1e6+os.Getpid()%30000*1000) + marks.Add(1) // other tests run on this machine
	return time.Duration(seconds) * time.Second, func() []string { return processesWith(fmt.Sprintf("\x00%d\x00", seconds)) }
}

// processesWith are the command lines of processes that have the text in them, which is not in those of this one.
func processesWith(text string) (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(append([]byte{0}, line...), []byte(text)) { // one that has ended is not there
			found = append(found, filepath.Dir(file)+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// hold is a command as Spec wants it: the file held is there as long as the application is held.
const hold = `: >held; echo held; cat; rm held; echo "let go"`

// realSessions runs sessions with a shell: real processes on this machine.
func realSessions(t *testing.T, programs map[string]string) {
	for name, test := range map[string]func(*testing.T, *pod){
		"released": released, "longest hold": longestHold, "ends early": endsEarly, "never held": neverHeld, "grace": grace, "surroundings": surroundings,
		"many": many, "hangs": hangs, "killed": killed, "input lost": inputLost,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newPod(t, programs))
		})
	}
}

func released(t *testing.T, p *pod) {
	g, left := mark()
	o, err := p.open(t, session.Spec{MaxHold: g, Grace: g}, hold)
	require.NoError(t, err)
	require.True(t, p.has("held"))
	require.GreaterOrEqual(t, len(left()), 5, "shells and the sleep of the timer")
	require.Never(t, func() bool { return !p.has("held") }, 300*time.Millisecond, 10*time.Millisecond)
	select {
	case <-o.Lost():
		require.Fail(t, "lost")
	default:
	}
	begin := time.Now()
	require.NoError(t, o.Release(t.Context()))
	require.Less(t, time.Since(begin), patience, "the grace is much longer")
	require.False(t, p.has("held"))
	require.Equal(t, "let go\n", written(t, o))
	require.Empty(t, left())
}

// The container lets go without a word of the host: what the host reads and sends is held up.
func longestHold(t *testing.T, p *pod) {
	g, left := mark()
	begin := time.Now()
	s, err := session.New(deafExecutor{p}, session.Spec{
		Namespace: "app", Pod: "db", Command: []string{"sh", "-c", ": >was; " + hold}, MaxHold: 6 * time.Second, Grace: g,
	})
	require.NoError(t, err)
	o, err := s.Open(t.Context())
	require.NoError(t, err)
	require.True(t, p.has("was"), "held, when this machine looks late")
	require.Eventually(t, func() bool { return !p.has("held") }, patience, 5*time.Millisecond)
	require.GreaterOrEqual(t, time.Since(begin), 6*time.Second)
	<-o.Lost()
	require.ErrorIs(t, o.Release(t.Context()), session.ErrMaxHold)
	require.Equal(t, "let go\n", written(t, o))
	require.Empty(t, left())
}

// deafExecutor never ends the input of a command, as a host that is stopped.
type deafExecutor struct{ cluster.Executor }

func (d deafExecutor) Exec(ctx context.Context, cmd cluster.Command) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	cmd.Stdin = r
	return d.Executor.Exec(ctx, cmd)
}

// An end of the input that is not the host's release is a lost host, also when the command ends well then and its output still arrives.
func inputLost(t *testing.T, p *pod) {
	s, err := session.New(lossyExecutor{p}, session.Spec{Namespace: "app", Pod: "db", Command: []string{"sh", "-c", hold}, MaxHold: time.Hour})
	require.NoError(t, err)
	o, err := s.Open(t.Context())
	require.NoError(t, err)
	<-o.Lost()
	require.False(t, p.has("held"))
	err = o.Release(t.Context())
	require.ErrorIs(t, err, session.ErrLost)
	require.ErrorContains(t, err, "or its input did", "the container says so")
}

// lossyExecutor ends the input of a command as soon as it has written something.
type lossyExecutor struct{ cluster.Executor }

func (l lossyExecutor) Exec(ctx context.Context, cmd cluster.Command) error {
	r, w := io.Pipe()
	cmd.Stdin, cmd.Stdout = r, io.MultiWriter(cmd.Stdout, closer{w})
	return l.Executor.Exec(ctx, cmd)
}

// closer closes what it has when it is written to.
type closer struct{ io.Closer }

func (c closer) Write(p []byte) (int, error) { return len(p), c.Close() }

func endsEarly(t *testing.T, p *pod) {
	for code, is := range map[int]string{0: "ended with code 0 before that", 3: "exit code 3, last output:\nserver gone"} {
		g, left := mark()
		o, err := p.open(t, session.Spec{MaxHold: time.Hour, Grace: g}, fmt.Sprintf(`echo held; echo "server gone" >&2; exit %d`, code))
		require.NoError(t, err)
		<-o.Lost()
		require.Empty(t, left())
		err = o.Release(t.Context())
		require.ErrorIs(t, err, session.ErrLost)
		require.ErrorContains(t, err, is)
	}
}

func neverHeld(t *testing.T, p *pod) {
	g, left := mark()
	_, err := p.open(t, session.Spec{MaxHold: time.Hour, Grace: g}, "echo 'access denied' >&2; exit 4")
	require.ErrorIs(t, err, session.ErrNotHeld)
	exit, ok := errors.AsType[*cluster.ExitError](err)
	require.True(t, ok)
	require.Equal(t, cluster.ExitError{What: "pod app/db", Code: 4, Tail: "access denied"}, *exit)

	_, err = p.open(t, session.Spec{MaxHold: time.Hour, Grace: g}, "exit 0")
	require.ErrorIs(t, err, session.ErrNotHeld)

	_, err = p.open(t, session.Spec{MaxHold: time.Hour, Grace: g, StartTimeout: 500 * time.Millisecond}, "cat; : >gone")
	require.ErrorIs(t, err, session.ErrStartTimeout)
	require.True(t, p.has("gone"))

	none, err := session.New(p, session.Spec{Namespace: "app", Pod: "db", Command: []string{"no-such-program"}, MaxHold: time.Hour, Grace: g})
	require.NoError(t, err)
	_, err = none.Open(t.Context())
	require.ErrorIs(t, err, session.ErrNotHeld)
	require.ErrorContains(t, err, "exit code 127")

	// A name the shell knows is a program all the same.
	none, err = session.New(p, session.Spec{Namespace: "app", Pod: "db", Command: []string{"davit_nap", "1"}, MaxHold: time.Hour, Grace: g})
	require.NoError(t, err)
	_, err = none.Open(t.Context())
	require.ErrorContains(t, err, "exit code 127")
	require.Empty(t, left())
}

// A command that hangs at the end of its input is asked to end, and has the time to undo what it did.
func grace(t *testing.T, p *pod) {
	o, err := p.open(t, session.Spec{MaxHold: time.Hour, Grace: time.Second}, `trap 'rm held; exit 5' TERM; : >held; echo held; sleep 424242`)
	require.NoError(t, err)
	begin := time.Now()
	err = o.Release(t.Context())
	require.ErrorIs(t, err, session.ErrLost)
	require.ErrorContains(t, err, "exit code 5")
	require.GreaterOrEqual(t, time.Since(begin), time.Second)
	require.False(t, p.has("held"))
}

// Who does not listen is killed, with all it started.
func hangs(t *testing.T, p *pod) {
	o, err := p.open(t, session.Spec{MaxHold: time.Hour, Grace: time.Second},
		fmt.Sprintf(`trap '' TERM; (sleep 4242%d) & echo held; sleep 4242%[1]d; sleep 4242%[1]d`, os.Getpid()))
	require.NoError(t, err)
	begin := time.Now()
	err = o.Release(t.Context())
	require.ErrorIs(t, err, session.ErrLost)
	require.ErrorContains(t, err, "exit code 137")
	require.GreaterOrEqual(t, time.Since(begin), 6*time.Second)
	require.Eventually(t, func() bool { return len(processesWith(fmt.Sprintf("\x004242%d\x00", os.Getpid()))) == 0 }, patience, 5*time.Millisecond)
}

// The command is run as if nothing was in front of it, and what it leaves behind ends.
func surroundings(t *testing.T, p *pod) {
	const look = "set | grep '^davit_'; ls /proc/self/fd; grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status\n"
	var plain bytes.Buffer
	cmd := cluster.Command{Namespace: "app", Pod: "db", Args: []string{"sh", "-c", look}, Stdin: strings.NewReader(""), Stdout: &plain}
	require.NoError(t, p.Exec(t.Context(), cmd))
	require.Contains(t, plain.String(), "SigIgn")
	o, err := p.open(t, session.Spec{MaxHold: time.Hour}, "echo held\n"+look+"sleep 434343 & echo $! >left\ncat")
	require.NoError(t, err)
	require.NoError(t, o.Release(t.Context()))
	require.Equal(t, plain.String(), written(t, o))
	pid, err := os.ReadFile(filepath.Join(p.dir, "left"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		return err != nil || bytes.Contains(stat, []byte(") Z "))
	}, patience, 5*time.Millisecond)
}

// Sessions begin and end quickly, one after the other, however their last moments fall together.
func many(t *testing.T, p *pod) {
	g, left := mark()
	for i := range 20 {
		o, err := p.open(t, session.Spec{MaxHold: time.Hour, Grace: g}, "echo held; cat")
		require.NoError(t, err)
		time.Sleep(time.Duration(i%5) * time.Millisecond) // the moment of the release is the test
		require.NoError(t, o.Release(t.Context()))
		o, err = p.open(t, session.Spec{MaxHold: time.Hour, Grace: g}, "echo held")
		require.NoError(t, err)
		<-o.Lost()
		require.Error(t, o.Release(t.Context()))
	}
	require.Empty(t, left())
}

// Whichever of the shells in front of the command is killed, the application goes on when it is released, and nothing waits for ever.
func killed(t *testing.T, p *pod) {
	const most = 8
	var wg sync.WaitGroup
	for i := range most {
		wg.Go(func() { assert.NoError(t, killShell(t, p, i, most), "shell %d", i) })
	}
	wg.Wait()
}

// killShell opens a session, kills a shell of it, or none if it has not so many, and releases it.
func killShell(t *testing.T, p *pod, i, most int) error {
	g, left := mark()
	file := fmt.Sprint("held", i)
	s, err := session.New(p, session.Spec{
		Namespace: "app", Pod: "db", Command: []string{"sh", "-c", "trap '' TERM; : >" + file + "; echo held; cat; rm " + file}, MaxHold: g, Grace: time.Second,
	})
	if err != nil {
		return err
	}
	o, err := s.Open(t.Context())
	if err != nil {
		return err
	}
	shells := slices.DeleteFunc(left(), func(line string) bool { return !strings.Contains(line, " sh -c davit_max") })
	if len(shells) < 5 || len(shells) >= most {
		return fmt.Errorf("%d shells: %v", len(shells), shells)
	}
	if i >= len(shells) {
		return o.Release(t.Context())
	}
	pid, err := strconv.Atoi(filepath.Base(strings.Fields(shells[i])[0]))
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = o.Release(ctx)
	t.Logf("shell %d: %v", i, err)
	if ctx.Err() != nil {
		return err
	}
	for end := time.Now().Add(patience); p.has(file) || len(left()) > 0; time.Sleep(5 * time.Millisecond) { // between two looks
		if time.Now().After(end) {
			return fmt.Errorf("held: %t, left: %v", p.has(file), left())
		}
	}
	return nil
}
