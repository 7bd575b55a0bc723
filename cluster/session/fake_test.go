package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
)

// fake runs a function as the command: what it reads is what the far end reads, and its output is that of the far end.
type fake func(ctx context.Context, cmd cluster.Command) error

func (f fake) Exec(ctx context.Context, cmd cluster.Command) error { return f(ctx, cmd) }

// nonce is what the far end knows.
func nonce(cmd cluster.Command) string { return cmd.Args[6] }

func say(cmd cluster.Command, text string) {
	_, _ = io.WriteString(cmd.Stdout, strings.ReplaceAll(text, "NONCE", nonce(cmd)))
}

// wellBehaved holds, and answers as the script does.
func wellBehaved(_ context.Context, cmd cluster.Command) error {
	say(cmd, "quiescing\nheld\n")
	word, _ := io.ReadAll(cmd.Stdin)
	if string(word) != nonce(cmd)+"\n" {
		say(cmd, "NONCE 214\n")
		return &cluster.ExitError{Code: 214}
	}
	say(cmd, "at 0/15\nNONCE 0\n")
	return nil
}

var spec = Spec{Namespace: "app", Pod: "db", Container: "server", Command: []string{"hold"}, MaxHold: time.Minute, Grace: 4 * time.Second}

func open(t *testing.T, f fake, s Spec) (*Open, error) {
	t.Helper()
	session, err := New(f, s)
	require.NoError(t, err)
	return session.Open(t.Context())
}

// written is the whole output.
func written(t *testing.T, o *Open) string {
	t.Helper()
	text, err := o.Output()
	require.NoError(t, err)
	return text
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestHeldUntilReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := open(t, wellBehaved, spec)
		require.NoError(t, err)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		require.False(t, isClosed(o.Lost()))
		require.NoError(t, o.Release(t.Context()))
		require.Equal(t, "at 0/15\n", written(t, o))
		require.ErrorIs(t, o.Release(t.Context()), ErrLost, "a second time")
	})
}

func TestArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec
		s.MaxHold, s.Command = 1500*time.Millisecond, []string{"hold", "a b", ""}
		var got cluster.Command
		o, err := open(t, func(ctx context.Context, cmd cluster.Command) error {
			got = cmd
			return wellBehaved(ctx, cmd)
		}, s)
		require.NoError(t, err)
		require.NoError(t, o.Release(t.Context()))
		require.Equal(t, []string{"app", "db", "server"}, []string{got.Namespace, got.Pod, got.Container})
		require.Equal(t, []string{"sh", "-c", script, "davit", "2", "4"}, got.Args[:6])
		require.Equal(t, s.Command, got.Args[7:])
	})
}

func TestMaxHoldOnTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		slow := func(ctx context.Context, cmd cluster.Command) error {
			time.Sleep(5 * time.Second)
			return wellBehaved(ctx, cmd)
		}
		o, err := open(t, slow, spec)
		require.NoError(t, err)
		<-o.Lost()
		require.Equal(t, time.Minute, time.Since(begin), "since the exec was issued")
		require.ErrorIs(t, o.Release(t.Context()), ErrLost)
	})
}

// A release that is too late is none, also when the container's clock is behind and the timers of the host have not run.
func TestReleasedTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := open(t, wellBehaved, spec)
		require.NoError(t, err)
		o.begin = o.begin.Add(-time.Minute)
		require.ErrorIs(t, o.Release(t.Context()), ErrLost)
	})
}

// TestWhatIsNoProof releases commands that were not held, or of which it is not known.
func TestWhatIsNoProof(t *testing.T) {
	lost := errors.New("connection lost")
	for name, c := range map[string]struct {
		word string
		err  error
		is   error
		code int
	}{
		"no last word":          {"", nil, ErrLost, -1},
		"another's last word":   {"OTHER 0\n", nil, ErrLost, -1},
		"half a last word":      {"NONCE 0", nil, ErrLost, -1},
		"more after it":         {"NONCE 0\n.", nil, ErrLost, -1},
		"no number":             {"NONCE zero\n", nil, ErrLost, -1},
		"the connection is cut": {"", lost, lost, -1},
		"the longest hold":      {"NONCE 213\n", &cluster.ExitError{Code: 213}, ErrMaxHold, -1},
		"before its release":    {"NONCE 214\n", &cluster.ExitError{Code: 214}, ErrLost, -1},
		"a failure":             {"NONCE 3\n", &cluster.ExitError{Code: 3}, ErrLost, 3},
		"a failure, said well":  {"NONCE 3\n", nil, ErrLost, 3},
		"killed":                {"", &cluster.ExitError{Code: 137}, ErrLost, 137},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, err := open(t, func(_ context.Context, cmd cluster.Command) error {
					say(cmd, "held\n")
					_, _ = io.WriteString(cmd.Stderr, "why\n")
					_, _ = io.ReadAll(cmd.Stdin)
					say(cmd, c.word)
					return c.err
				}, spec)
				require.NoError(t, err)
				err = o.Release(t.Context())
				require.ErrorIs(t, err, c.is)
				exit, ok := errors.AsType[*cluster.ExitError](err)
				require.Equal(t, c.code >= 0, ok && exit.Tail == "why", "%v", err)
				if ok {
					require.Equal(t, c.code, exit.Code)
				}
			})
		})
	}
}

