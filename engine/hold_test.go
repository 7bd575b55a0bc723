package engine

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/davit-project/davit/function"
)

// quiesced is an action in the order of a consistent snapshot. Functions: once, as a command in a pod is.
const quiesced = header + `
  backup:
    phases:
    - {func: Once, name: freeze, release: [thaw, resume], maxHold: 1m}
    - {func: Make, name: cut}
    - {func: Once, name: thaw}
    - {func: Echo, name: resume}
    - {func: Make, name: wait}
    deferPhase: {func: Echo, name: z}
`

// database is quiesced by freeze and let go by thaw; both may be repeated.
type database struct {
	*world
	frozen bool
	// during is called in a phase.
	during map[string]func(context.Context) error
}

func newDatabase() *database {
	db := &database{world: newWorld(), during: map[string]func(context.Context) error{}}
	db.hook = func(ctx context.Context, call *function.Call) error {
		switch call.Phase {
		case "freeze":
			db.frozen = true
		case "thaw":
			db.frozen = false
		case "cut":
			if !db.frozen {
				return errors.New("the database is not quiesced")
			}
		}
		if f := db.during[call.Phase]; f != nil {
			return f(ctx)
		}
		return nil
	}
	return db
}

func (db *database) run(ctx context.Context, t *testing.T, text string, j Journal) (*Result, error) {
	return New(db.registry(t), newObjects(), nil).Run(ctx, specOf(t, text, "backup"), j)
}

func phaseStates(res *Result) map[string]RunState {
	states := map[string]RunState{}
	for _, p := range res.Actions[0].Phases {
		states[p.Name] = p.State
	}
	return states
}

func TestReleaseRunsInItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase()
		pause := func(context.Context) error { time.Sleep(time.Second); return nil }
		db.during["cut"], db.during["resume"], db.during["wait"] = pause, pause, pause
		j := &MemoryJournal{}
		res, err := db.run(t.Context(), t, quiesced, j)
		require.NoError(t, err)
		events, err := j.Events(t.Context())
		require.NoError(t, err)
		for _, e := range events {
			want := time.Duration(0)
			if e.Kind == PhaseComplete && e.Name == "resume" {
				want = 2 * time.Second
			}
			require.Equal(t, want, e.Held, "%s %s", e.Kind, e.Name)
		}
		require.Equal(t, []string{"freeze:call", "cut:call", "thaw:call", "resume:call", "wait:call", "z:call"}, db.log)
		require.Equal(t, 2*time.Second, res.Actions[0].Phases[0].Held)
		require.Zero(t, res.Actions[0].Phases[1].Held)
	})
}

func TestReleaseRunsWhateverHappens(t *testing.T) {
	oops := errors.New("oops")
	tests := map[string]struct {
		fails map[string]error
		want  []string
		state map[string]RunState
	}{
		"a phase in between fails": {
			map[string]error{"cut": oops},
			[]string{"freeze", "cut", "thaw", "resume", "z"},
			map[string]RunState{"cut": Failed, "thaw": Complete, "resume": Complete, "wait": Pending},
		},
		"quiescing fails": {
			map[string]error{"freeze": oops},
			[]string{"freeze", "thaw", "resume", "z"},
			map[string]RunState{"freeze": Failed, "cut": Pending, "thaw": Complete, "resume": Complete, "wait": Pending},
		},
		"one of the releases fails": {
			map[string]error{"thaw": oops},
			[]string{"freeze", "cut", "thaw", "resume", "z"},
			map[string]RunState{"thaw": Failed, "resume": Complete, "wait": Pending},
		},
		"a phase afterwards fails": {
			map[string]error{"wait": oops},
			[]string{"freeze", "cut", "thaw", "resume", "wait", "z"},
			map[string]RunState{"thaw": Complete, "resume": Complete, "wait": Failed},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			db := newDatabase()
			for phase, err := range tc.fails {
				db.during[phase] = func(context.Context) error { return err }
			}
			res, err := db.run(t.Context(), t, quiesced, &MemoryJournal{})
			require.ErrorIs(t, err, oops)
			require.Equal(t, Failed, res.State)
			var got []string
			for _, l := range db.log {
				got = append(got, l[:len(l)-len(":call")])
			}
			require.Equal(t, tc.want, got)
			states := phaseStates(res)
			for phase, want := range tc.state {
				require.Equal(t, want, states[phase], phase)
			}
		})
	}
}

func TestReleaseRunsOnCancel(t *testing.T) {
	for _, phase := range []string{"freeze", "cut", "thaw", "resume", "wait"} {
		t.Run(phase, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := newDatabase()
				ctx, cancel := context.WithCancel(t.Context())
				stopped := false
				db.during[phase] = func(ctx context.Context) error {
					cancel()
					select {
					case <-ctx.Done():
						stopped = true
						return ctx.Err()
					case <-time.After(time.Second):
						return nil
					}
				}
				res, err := db.run(ctx, t, quiesced, &MemoryJournal{})
				require.ErrorIs(t, err, ErrCancelled)
				require.Equal(t, Cancelled, res.State)
				require.Equal(t, phase != "thaw" && phase != "resume", stopped, "only what undoes is not stopped")
				require.False(t, db.frozen)
				require.Equal(t, []int{1, 1, 1}, []int{db.count("thaw"), db.count("resume"), db.count("z")})
			})
		})
	}
}

