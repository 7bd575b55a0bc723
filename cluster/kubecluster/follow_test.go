package kubecluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/davit-project/davit/cluster"
)

// entry is one of a log file as a container runtime writes it: a line, or with partial a piece of one.
type entry struct {
	at      time.Time
	text    string
	partial bool
}

const kubeletStamp = "2006-01-02T15:04:05.000000000Z07:00"

// render serves entries as a kubelet does: it leaves out those before since, and puts a stamp before what begins a line.
func render(entries []entry, since time.Time) []byte {
	var b bytes.Buffer
	begins := true
	for _, e := range entries {
		if e.at.Before(since.Truncate(time.Second)) {
			continue
		}
		if begins {
			fmt.Fprintf(&b, "%s ", e.at.Format(kubeletStamp))
		}
		b.WriteString(e.text)
		if begins = !e.partial; begins {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// plain is the log without stamps.
func plain(entries []entry) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.text)
		if !e.partial {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// connection is what becomes of one connection of a scripted log: which entries the file has, and after how many bytes the stream ends, and how.
type connection struct {
	from, to int
	cut      int // -1 for none
	err      error
	junk     string
}

// script is a log that ends after its connections. Those after its end have a script, too; more of them get all of it.
type script struct {
	entries     []entry
	connections []connection
	after       []connection
	ended       chan struct{}
	rotated     int
	opened      int
}

func (s *script) open(_ context.Context, since time.Time, _ bool) (io.ReadCloser, error) {
	c := connection{from: s.rotated, to: len(s.entries), cut: -1}
	if all := append(s.connections[:len(s.connections):len(s.connections)], s.after...); s.opened < len(all) {
		c = all[s.opened]
		s.rotated = max(s.rotated, c.from)
	}
	if s.opened++; s.opened == len(s.connections) {
		close(s.ended)
	}
	text := render(s.entries[c.from:c.to], since)
	end := io.Reader(strings.NewReader(c.junk))
	if c.err != nil {
		end = iotest.ErrReader(c.err)
	}
	if c.cut >= 0 && c.cut <= len(text) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(text[:c.cut]), end)), nil
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

// followed is what comes of following a log.
type followed struct {
	text, log string
	err       error
}

// follow runs a follower in a bubble.
func follow(t *testing.T, s *script) (got followed) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.ended = make(chan struct{})
		if len(s.connections) == 0 {
			close(s.ended)
		}
		var out, text bytes.Buffer
		f := &follower{open: s.open, out: &out, log: slog.New(slog.NewTextHandler(&text, nil)), ended: s.ended}
		got.err = f.run(t.Context())
		got.text, got.log = out.String(), text.String()
	})
	return got
}

func second(s float64) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC).Add(time.Duration(s * float64(time.Second)))
}

// tricky has lines of one stamp, lines out of order, empty ones, pieces, pieces with a line of the other stream between them, and no end of the last line.
func tricky() []entry {
	return []entry{
		{second(0), "one", false}, {second(0.5), "two", false}, {second(0.5), "two", false}, {second(0.5), "2026-01-02T03:04:00.5Z three", false},
		{second(0.7), "later", false}, {second(0.6), "earlier", false}, {second(2), "", false}, {second(2), "", false},
		{second(3), "piece", true}, {second(9), " piece", true}, {second(9), " end", false}, {second(9), "same stamp", false},
		{second(20), "stdout", true}, {second(20.1), "stderr", false}, {second(20.2), "stdout goes on", false}, {second(30), "no end", true},
	}
}

func TestFollowResumesAtEveryByte(t *testing.T) {
	entries := tricky()
	whole := len(render(entries, time.Time{}))
	for cut := range whole + 1 {
		for _, err := range []error{nil, errors.New("connection reset")} {
			s := &script{entries: entries, connections: []connection{{0, len(entries), cut, err, ""}}}
			got := follow(t, s)
			require.NoError(t, got.err, "cut after %d bytes", cut)
			require.Equal(t, plain(entries), got.text, "cut after %d bytes by %v", cut, err)
			require.NotContains(t, got.log, "lost", "cut after %d bytes by %v", cut, err)
		}
	}
}