// The last word is believed, whatever becomes of the connection after it.
func TestLastWordCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := open(t, func(ctx context.Context, cmd cluster.Command) error {
			_ = wellBehaved(ctx, cmd)
			return errors.New("connection lost")
		}, spec)
		require.NoError(t, err)
		require.NoError(t, o.Release(t.Context()))
	})
}

func TestLostWhenTheCommandEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := open(t, func(_ context.Context, cmd cluster.Command) error {
			say(cmd, "held\n")
			time.Sleep(time.Second)
			say(cmd, "NONCE 0\n") // a lie
			return nil
		}, spec)
		require.NoError(t, err)
		begin := time.Now()
		<-o.Lost()
		require.Equal(t, time.Second, time.Since(begin))
		require.ErrorIs(t, o.Release(t.Context()), ErrLost, "it ended before it was released")
	})
}

func TestNeverHeld(t *testing.T) {
	denied := errors.New("denied")
	for name, c := range map[string]struct {
		out string
		err error
		is  error
	}{
		"not begun":        {"", denied, denied},
		"ended with 3":     {"holding\nNONCE 3\n", &cluster.ExitError{Code: 3}, ErrNotHeld},
		"ended with 0":     {"NONCE 214\n", &cluster.ExitError{Code: 214}, ErrNotHeld},
		"no sleep":         {"NONCE 215\n", &cluster.ExitError{Code: 215}, ErrUnusable},
		"no shell":         {"", &cluster.ExitError{Code: 127}, ErrUnusable},
		"never heard of":   {"", nil, ErrNotHeld},
		"longest hold":     {"NONCE 213\n", &cluster.ExitError{Code: 213}, ErrMaxHold},
		"a part of a line": {"not held\nheld up\n held\nheld", nil, ErrNotHeld},
		"killed":           {"", &cluster.ExitError{Code: 137}, ErrNotHeld},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := open(t, func(_ context.Context, cmd cluster.Command) error {
					_, _ = io.WriteString(cmd.Stderr, strings.Repeat("x", 5000)+"\nthe reason\n")
					say(cmd, c.out)
					return c.err
				}, spec)
				require.ErrorIs(t, err, c.is)
				if name == "ended with 3" {
					exit, ok := errors.AsType[*cluster.ExitError](err)
					require.True(t, ok)
					require.Equal(t, cluster.ExitError{What: "pod app/db, container server", Code: 3, Tail: "the reason"}, *exit)
				}
			})
		})
	}
}

// Open that fails ends the command's input without the word, and waits until it has let go.
func TestOpenGivesUp(t *testing.T) {
	for name, hangs := range map[string]bool{"lets go": false, "hangs": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var word []byte
				gone := false
				f := func(ctx context.Context, cmd cluster.Command) error {
					word, _ = io.ReadAll(cmd.Stdin)
					if hangs {
						<-ctx.Done()
						return context.Cause(ctx)
					}
					time.Sleep(3 * time.Second)
					gone = true
					say(cmd, "NONCE 214\n")
					return &cluster.ExitError{Code: 214}
				}
				s := spec
				s.StartTimeout = 10 * time.Second
				_, err := open(t, f, s)
				require.ErrorIs(t, err, ErrStartTimeout)
				require.Empty(t, word)
				require.Equal(t, !hangs, gone)
				require.Equal(t, hangs, errors.Is(err, ErrUnknown))
				if hangs {
					require.ErrorContains(t, err, "whether the command has let go is not known: it is ended in the container at the latest 1m9s after it began")
				}

				enough := errors.New("enough")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(enough) })
				session, err := New(fake(f), s)
				require.NoError(t, err)
				begin := time.Now()
				_, err = session.Open(ctx)
				require.ErrorIs(t, err, enough)
				require.LessOrEqual(t, time.Since(begin), 16*time.Second)
				_, err = session.Open(ctx)
				require.Equal(t, enough, err)
			})
		})
	}
}

