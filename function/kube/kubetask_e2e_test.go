//go:build e2e

package kube_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/internal/testcluster"
)

func (p place) task(id string, command any, more map[string]any) phase {
	args := map[string]any{"namespace": p.ns, "image": testcluster.BusyboxImage, "command": command}
	for name, v := range more {
		args[name] = v
	}
	return phase{function: "KubeTask", id: id, args: args}
}

func TestKubeTaskOnACluster(t *testing.T) {
	p := newPlace(t)
	env := map[string]any{"containers": []any{map[string]any{"name": "container", "env": []any{map[string]any{"name": "EXTRA", "value": "more"}}}}}
	ph := p.task("good", script(`echo hello; `+output("k", "v")+` >&2; `+output("extra", "$EXTRA")+`; echo between; `+output("user", "$(id -u)")+`
		`+output("k", "from the file")+` >>"$DAVIT_RESULTS_FILE"; `+output("lost", "found")+` >>"$DAVIT_RESULTS_FILE"; wc -c <"$DAVIT_PROFILE_FILE"`),
		map[string]any{"podOverride": env, "podLabels": map[string]any{"createdBy": "kanister"}, "podAnnotations": map[string]any{"a": "b"}})
	ph.call = func(c *function.Call) { c.Profile = function.NewSecret(`{"Credential":"canary"}`) }
	r := p.run(ph)
	require.NoError(t, r.err)
	require.Equal(t, function.Outputs{"k": "v", "extra": "more", "user": "1000", "lost": "found"}, r.out)
	require.Contains(t, r.Log(), "msg=hello")
	require.Contains(t, r.Log(), "msg=23", "the profile's file has its length")
	require.NotContains(t, r.Log(), "canary")
	require.Empty(t, p.pods(), "the pod is removed")

	r = p.run(p.task("failing", script("echo last words; "+output("k", "hidden")+"; exit 7"), nil))
	var exit *cluster.ExitError
	require.ErrorAs(t, r.err, &exit)
	require.Equal(t, 7, exit.Code)
	require.True(t, strings.HasSuffix(r.err.Error(), ": exit code 7, last output:\nlast words"), r.err)
	require.False(t, function.IsPermanent(r.err))

	r = p.run(p.task("malformed", script("echo '###Phase-output###: no'; sleep 600"), nil))
	require.ErrorIs(t, r.err, kube.ErrOutputSyntax)
	require.Empty(t, p.pods())
}

func TestKubeTaskOnAClusterCannotRun(t *testing.T) {
	p := newPlace(t)
	privileged := map[string]any{"containers": []any{map[string]any{"name": "container", "securityContext": map[string]any{"privileged": true}}}}
	for name, c := range map[string]struct {
		ph        phase
		text      string
		permanent bool
	}{
		"no image":      {p.task("image", "true", map[string]any{"image": "localhost/absent:1"}), "localhost/absent:1", false},
		"bad image":     {p.task("bad-image", "true", map[string]any{"image": "No Image"}), "No Image", false},
		"no program":    {p.task("program", "no-such-program", nil), "no-such-program", false},
		"policy":        {p.task("policy", "true", map[string]any{"podOverride": privileged}), "privileged", true},
		"no node":       {p.task("node", "true", map[string]any{"podOverride": map[string]any{"nodeSelector": map[string]any{"no": "node"}}}), "", false},
		"bad label":     {p.task("label", "true", map[string]any{"podLabels": map[string]any{"a": "no label!"}}), "no label!", true},
		"no namespace":  {p.task("namespace", "true", nil), "", false},
		"no permission": {p.task("permission", "true", nil), "", false},
	} {
		switch name {
		case "no namespace":
			c.ph.host = p.host(p.Config, nil)
			c.ph.args["namespace"] = "absent"
		case "no permission":
			c.ph.host = p.host(p.As(t, p.ns, nil), nil)
		}
		began := time.Now()
		r := p.run(c.ph)
		require.ErrorContains(t, r.err, c.text, name)
		if c.permanent {
			require.ErrorIs(t, r.err, cluster.ErrInvalid, name)
		}
		if name == "no permission" {
			require.ErrorIs(t, r.err, cluster.ErrDenied)
		}
		require.Less(t, time.Since(began), 90*time.Second, name)
	}
}

// An attempt that is taken up again finds the pod of the host that died, whether it runs or has ended; the command runs once.
func TestKubeTaskOnAClusterIsAdopted(t *testing.T) {
	p := newPlace(t)
	ph := p.task("ended", script(output("once", "$(cat /proc/sys/kernel/random/uuid)")), nil)
	ph.call = p.later()
	first := p.run(ph)
	require.NoError(t, first.err)
	require.Len(t, p.pods(), 1, "the pod holds the result until it is recorded")
	ph.call = all(p.later(), resumed)
	again := p.run(ph)
	require.NoError(t, again.err)
	require.Equal(t, first.out, again.out)
	ph.call = all(p.later(), func(c *function.Call) { c.Attempt = 2 })
	next := p.run(ph)
	require.NoError(t, next.err)
	require.NotEqual(t, first.out, next.out, "the next attempt has a pod of its own")

	running := p.task("running", script("echo begun; sleep 5; "+output("once", "$(cat /proc/sys/kernel/random/uuid)")), nil)
	running.host = p.hostFor(running)
	running.call = p.later()
	var hosts [2]ran
	var wg sync.WaitGroup
	for i := range hosts {
		wg.Go(func() { hosts[i] = p.run(running) })
	}
	wg.Wait()
	for _, r := range hosts {
		require.NoError(t, r.err)
		require.Equal(t, hosts[0].out, r.out)
		require.Contains(t, r.Log(), "msg=begun", "both read the whole log")
	}
}

func TestKubeTaskOnAClusterIsCancelled(t *testing.T) {
	p := newPlace(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	ph := p.task("long", script("echo begun; sleep 600"), nil)
	ph.ctx = ctx
	ph.call = func(c *function.Call) { c.Log = slog.New(&onLine{c.Log.Handler(), "begun", func() { cancel(stop) }}) }
	began := time.Now()
	r := p.run(ph)
	require.ErrorIs(t, r.err, stop)
	require.Contains(t, r.Log(), "msg=begun")
	require.Empty(t, p.pods())
	require.Less(t, time.Since(began), 4*time.Minute)
}

// onLine calls f when a message is logged.
type onLine struct {
	slog.Handler
	message string
	f       func()
}

func (h *onLine) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Message == h.message {
		h.f()
	}
	return err
}

func (h *onLine) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &onLine{h.Handler.WithAttrs(attrs), h.message, h.f}
}
func (h *onLine) WithGroup(name string) slog.Handler {
	return &onLine{h.Handler.WithGroup(name), h.message, h.f}
}