func TestFollowResumesTwice(t *testing.T) {
	entries := tricky()
	whole := len(render(entries, time.Time{}))
	for first := range whole + 1 {
		cuts := []connection{{0, len(entries), first, nil, ""}}
		for range 3 {
			cuts = append(cuts, connection{0, len(entries), rand.IntN(whole), nil, ""})
		}
		got := follow(t, &script{entries: entries, connections: cuts})
		require.NoError(t, got.err)
		require.Equal(t, plain(entries), got.text, "%v", cuts)
	}
}

func TestFollowWhatGrows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := randomLog(rt)
		var connections []connection
		for n, to := rapid.IntRange(1, 12).Draw(rt, "connections"), 0; n > 0; n-- {
			to = min(len(entries), to+rapid.IntRange(0, 12).Draw(rt, "more"))
			c := connection{to: to, cut: rapid.IntRange(-1, 1200).Draw(rt, "cut")}
			if rapid.Bool().Draw(rt, "error") {
				c.err = errors.New("reset")
			}
			connections = append(connections, c)
		}
		got := follow(t, &script{entries: entries, connections: connections})
		if got.err != nil || got.text != plain(entries) {
			rt.Fatalf("%v\ngot  %q\nwant %q\n%s", got.err, got.text, plain(entries), got.log)
		}
	})
}

// randomLog has stamps that repeat and, where they differ, may stand in the wrong order by less than disorder. No piece has the stamp of another line.
func randomLog(rt *rapid.T) []entry {
	var entries []entry
	at, pieces := 0.0, false
	for range rapid.IntRange(0, 60).Draw(rt, "entries") {
		step := rapid.SampledFrom([]float64{0, 0, 0.000001, 0.01, 0.4, 1, 7, 4000}).Draw(rt, "later")
		if pieces {
			step = max(step, 0.000001)
		}
		at += step
		e := entry{at: second(at), text: rapid.StringMatching(`[ab ]{0,8}`).Draw(rt, "text"), partial: rapid.IntRange(0, 3).Draw(rt, "partial") == 0}
		if e.partial {
			e.text += "x" // a runtime writes no empty pieces
		}
		entries = append(entries, e)
		if !pieces && !e.partial && rapid.IntRange(0, 9).Draw(rt, "early") == 0 {
			entries = append(entries, entry{at: second(at - 0.3 - float64(len(entries))*1e-6), text: "early"})
			pieces = true // the next line has a stamp of its own
			continue
		}
		pieces = e.partial || pieces && step > 0 && len(entries) > 1 && entries[len(entries)-2].partial
	}
	return entries
}

// numbered has a line in each fifth of a second.
func numbered(n int) []entry {
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = entry{second(float64(i) / 5), fmt.Sprintf("line %04d", i), false}
	}
	return entries
}

// An answer may end early and look like a whole one.
func TestFollowReadsUntilNothingIsNew(t *testing.T) {
	entries := numbered(100)
	for name, after := range map[string][]connection{
		"empty":       {{0, 100, 0, nil, ""}},
		"cut":         {{0, 100, 4000, nil, ""}, {0, 100, 1500, nil, ""}, {0, 100, 0, nil, ""}},
		"cut by many": {{0, 100, 4000, io.ErrUnexpectedEOF, ""}, {0, 100, 0, io.ErrUnexpectedEOF, ""}, {0, 100, 0, nil, ""}, {0, 100, 60, nil, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			got := follow(t, &script{entries: entries, connections: []connection{{0, 50, -1, nil, ""}}, after: after})
			require.NoError(t, got.err)
			require.Equal(t, plain(entries), got.text)
		})
	}
}

