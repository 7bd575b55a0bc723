package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

// on is a condition on an object.
func on(name, condition string) map[string]any {
	return map[string]any{"condition": condition, "objectReference": ref(name)}
}

func waitFor(anyOf, allOf []any) map[string]any {
	conditions := map[string]any{}
	if anyOf != nil {
		conditions["anyOf"] = anyOf
	}
	if allOf != nil {
		conditions["allOf"] = allOf
	}
	return map[string]any{"timeout": "1m", "conditions": conditions}
}

// TestWaitLogic tells what ends a wait: yes and no are objects with a value, gone is none.
func TestWaitLogic(t *testing.T) {
	t.Parallel()
	const yes, no, gone = "yes", "no", "gone"
	for name, c := range map[string]struct {
		anyOf, allOf []string
		met          bool
	}{
		"any":                           {[]string{yes}, nil, true},
		"not any":                       {[]string{no}, nil, false},
		"second of any":                 {[]string{no, yes}, nil, true},
		"error hides nothing":           {[]string{gone, yes}, nil, true},
		"all":                           {nil, []string{yes, yes}, true},
		"not all":                       {nil, []string{yes, no}, false},
		"error in all":                  {nil, []string{yes, gone}, false},
		"any is enough":                 {[]string{yes}, []string{no}, true},
		"all in place of any":           {[]string{no}, []string{yes}, true},
		"all in place of an error":      {[]string{gone}, []string{yes}, true},
		"neither":                       {[]string{no}, []string{no}, false},
		"empty all is not enough":       {[]string{no}, []string{}, false},
		"all with a last one not there": {[]string{no, gone}, []string{yes, gone}, false},
	} {
		for function, condition := range map[string]string{"Wait": "{$.value}", "WaitV2": "{{ .value }}"} {
			t.Run(name+"/"+function, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := &fakeCluster{objects: map[string]map[string]any{yes: {"value": true}, no: {"value": false}}}
					list := func(names []string) []any {
						var out []any
						for _, n := range names {
							out = append(out, on(n, condition))
						}
						return out
					}
					call, _ := functiontest.NewCall("id")
					_, err := get(t, f.deps(), function).Exec(t.Context(), call, waitFor(list(c.anyOf), list(c.allOf)))
					if c.met {
						require.NoError(t, err)
						return
					}
					require.ErrorIs(t, err, ErrTimeout)
				})
			})
		}
	}
}

func TestWaitPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeCluster{}
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			f.set("p", map[string]any{"status": map[string]any{}})
			time.Sleep(29 * time.Second)
			f.set("p", map[string]any{"status": map[string]any{"phase": "Running"}})
		}()
		call, rec := functiontest.NewCall("id")
		_, err := get(t, f.deps(), "WaitV2").Exec(t.Context(), call, waitFor([]any{on("p", `{{ eq .status.phase "Running" }}`)}, nil))
		require.NoError(t, err)
		// Pauses of 0.1, 0.2, … 6.4 s are 12.7 s in all; then come 10 s each.
		require.Equal(t, 32700*time.Millisecond, time.Since(began))
		notes := rec.Progress()
		require.Equal(t, "waiting for anyOf[0] on pods ns/p: pods ns/p: not found", notes[0].Note)
		require.Len(t, notes, 2, "only what is new is reported: %v", notes)
	})
}

func TestWaitTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeCluster{objects: map[string]map[string]any{"p": {"phase": "Pending", "token": "secret" + strings.Repeat("x", 100)}}}
		call, rec := functiontest.NewCall("id")
		rec.Hide("secret")
		began := time.Now()
		_, err := get(t, f.deps(), "WaitV2").Exec(t.Context(), call, waitFor(
			[]any{on("p", "{{ .phase }}"), on("p", "{{ .token }}")},
			[]any{on("gone", "{{ .phase }}"), on("p", "{{ .phase.deep }}")},
		))
		require.Equal(t, time.Minute, time.Since(began))
		require.ErrorIs(t, err, ErrTimeout)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "it is not the phase that ran out of time")
		require.False(t, function.IsPermanent(err))
		require.EqualError(t, err, `conditions not met in time: waited 1m0s for 4 conditions:
anyOf[0] on pods ns/p: is "Pending"
anyOf[1] on pods ns/p: is "[masked]`+strings.Repeat("x", 56)+`"…
allOf[0] on pods ns/gone: pods ns/gone: not found
allOf[1] on pods ns/p: field: a string has no field "deep"`)
	})
}

// reader reads objects by a function and can do nothing else.
type reader struct {
	cluster.Objects
	get func(ctx context.Context, ref cluster.Ref) (map[string]any, error)
}

func (r reader) Get(ctx context.Context, ref cluster.Ref) (map[string]any, error) {
	return r.get(ctx, ref)
}

func TestWaitSlowReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		d := Deps{Objects: reader{get: func(ctx context.Context, _ cluster.Ref) (map[string]any, error) {
			if reads++; reads == 1 {
				return map[string]any{"phase": "Pending"}, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}}}
		call, _ := functiontest.NewCall("id")
		began := time.Now()
		_, err := get(t, d, "WaitV2").Exec(t.Context(), call, waitFor([]any{on("p", "{{ .phase }}"), on("p", "{{ .other }}")}, nil))
		require.Equal(t, time.Minute, time.Since(began))
		require.ErrorContains(t, err, `anyOf[0] on pods ns/p: is "Pending"`, "what was seen last is told")
		require.Equal(t, 2, reads, "conditions on one object share a read")
	})
}

func TestWaitCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		began := time.Now()
		time.AfterFunc(20*time.Second, func() { cancel(stop) })
		call, _ := functiontest.NewCall("id")
		_, err := get(t, (&fakeCluster{}).deps(), "Wait").Exec(ctx, call, waitFor([]any{on("p", "{$.x}")}, nil))
		require.Equal(t, 20*time.Second, time.Since(began))
		require.ErrorIs(t, err, stop)
		require.NotErrorIs(t, err, ErrTimeout)
	})
}

func TestWaitInvalid(t *testing.T) {
	t.Parallel()
	var reads atomic.Int32
	d := Deps{Objects: reader{get: func(context.Context, cluster.Ref) (map[string]any, error) {
		reads.Add(1)
		return nil, fmt.Errorf("no such resource: %w", cluster.ErrInvalid)
	}}}
	for name, c := range map[string]struct {
		args map[string]any
		text string
	}{
		"no conditions":  {map[string]any{"timeout": "1m", "conditions": map[string]any{}}, "anyOf and allOf are both empty"},
		"empty lists":    {waitFor([]any{}, []any{}), "anyOf and allOf are both empty"},
		"timeout":        {map[string]any{"timeout": "0s", "conditions": map[string]any{"anyOf": []any{on("p", "x")}}}, "timeout must be more than zero"},
		"no resource":    {waitFor([]any{map[string]any{"condition": "x", "objectReference": map[string]any{"apiVersion": "v1", "name": "p"}}}, nil), "conditions.anyOf[0].objectReference must name a resource or a kind"},
		"no template":    {waitFor([]any{on("p", "{{ if }}")}, []any{on("p", "{{ nosuch }}")}), "conditions.allOf[0].condition: "},
		"first template": {waitFor([]any{on("p", "{{ if }}")}, []any{on("p", "{{ nosuch }}")}), "conditions.anyOf[0].condition: "},
		"no list":        {map[string]any{"timeout": "1m", "conditions": map[string]any{"anyOf": "x"}}, "conditions.anyOf[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, f := range []string{"Wait", "WaitV2"} {
				call, _ := functiontest.NewCall("id")
				_, err := get(t, d, f).Exec(t.Context(), call, c.args)
				require.ErrorContains(t, err, c.text)
				require.True(t, function.IsPermanent(err))
			}
		})
	}
	t.Run("resource", func(t *testing.T) {
		t.Parallel()
		call, _ := functiontest.NewCall("id")
		_, err := get(t, d, "WaitV2").Exec(t.Context(), call, waitFor([]any{on("p", "x")}, nil))
		require.EqualError(t, err, "anyOf[0] on pods ns/p: no such resource: invalid request")
		require.True(t, function.IsPermanent(err))
		require.EqualValues(t, 1, reads.Load(), "nothing was read before")
	})
}

func TestWaitCheck(t *testing.T) {
	t.Parallel()
	paths := func(problems []function.Problem) []string {
		out := []string{}
		for _, p := range problems {
			out = append(out, p.Path)
		}
		return out
	}
	noResource := map[string]any{"condition": "x", "objectReference": map[string]any{"apiVersion": "v1", "name": "p"}}
	for name, c := range map[string]struct {
		args map[string]any
		want []string
	}{
		"good":             {waitFor([]any{on("p", "true")}, nil), []string{}},
		"templated":        {map[string]any{"timeout": "{{ .Options.t }}", "conditions": map[string]any{"{{ .Options.x }}": []any{}}}, []string{"conditions.{{ .Options.x }}"}},
		"timeout":          {map[string]any{"timeout": "-1s", "conditions": map[string]any{"anyOf": []any{on("p", "true")}}}, []string{"timeout"}},
		"empty":            {waitFor(nil, nil), []string{"conditions"}},
		"two syntax":       {waitFor([]any{on("p", "{{ if }}")}, []any{on("p", "x"), on("p", "{{")}), []string{"conditions.allOf[1].condition", "conditions.anyOf[0].condition"}},
		"no resource":      {waitFor([]any{noResource}, nil), []string{"conditions.anyOf[0].objectReference"}},
		"parameters alone": {waitFor([]any{on("p", "{{ .Options.x }}")}, nil), []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, f := range []string{"Wait", "WaitV2"} {
				got := paths(get(t, Deps{}, f).Check(c.args))
				if name == "templated" {
					require.NotContains(t, got, "timeout")
					continue
				}
				require.Equal(t, c.want, got, f)
			}
		})
	}
}

func TestWaitRawPaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Wait", "WaitV2"} {
		s := get(t, Deps{}, name).Schema()
		require.True(t, s.RawPath("conditions.anyOf[0].condition"))
		require.False(t, s.RawPath("conditions.anyOf[0].objectReference.name"))
		require.False(t, s.RawPath("timeout"))
		require.Equal(t, function.Idempotent, s.Replay)
	}
	require.NotEmpty(t, get(t, Deps{}, "Wait").Schema().Deprecated)
}
