package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// A journal that does not begin with the start of a run is refused.
func TestRunRefusesAJournalWithoutBeginning(t *testing.T) {
	j := &MemoryJournal{}
	require.NoError(t, j.Append(t.Context(), Event{Seq: 1, Kind: CancelAsked}))
	_, err := New(newWorld().registry(t), newObjects(), nil).Run(t.Context(), specOf(t, twoPhases, "backup"), j)
	require.ErrorIs(t, err, ErrJournal)
}

// An error of any length is kept in part: an event that the journal cannot hold would stop the run for ever.
func TestLongErrorsDoNotBreakTheJournal(t *testing.T) {
	w := newWorld()
	w.hook = func(_ context.Context, call *function.Call) error {
		if call.Phase == "a" {
			return errors.New("began" + strings.Repeat("é\x00", maxEvent/2) + "ended")
		}
		return nil
	}
	j, err := OpenFile(filepath.Join(t.TempDir(), "j"))
	require.NoError(t, err)
	defer j.Close()
	res, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), specOf(t, header+
		"  backup: {phases: [{func: Echo, name: a}], deferPhase: {func: Echo, name: z}}\n", "backup"), j)
	require.ErrorIs(t, err, ErrFailed)
	require.NotErrorIs(t, err, ErrJournal)
	require.Equal(t, 1, w.count("z"))
	message := res.Actions[0].Phases[0].Failure.Message
	require.LessOrEqual(t, len(message), maxMessage)
	require.True(t, strings.HasPrefix(message, "began") && strings.HasSuffix(message, "ended"))
	require.Equal(t, strings.ToValidUTF8(message, "?"), message)
}

func TestArtifactsAreBounded(t *testing.T) {
	res, err := New(newWorld().registry(t), newObjects(), &Options{MaxOutput: 1000}).Run(t.Context(), specOf(t, header+`
  backup:
    outputArtifacts: {dump: {keyValue: {path: '{{ repeat 2000 "x" }}'}}}
    phases: [{func: Echo, name: a}]
`, "backup"), &MemoryJournal{})
	require.ErrorIs(t, err, ErrOutputTooLarge)
	require.Equal(t, Failed, res.State)
}

// slowSource answers for secrets only when the context ends.
type slowSource struct {
	*objects
	asked func()
}

func (s slowSource) Secret(ctx context.Context, _, _ string) (template.Secret, error) {
	s.asked()
	<-ctx.Done()
	return template.Secret{}, ctx.Err()
}

// A phase that ends while its objects are being read says why it ended, and is not tried again.
func TestStoppedWhileReadingObjects(t *testing.T) {
	for _, want := range []error{ErrTimeout, ErrCancelled} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			asked := 0
			source := slowSource{newObjects(), func() {
				asked++
				if errors.Is(want, ErrCancelled) {
					cancel()
				}
			}}
			w := newWorld()
			_, err := New(w.registry(t), source, nil).Run(ctx, specOf(t, header+`
  backup:
    phases: [{func: Echo, name: a, timeout: 10s, retry: {attempts: 3}, objects: {s: {kind: Secret, name: s, namespace: app}}}]
`, "backup"), &MemoryJournal{})
			var phase *PhaseError
			require.ErrorAs(t, err, &phase)
			require.ErrorIs(t, phase, want)
			require.Equal(t, 1, asked)
			require.Zero(t, w.count("a"))
		})
	}
}

// What a function leaves for later may panic, leave something for later itself, and come late.
func TestAfterRecordMisbehaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var done []string
		release := make(chan struct{})
		w.hook = func(ctx context.Context, call *function.Call) error {
			if call.Phase == "late" {
				<-release
			}
			call.AfterRecord(ctx, "outer", func(ctx context.Context) error {
				call.AfterRecord(ctx, "inner", func(context.Context) error {
					done = append(done, call.Phase)
					return nil
				})
				panic("oh dear")
			})
			return nil
		}
		res, err := New(w.registry(t), newObjects(), &Options{StopGrace: time.Second}).Run(t.Context(), specOf(t, header+`
  backup: {phases: [{func: Echo, name: a}, {func: Echo, name: late, timeout: 1s}]}
`, "backup"), &MemoryJournal{})
		require.ErrorIs(t, err, ErrTimeout)
		require.Equal(t, []string{"a"}, done)
		require.Contains(t, res.Left, "outer: panic: oh dear")
		close(release)
		synctest.Wait()
		require.Equal(t, []string{"a", "late"}, done)
	})
}