func TestFollowSaysWhenALogWasRotatedAway(t *testing.T) {
	entries := numbered(100)
	for name, tc := range map[string]struct {
		connections []connection
		want        string
		lost        bool
	}{
		"what was read":       {[]connection{{0, 50, -1, nil, ""}, {49, 100, -1, nil, ""}}, plain(entries), false},
		"all that was read":   {[]connection{{0, 50, -1, nil, ""}, {50, 100, -1, nil, ""}}, plain(entries), true},
		"some that was not":   {[]connection{{0, 50, -1, nil, ""}, {60, 100, -1, nil, ""}}, plain(entries[:50]) + plain(entries[60:]), true},
		"twice":               {[]connection{{0, 50, -1, nil, ""}, {60, 80, -1, nil, ""}, {60, 80, -1, nil, ""}, {90, 100, -1, nil, ""}}, plain(entries[:50]) + plain(entries[60:80]) + plain(entries[90:]), true},
		"all, and no more":    {[]connection{{0, 100, -1, nil, ""}, {100, 100, -1, nil, ""}}, plain(entries), false},
		"in the middle":       {[]connection{{0, 50, 37*40 + 1, nil, ""}, {60, 100, -1, nil, ""}}, "", true},
		"an answer cut early": {[]connection{{0, 50, -1, nil, ""}, {0, 100, 100, nil, ""}}, plain(entries), false},
	} {
		t.Run(name, func(t *testing.T) {
			got := follow(t, &script{entries: entries, connections: tc.connections})
			require.NoError(t, got.err)
			require.Equal(t, tc.lost, strings.Contains(got.log, "may be lost"), got.log)
			if tc.want != "" {
				require.Equal(t, tc.want, got.text)
				return
			}
			lines := strings.Split(got.text, "\n") // a line that was cut is ended
			require.True(t, strings.HasSuffix(got.text, plain(entries[60:])))
			require.Contains(t, lines, "line 0060")
		})
	}
}

// Whatever is rotated away, lines come in order, whole but for one that was cut, and none twice.
func TestFollowRepeatsNothingAfterRotation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := numbered(120)
		var connections []connection
		from, to := 0, 0
		for range rapid.IntRange(1, 10).Draw(rt, "connections") {
			to = min(len(entries), to+rapid.IntRange(0, 30).Draw(rt, "more"))
			from = min(to, from+rapid.SampledFrom([]int{0, 0, 1, 30}).Draw(rt, "rotated"))
			connections = append(connections, connection{from: from, to: to, cut: rapid.IntRange(-1, 2000).Draw(rt, "cut")})
		}
		got := follow(t, &script{entries: entries, connections: connections})
		if got.err != nil {
			rt.Fatal(got.err)
		}
		last := -1
		for line := range strings.Lines(got.text) {
			if len(line) < len("line 0000\n") {
				continue // one that was cut
			}
			i, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(line, "line "), "\n"))
			if err != nil || i <= last {
				rt.Fatalf("%q after line %d\n%s", line, last, got.text)
			}
			last = i
		}
	})
}

func TestFollowPassesOverWhatAKubeletSays(t *testing.T) {
	entries := tricky()
	whole := render(entries, time.Time{})
	for cut := range len(whole) + 1 {
		got := follow(t, &script{entries: entries, connections: []connection{{0, len(entries), cut, nil, "failed to create fsnotify watcher: too many open files"}}})
		require.NoError(t, got.err)
		clean := cut == 0 || whole[cut-1] == '\n'
		if clean {
			require.Equal(t, plain(entries), got.text, "between two lines")
			require.Contains(t, got.log, "too many open files")
			continue
		}
		// within a line it cannot be told from the line: that one is ended, and follows once more as it is
		require.Contains(t, got.text, lineAt(whole, cut), "cut after %d bytes:\n%s", cut, got.text)
		require.GreaterOrEqual(t, len(got.text), len(plain(entries)))
	}
}

// lineAt is the line that a cut falls into, without its stamp.
func lineAt(whole []byte, cut int) string {
	begin := bytes.LastIndexByte(whole[:cut], '\n') + 1
	line, _, _ := strings.Cut(string(whole[begin:]), "\n")
	_, text, _ := strings.Cut(line, " ")
	return text
}

// blocking is a stream that stays open after its text until the connection is given up.
func blocking(ctx context.Context, text []byte) io.ReadCloser {
	return io.NopCloser(io.MultiReader(bytes.NewReader(text), waitReader{ctx}))
}

