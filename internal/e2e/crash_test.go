//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/template"
)

// site makes places of one kind.
type site struct {
	name string
	make func(testing.TB) *place
	// pace is how much slower things happen there than here.
	pace time.Duration
}

// sites are this machine and a real Kubernetes.
var sites = []site{{"here", newPlace, 1}, {"kubernetes", newKubePlace, 20}}

// everywhere runs a test on each site; its cases run side by side on Kubernetes, where they mostly wait.
func everywhere(t *testing.T, test func(t *testing.T, s site)) {
	for _, s := range sites {
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
}

// beside lets the case run beside others where the site is Kubernetes.
func (s site) beside(t *testing.T) {
	if s.name == "kubernetes" {
		t.Parallel()
	}
}

// undisturbed is the result of a run that nobody interrupts; the time of its action differs from run to run.
func undisturbed(t *testing.T, s site) (template.Artifact, int) {
	p := s.make(t)
	p.allow(commands...)
	out := p.finish()
	require.Empty(t, out.Error)
	for _, c := range commands {
		require.Equal(t, 1, p.calls(c), c)
	}
	require.Empty(t, p.leftovers())
	journal, err := engine.ReadFile(p.journal())
	require.NoError(t, err)
	events, err := journal.Events(t.Context())
	require.NoError(t, err)
	want := out.Artifacts["result"]
	require.Equal(t, "1", want.KeyValue["replicas"])
	require.Equal(t, "finish "+canary, want.KeyValue["finish"])
	delete(want.KeyValue, "time")
	return want, len(events)
}

// TestKilledAfterEveryEvent kills the host, from outside, after every single event of the journal, and resumes.
func TestKilledAfterEveryEvent(t *testing.T) {
	everywhere(t, func(t *testing.T, s site) {
		want, events := undisturbed(t, s)
		for seq := 1; seq <= events; seq++ {
			t.Run(fmt.Sprint(seq), func(t *testing.T) {
				s.beside(t)
				p := s.make(t)
				p.allow(commands...)
				h := p.start(seq)
				require.True(t, h.until(seq))
				h.kill()
				p.noCanary(h.all.String())
				check(t, p, p.finish(), want)
			})
		}
	})
}

// TestKilledBeforeEveryEvent kills the host when something has happened and is about to be recorded: a command that has ended is not run again.
func TestKilledBeforeEveryEvent(t *testing.T) {
	everywhere(t, func(t *testing.T, s site) {
		want, events := undisturbed(t, s)
		for seq := 1; seq <= events; seq++ {
			t.Run(fmt.Sprint(seq), func(t *testing.T) {
				s.beside(t)
				p := s.make(t)
				p.allow(commands...)
				h := p.start(-seq)
				require.True(t, h.until(seq))
				h.kill()
				check(t, p, p.finish(), want)
			})
		}
	})
}

// TestKilledInEveryPhase kills the host in the middle of every command, which goes on meanwhile, and resumes.
func TestKilledInEveryPhase(t *testing.T) {
	everywhere(t, func(t *testing.T, s site) {
		want, _ := undisturbed(t, s)
		for i, phase := range commands {
			for _, twice := range []bool{false, true} {
				t.Run(fmt.Sprint(phase, " twice ", twice), func(t *testing.T) {
					s.beside(t)
					p := s.make(t)
					p.allow(commands[:i]...)
					for range map[bool]int{false: 1, true: 2}[twice] {
						h := p.start(0)
						if phase == "mark" && p.started(phase) {
							h.kill()
							break // its outcome is settled now
						}
						require.Eventually(t, func() bool { return p.started(phase) }, time.Minute, time.Millisecond)
						h.kill()
					}
					p.allow(commands...)
					check(t, p, p.finish(), want)
				})
			}
		}
	})
}

// TestKilledAtAnyTime kills the host again and again after random times.
func TestKilledAtAnyTime(t *testing.T) {
	everywhere(t, func(t *testing.T, s site) {
		want, _ := undisturbed(t, s)
		for seed := range 8 {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				s.beside(t)
				p := s.make(t)
				p.allow(commands...)
				for k := range 6 {
					h := p.start(0)
					time.Sleep(s.pace * time.Duration(20+(seed*37+k*61)%200) * time.Millisecond) // the point of the kill, not a wait for something
					h.kill()
				}
				check(t, p, p.finish(), want)
			})
		}
	})
}

// check asserts what must hold of every run that was resumed until it ended.
func check(t *testing.T, p *place, out outcome, want template.Artifact) {
	t.Helper()
	journal, err := engine.ReadFile(p.journal())
	require.NoError(t, err)
	events, err := journal.Events(t.Context())
	require.NoError(t, err)
	begun := map[int]int{}
	for _, e := range events {
		if e.Kind == engine.PhaseStarted {
			begun[e.Phase]++
		}
	}
	for phase, n := range begun {
		require.Equal(t, 1, n, "phase %d began more than once", phase)
	}
	for _, c := range commands {
		require.LessOrEqual(t, p.calls(c), 1, "%s ran more than once", c)
	}
	require.Equal(t, 1, p.calls("undo"), "the deferred phase did not run")
	require.Empty(t, p.leftovers())
	require.Empty(t, out.Result.Left)
	require.True(t, out.Result.State.Ended())
	if out.Unknown {
		require.Equal(t, engine.Failed, out.Result.State)
		require.Equal(t, engine.Failed, out.Result.Actions[0].Phases[1].State, "only the phase that is not safe to repeat may be unknown")
		return
	}
	require.Empty(t, out.Error)
	require.Equal(t, engine.Complete, out.Result.State)
	for _, c := range commands {
		require.Equal(t, 1, p.calls(c), c)
	}
	got := out.Artifacts["result"]
	delete(got.KeyValue, "time")
	require.Equal(t, want, got)
}