// The wait between attempts follows the engine's clock, is never longer than was journalled, and does not outlast the phase's time.
func TestWaitsAreBounded(t *testing.T) {
	run := func(t *testing.T, phases string, now func() time.Time) (*Result, *world, time.Duration) {
		w := newWorld()
		w.hook = func(_ context.Context, call *function.Call) error {
			if call.Attempt == 1 {
				return errors.New("once more")
			}
			return nil
		}
		e := New(w.registry(t), newObjects(), &Options{Now: now, DeferTimeout: time.Minute})
		e.jitter = func() float64 { return 1 }
		start := time.Now()
		res, _ := e.Run(t.Context(), specOf(t, header+phases, "backup"), &MemoryJournal{})
		return res, w, time.Since(start)
	}
	const retried = "  backup: {phases: [{func: Echo, name: a, timeout: 1m, retry: {attempts: 2, backoff: 8s}}]}\n"
	t.Run("another clock", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			shift := -1000 * time.Hour
			res, _, took := run(t, retried, func() time.Time { return time.Now().Add(shift) })
			require.Equal(t, Complete, res.State)
			require.Equal(t, 8*time.Second, took)
		})
	})
	t.Run("backwards", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			res, _, took := run(t, retried, func() time.Time { n++; return time.Now().Add(-time.Duration(n) * time.Hour) })
			require.Equal(t, Complete, res.State)
			require.Equal(t, 8*time.Second, took)
		})
	})
	t.Run("past the timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			res, w, took := run(t, `
  backup:
    phases: [{func: Echo, name: a, timeout: 1m, retry: {attempts: 2, backoff: 2m}}]
    deferPhase: {func: Echo, name: z, retry: {attempts: 2, backoff: 2m}}
`, nil)
			require.Equal(t, Failed, res.State)
			require.Zero(t, took)
			require.Equal(t, 1, w.count("z"))
			require.ErrorContains(t, res.Err(), "once more")
		})
	})
}

// A run whose host cannot read its secrets gives what is known of it beside the error.
func TestResumeThatFailsGivesAResult(t *testing.T) {
	source := newObjects()
	source.secret("pw", "password", "correct horse")
	spec := specOf(t, twoPhases, "backup")
	spec.Actions[0].Secrets = map[string]template.ObjectReference{"pw": {Namespace: "app", Name: "pw"}}
	j := &mortalJournal{left: 2}
	_, err := New(newWorld().registry(t), source, nil).Run(t.Context(), spec, j)
	require.ErrorIs(t, err, errCrash)
	delete(source.secrets, "app/pw")
	res, err := New(newWorld().registry(t), source, nil).Resume(t.Context(), j)
	require.ErrorContains(t, err, "cannot be resumed")
	require.Equal(t, Running, res.State)
}

func TestSpellingsThatOtherProgramsWrite(t *testing.T) {
	const secret = `p@$s"<w/rd>&é`
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	require.NoError(t, enc.Encode(secret))
	v := newVault()
	v.add(secretRef{Name: "s"}, secret)
	require.Equal(t, "\"[masked]\"\n", v.mask(plain.String()))
	require.Equal(t, "db://u:[masked]@host", v.mask((&url.URL{Scheme: "db", User: url.UserPassword("u", secret), Host: "host"}).String()))
	binary := "\xff\xfekey\x80more"
	v.add(secretRef{Name: "b"}, binary)
	values, err := v.encodeValues(map[string]any{"raw": binary})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"raw": masked}, values.Masked())
}

// A number that is a secret is no less one: it is masked, and still a number for whoever uses it.
func TestNumbersAreMasked(t *testing.T) {
	v := newVault()
	v.add(secretRef{Name: "pin"}, "48151623")
	values, err := v.encodeValues(map[string]any{"pin": 48151623, "n": 7, "list": []any{48151623}})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"pin": masked, "n": int64(7), "list": []any{masked}}, values.Masked())
	data, err := json.Marshal(values)
	require.NoError(t, err)
	require.NotContains(t, string(data), "48151623")
	var back Values
	require.NoError(t, json.Unmarshal(data, &back))
	tree, err := v.expand(map[string]any(back))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"pin": int64(48151623), "n": int64(7), "list": []any{int64(48151623)}}, tree)
}

func TestLogMasksKeysNumbersAndBytes(t *testing.T) {
	v := newVault()
	v.add(secretRef{Name: "pin"}, "48151623")
	var out bytes.Buffer
	logger := slog.New(&maskHandler{slog.NewTextHandler(&out, nil), v})
	logger.Info("x", "pin", 48151623, "raw", []byte("48151623"), "48151623", "v", slog.Group("48151623", "k", 48151623.0), "n", 5)
	require.NotContains(t, out.String(), "48151623")
	require.NotContains(t, out.String(), "52 56") // the bytes in decimal
	require.Contains(t, out.String(), "n=5")
}

func TestSweepIsMasked(t *testing.T) {
	source := newObjects()
	source.secret("pw", "password", "correct horse")
	spec := specOf(t, twoPhases, "backup")
	spec.Actions[0].Secrets = map[string]template.ObjectReference{"pw": {Namespace: "app", Name: "pw"}}
	sweep := sweeper(func(map[string]string) ([]string, error) { return []string{"correct horse"}, nil })
	res, err := New(newWorld().registry(t), source, &Options{Sweep: sweep}).Run(t.Context(), spec, &MemoryJournal{})
	require.NoError(t, err)
	require.Equal(t, []string{masked}, res.Left)
}

// The largest event that can be written can be read.
func TestFileJournalReadsItsLargestEvent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, err := OpenFile(path)
	require.NoError(t, err)
	e := Event{Seq: 1, Kind: RunStarted, Error: &Failure{}}
	require.NoError(t, j.Append(t.Context(), e))
	info, err := os.Stat(path)
	require.NoError(t, err)
	e.Seq = 2
	free := maxEvent - int(info.Size()) + 1
	crc := func(n int) int { // the checksum's digits vary
		e.Error.Message = strings.Repeat("x", n)
		raw, err := json.Marshal(e)
		require.NoError(t, err)
		data, err := json.Marshal(line{checksum(raw), raw})
		require.NoError(t, err)
		return len(data)
	}
	n := free
	for d := crc(n) - maxEvent; d != 0; d = crc(n) - maxEvent {
		n -= d
	}
	require.NoError(t, j.Append(t.Context(), e))
	require.NoError(t, j.Close())
	_, err = ReadFile(path)
	require.NoError(t, err)
}

// A journal that was removed between opening and locking it is not the run's journal any more.
func TestFileJournalIsTheFileOfThatName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.Remove(path))
	require.ErrorIs(t, (&FileJournal{file: f}).open(path), errReplaced)
}

func TestFileJournalIsClosedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, err := OpenFile(path)
	require.NoError(t, err)
	require.NoError(t, j.Close())
	other, err := OpenFile(path)
	require.NoError(t, err)
	defer other.Close()
	require.Error(t, j.Close())
	require.FileExists(t, path, "it is another's by now")
}