type waitReader struct{ ctx context.Context }

func (w waitReader) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}

func TestFollowDoesNotWaitForALineThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entries := numbered(50)
		ended := make(chan struct{})
		opened, begun := 0, time.Now()
		var out bytes.Buffer
		f := &follower{out: &out, log: slog.New(slog.DiscardHandler), ended: ended, open: func(ctx context.Context, since time.Time, _ bool) (io.ReadCloser, error) {
			opened++
			switch opened {
			case 1:
				return io.NopCloser(bytes.NewReader(render(entries[:40], since))), nil
			case 2:
				return blocking(ctx, render(entries[42:43], since)), nil // 0.6 s later than the last one, then nothing for hours
			case 3:
				text := render(entries[42:43], since)
				time.AfterFunc(time.Hour, func() { close(ended) })
				return blocking(ctx, text), nil
			}
			return io.NopCloser(bytes.NewReader(render(entries[42:43], since))), nil
		}}
		done := make(chan error, 1)
		go func() { done <- f.run(t.Context()) }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, plain(entries[:40])+plain(entries[42:43]), out.String(), "long before the stream ends")
		require.NoError(t, <-done)
		require.Less(t, time.Since(begun), 2*time.Hour)
	})
}

func TestFollowGivesUp(t *testing.T) {
	errDisk := errors.New("disk full")
	cause := errors.New("cancelled")
	unsteady := 0.0
	for name, tc := range map[string]struct {
		open   func(ctx context.Context) (io.ReadCloser, error)
		ended  bool
		out    io.Writer
		want   error
		within time.Duration
	}{
		"a log that is never readable": {func(context.Context) (io.ReadCloser, error) { return nil, errors.New("no route to host") }, true, io.Discard, errUnread, time.Minute},
		"a pod that is gone":           {func(context.Context) (io.ReadCloser, error) { return nil, cluster.ErrNotFound }, true, io.Discard, errUnread, time.Second},
		"a stream that says nothing":   {func(ctx context.Context) (io.ReadCloser, error) { return blocking(ctx, nil), nil }, true, io.Discard, errUnread, 2 * time.Minute},
		"what is no log": {func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("unable to retrieve container logs for containerd://0")), nil
		}, true, io.Discard, errUnread, time.Minute},
		"lines that come and go": {func(context.Context) (io.ReadCloser, error) {
			unsteady += 10
			return io.NopCloser(strings.NewReader(second(unsteady).Format(kubeletStamp) + " x\n")), nil
		}, true, io.Discard, errUnread, time.Minute},
		"a refusal": {func(context.Context) (io.ReadCloser, error) { return nil, cluster.ErrDenied }, false, io.Discard, cluster.ErrDenied, 20 * time.Second},
		"a writer": {func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("2026-01-02T03:04:05Z x\n")), nil
		}, false, badWriter{errDisk}, errDisk, time.Second},
		"a context":           {func(ctx context.Context) (io.ReadCloser, error) { return blocking(ctx, nil), nil }, false, io.Discard, cause, time.Hour},
		"between two streams": {func(context.Context) (io.ReadCloser, error) { return nil, io.ErrUnexpectedEOF }, false, io.Discard, cause, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(59*time.Minute, func() { cancel(cause) })
				ended := make(chan struct{})
				if tc.ended {
					close(ended)
				}
				f := &follower{out: tc.out, log: slog.New(slog.DiscardHandler), ended: ended, open: func(ctx context.Context, _ time.Time, _ bool) (io.ReadCloser, error) {
					return tc.open(ctx)
				}}
				begun := time.Now()
				require.ErrorIs(t, f.run(ctx), tc.want)
				require.LessOrEqual(t, time.Since(begun), tc.within)
				cancel(nil)
			})
		})
	}
}

type badWriter struct{ err error }

func (f badWriter) Write([]byte) (int, error) { return 0, f.err }