func TestMaxHold(t *testing.T) {
	for _, phase := range []string{"freeze", "cut", "thaw", "wait"} {
		t.Run(phase, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := newDatabase()
				db.during[phase] = func(ctx context.Context) error {
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(5 * time.Minute):
						return nil
					}
				}
				res, err := db.run(t.Context(), t, quiesced, &MemoryJournal{})
				require.False(t, db.frozen)
				if phase == "thaw" || phase == "wait" {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, ErrMaxHold)
				require.ErrorContains(t, err, `phase "freeze" allows 1m0s`)
				require.Equal(t, time.Minute, res.Actions[0].Phases[0].Held)
			})
		})
	}
}

func TestMaxHoldEndsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase()
		db.during["cut"] = func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Second):
				return errors.New("busy")
			}
		}
		const text = header + `
  backup:
    phases:
    - {func: Once, name: freeze, release: [thaw], maxHold: 1m}
    - {func: Make, name: cut, retry: {attempts: 100, backoff: 10s, maxBackoff: 10s}}
    - {func: Once, name: thaw}
`
		start := time.Now()
		_, err := db.run(t.Context(), t, text, &MemoryJournal{})
		require.ErrorIs(t, err, ErrFailed)
		require.LessOrEqual(t, time.Since(start), time.Minute)
		require.Greater(t, db.count("cut"), 2)
		require.False(t, db.frozen)
	})
}

// The host dies while the database is quiesced, and comes back within the hold or long after it.
func TestReleaseAfterACrash(t *testing.T) {
	for _, away := range []time.Duration{time.Second, time.Hour} {
		for events := 2; events <= 12; events++ {
			synctest.Test(t, func(t *testing.T) {
				db, j := newDatabase(), &mortalJournal{left: events}
				// no resumed freeze: it is a command in a pod, and whether it worked is not known
				_, err := db.run(t.Context(), t, quiesced, j)
				require.ErrorIs(t, err, errCrash)
				wasFrozen := db.frozen
				time.Sleep(away)
				j.left = 100
				start := time.Now()
				res, err := db.run(t.Context(), t, quiesced, j)
				require.False(t, db.frozen, "after %d events", events)
				require.Zero(t, time.Since(start))
				require.Positive(t, db.count("thaw"))
				require.Positive(t, db.count("resume"))
				if wasFrozen && away > time.Minute && phaseStates(res)["cut"] != Complete {
					require.Equal(t, Failed, res.State)
					require.Zero(t, db.count("wait"))
				}
				if err == nil {
					require.Equal(t, Complete, res.State)
				}
				events, _ := j.Events(t.Context())
				checkHistory(t, events)
			})
		}
	}
}

func TestReleaseIsSkippedWithWhatItUndoes(t *testing.T) {
	db := newDatabase()
	res, err := db.run(t.Context(), t, header+`
  backup:
    phases:
    - {func: Once, name: freeze, if: "false", release: [thaw]}
    - {func: Echo, name: other}
    - {func: Once, name: thaw}
`, &MemoryJournal{})
	require.NoError(t, err)
	require.Equal(t, map[string]RunState{"freeze": Skipped, "other": Complete, "thaw": Skipped}, phaseStates(res))
	require.Zero(t, res.Actions[0].Phases[0].Held)
}

func TestReleaseOfAnUnknownPhaseIsInvalid(t *testing.T) {
	db := newDatabase()
	_, err := db.run(t.Context(), t, header+"  backup: {phases: [{func: Once, name: freeze, release: [melt]}]}\n", &MemoryJournal{})
	require.ErrorIs(t, err, ErrInvalid)
	require.ErrorContains(t, err, `releases "melt", which is no later phase`)
	require.Zero(t, db.count("freeze"))
}

func TestPlanTellsOfReleases(t *testing.T) {
	plan, err := New(newDatabase().registry(t), newObjects(), nil).Plan(specOf(t, quiesced, "backup"))
	require.NoError(t, err)
	require.Equal(t, []string{"thaw", "resume"}, plan.Actions[0].Phases[0].Release)
	require.Equal(t, time.Minute, plan.Actions[0].Phases[0].MaxHold)
}

// TestHoldModel lets random phases fail, the run be cancelled and the host die: whoever began to quiesce lets go.
func TestHoldModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		failing := rapid.SliceOfN(rapid.Float64Range(0, 1), 64, 64).Draw(rt, "failing")
		db, j, call := newDatabase(), &mortalJournal{}, 0
		freeze := db.hook
		var cancel context.CancelFunc
		db.hook = func(ctx context.Context, c *function.Call) error {
			if err := freeze(ctx, c); err != nil {
				return err
			}
			call++
			switch p := failing[call%len(failing)]; {
			case p < 0.1 && c.Phase != "thaw":
				return errors.New("failed")
			case p < 0.2:
				cancel()
			}
			return nil
		}
		res := untilItEnds(rt, j, &cancel, func(ctx context.Context) (*Result, error) { return db.run(ctx, t, quiesced, j) })
		require.False(rt, db.frozen)
		events, _ := j.Events(t.Context())
		checkHistory(rt, events)
		states := phaseStates(res)
		if states["freeze"] != Pending {
			require.Equal(rt, []int{1, 1}, []int{min(db.count("thaw"), 1), min(db.count("resume"), 1)})
			last := slices.Max([]int{slices.Index(db.log, "freeze:call"), slices.Index(db.log, "cut:call")})
			require.Greater(rt, lastIndex(db.log, "thaw:call"), last)
		}
		if states["wait"] == Complete {
			require.Equal(rt, Complete, states["cut"])
			require.Equal(rt, Complete, states["thaw"])
		}
	})
}

func lastIndex(log []string, what string) int {
	for i := len(log) - 1; i >= 0; i-- {
		if log[i] == what {
			return i
		}
	}
	return -1
}