// The end of the context that opened it is not the end of the session.
func TestOutlivesItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, err := New(fake(func(ctx context.Context, cmd cluster.Command) error {
			done := make(chan error, 1)
			go func() { done <- wellBehaved(ctx, cmd) }()
			select {
			case err := <-done:
				return err
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}), spec)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		o, err := session.Open(ctx)
		require.NoError(t, err)
		cancel()
		synctest.Wait()
		require.False(t, isClosed(o.Lost()))
		require.NoError(t, o.Release(t.Context()))
	})
}

// Nothing waits for ever: not for a command that does not end, and not for an executor that does not honour its context.
func TestReleaseGivesUp(t *testing.T) {
	for name, honours := range map[string]bool{"a command that hangs": true, "an executor that hangs": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stop := make(chan struct{})
				o, err := open(t, func(ctx context.Context, cmd cluster.Command) error {
					say(cmd, "held\n")
					if honours {
						<-ctx.Done()
						return context.Cause(ctx)
					}
					<-stop
					return nil
				}, spec)
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				begin := time.Now()
				err = o.Release(ctx)
				require.ErrorIs(t, err, ErrLost)
				require.ErrorIs(t, err, ErrUnknown)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.LessOrEqual(t, time.Since(begin), 7*time.Second)
				close(stop)
			})
		})
	}
}

// A session that nobody releases ends.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		o, err := open(t, func(ctx context.Context, cmd cluster.Command) error {
			say(cmd, "held\n")
			<-ctx.Done()
			return context.Cause(ctx)
		}, spec)
		require.NoError(t, err)
		<-o.done
		require.Equal(t, time.Minute+14*time.Second, time.Since(begin))
	})
}

func TestHostileOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece := bytes.Repeat([]byte("held"), 16<<10)
		o, err := open(t, func(ctx context.Context, cmd cluster.Command) error {
			for range 64 { // a line without end
				_, _ = cmd.Stdout.Write(piece)
			}
			for _, b := range []byte("\nhel\x00d\nheld\r\n") {
				_, _ = cmd.Stdout.Write([]byte{b})
			}
			_, _ = io.ReadAll(cmd.Stdin)
			for range 64 {
				_, _ = cmd.Stdout.Write(piece)
				_, _ = cmd.Stderr.Write(piece)
			}
			say(cmd, "NONCE 0\n")
			return nil
		}, spec)
		require.NoError(t, err)
		require.NoError(t, o.Release(t.Context()))
		text, err := o.Output()
		require.ErrorIs(t, err, ErrOutput)
		require.Len(t, text, 64<<10)
		held := cap(o.out.kept) + cap(o.out.last) + cap(o.out.line) + cap(o.errs.last)
		require.Less(t, held, 256<<10)
		_, err = o.out.Write(piece)
		require.Error(t, err, "after the end")
	})
}

// TestOutputIsWholeOrAnError goes to the last byte, however the output comes.
func TestOutputIsWholeOrAnError(t *testing.T) {
	for _, much := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 64<<10 + 27, 64<<10 + 63, 64<<10 + 64, 64<<10 + 65, 1 << 20} {
		for _, piece := range []int{1 << 10, 64<<10 - 7, 2 << 20} {
			synctest.Test(t, func(t *testing.T) {
				label := strings.Repeat("x", much)
				o, err := open(t, func(_ context.Context, cmd cluster.Command) error {
					say(cmd, "held\n")
					_, _ = io.ReadAll(cmd.Stdin)
					for rest := label + nonce(cmd) + " 0\n"; rest != ""; {
						n := min(piece, len(rest))
						say(cmd, rest[:n])
						rest = rest[n:]
					}
					return nil
				}, spec)
				require.NoError(t, err)
				require.NoError(t, o.Release(t.Context()))
				text, err := o.Output()
				if much <= 64<<10 {
					require.NoError(t, err)
					require.Equal(t, label, text)
					return
				}
				require.ErrorIs(t, err, ErrOutput)
				require.EqualError(t, err, `pod app/db, container server: the command wrote more than is kept: only the first 64 KiB after line "held" are`)
				require.Equal(t, label[:64<<10], text)
			})
		}
	}
}

func TestSpecFaults(t *testing.T) {
	_, err := New(nil, Spec{HeldLine: "a\nb", Grace: -1})
	require.ErrorIs(t, err, cluster.ErrInvalid)
	for _, fault := range []string{"an executor", "a namespace and a pod", "a command", "of one line", "of at least a second", "a grace"} {
		require.ErrorContains(t, err, fault)
	}
	s := spec
	s.MaxHold = math.MaxInt64
	_, err = New(fake(wellBehaved), s)
	require.ErrorIs(t, err, cluster.ErrInvalid)
	s = spec
	s.Command = []string{"a\x00b"}
	_, err = New(fake(wellBehaved), s)
	require.ErrorIs(t, err, cluster.ErrInvalid)
}