// A kubelet under disk pressure removes what a container has left as soon as it ends.
func TestFollowDoesNotInsistOnWhatItHasRead(t *testing.T) {
	for name, tc := range map[string]struct {
		ends time.Duration // after the stream was closed
		want error
	}{"closed by its end": {time.Second, nil}, "closed long before": {time.Minute, errUnread}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan struct{})
				time.AfterFunc(tc.ends, func() { close(ended) })
				opened := 0
				var text bytes.Buffer
				f := &follower{out: io.Discard, log: slog.New(slog.NewTextHandler(&text, nil)), ended: ended, open: func(context.Context, time.Time, bool) (io.ReadCloser, error) {
					if opened++; opened > 1 {
						return io.NopCloser(strings.NewReader("unable to retrieve container logs for containerd://0")), nil
					}
					return io.NopCloser(bytes.NewReader(render(numbered(3), time.Time{}))), nil
				}}
				require.ErrorIs(t, f.run(t.Context()), tc.want)
				require.Contains(t, text.String(), "unable to retrieve")
			})
		})
	}
}

// A server that starts again refuses for some time what it has allowed before.
func TestFollowOutlastsAShortRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ended := make(chan struct{})
		close(ended)
		var out bytes.Buffer
		f := &follower{out: &out, log: slog.New(slog.DiscardHandler), ended: ended, open: func(_ context.Context, since time.Time, _ bool) (io.ReadCloser, error) {
			if time.Since(begun) < 5*time.Second {
				return nil, cluster.ErrDenied
			}
			return io.NopCloser(bytes.NewReader(render(numbered(3), since))), nil
		}}
		require.NoError(t, f.run(t.Context()))
		require.Equal(t, plain(numbered(3)), out.String())
	})
}

// A slow reader is no dead node: nothing is given up while its writer takes its time.
func TestFollowWaitsForASlowWriter(t *testing.T) {
	entries := numbered(20)
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		close(ended)
		opened := 0
		var out bytes.Buffer
		f := &follower{out: slow{&out}, log: slog.New(slog.DiscardHandler), ended: ended, open: func(ctx context.Context, since time.Time, _ bool) (io.ReadCloser, error) {
			opened++
			text := render(entries[:min(opened, len(entries))], since)
			end := io.Reader(ctxReader{ctx})
			if opened < len(entries) { // one more line each time, and then it breaks
				end = iotest.ErrReader(io.ErrUnexpectedEOF)
			}
			return io.NopCloser(io.MultiReader(bytes.NewReader(text), end)), nil
		}}
		require.NoError(t, f.run(t.Context()))
		require.Equal(t, plain(entries), out.String())
	})
}

type slow struct{ w io.Writer }

func (s slow) Write(p []byte) (int, error) {
	time.Sleep(time.Minute)
	return s.w.Write(p)
}

type ctxReader struct{ ctx context.Context }

func (c ctxReader) Read([]byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, c.ctx.Err()
	}
	return 0, io.EOF
}

var manyX = bytes.Repeat([]byte{'x'}, 64<<10)

// endless is a line of so many bytes.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), e.left)], manyX)
	e.left -= n
	return n, nil
}

type counter struct {
	n    int64
	peak uint64
}

func (c *counter) Write(p []byte) (int, error) {
	if c.n += int64(len(p)); c.n%(4<<20) < int64(len(p)) {
		var m runtime.MemStats
		runtime.GC() // how much there is of garbage depends on what ran before
		runtime.ReadMemStats(&m)
		c.peak = max(c.peak, m.HeapAlloc)
	}
	return len(p), nil
}

func TestFollowTakesLittleMemoryForALongLine(t *testing.T) {
	const size = 64 << 20
	ended := make(chan struct{})
	close(ended)
	out := &counter{}
	opened := 0
	f := &follower{out: out, log: slog.New(slog.DiscardHandler), ended: ended, open: func(context.Context, time.Time, bool) (io.ReadCloser, error) {
		opened++
		return io.NopCloser(io.MultiReader(strings.NewReader("2026-01-02T03:04:05Z "), &endless{size >> max(0, 2-opened)})), nil
	}}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	require.NoError(t, f.run(t.Context()))
	require.EqualValues(t, size, out.n)
	require.Less(t, out.peak, before.HeapAlloc+8<<20)
}
