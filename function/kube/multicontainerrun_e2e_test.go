//go:build e2e

package kube_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/internal/testcluster"
)

// several is a phase whose containers all have the image of the test cluster; init may be empty.
func (p place) several(id, init, background, output string) phase {
	args := map[string]any{
		"namespace":       p.ns,
		"backgroundImage": testcluster.BusyboxImage, "backgroundCommand": script(background),
		"outputImage": testcluster.BusyboxImage, "outputCommand": script(output),
	}
	if init != "" {
		args["initImage"], args["initCommand"] = testcluster.BusyboxImage, script(init)
	}
	return phase{function: "MultiContainerRun", id: id, args: args}
}

func TestMultiContainerRunOnACluster(t *testing.T) {
	p := newPlace(t)
	ph := p.several("several", "mkfifo /shared/pipe; echo $COMMON >/shared/init; echo not in the log",
		"echo through $COMMON >/shared/pipe; "+output("background", "is not read"),
		"read x </shared/pipe; "+output("x", "$x")+"; "+output("init", "$(cat /shared/init)")+"; "+output("once", "$(cat /proc/sys/kernel/random/uuid)")+
			"; "+output("file", "found")+` >"$DAVIT_RESULTS_FILE"; wc -c <"$DAVIT_PROFILE_FILE"`)
	ph.args["sharedVolumeDir"], ph.args["sharedVolumeMedium"], ph.args["sharedVolumeSizeLimit"] = "/shared", "Memory", "10Mi"
	common := map[string]any{"name": "container", "env": []any{map[string]any{"name": "COMMON", "value": "words"}}}
	call := func(c *function.Call) {
		c.Profile = function.NewSecret("{}")
		c.Pod.Override = map[string]any{"containers": []any{common}}
	}
	var outs []function.Outputs
	for _, again := range []func(*function.Call){all(p.later(), call), all(p.later(), call, resumed)} {
		ph.call = again
		r := p.run(ph)
		require.NoError(t, r.err)
		require.NotContains(t, r.Log(), "not in the log")
		require.Contains(t, r.Log(), "msg=2 ")
		outs = append(outs, r.out)
	}
	require.Equal(t, outs[0], outs[1], "the pod was found again")
	require.NotEmpty(t, outs[0]["once"])
	delete(outs[0], "once")
	require.Equal(t, function.Outputs{"x": "through words", "init": "words", "file": "found"}, outs[0])

	// an override that names no init does not make one
	plain := p.several("plain", "", "true", output("k", "v"))
	plain.call = call
	r := p.run(plain)
	require.NoError(t, r.err)
	require.Equal(t, function.Outputs{"k": "v"}, r.out)
}

func TestMultiContainerRunOnAClusterFails(t *testing.T) {
	p := newPlace(t)
	for name, c := range map[string]struct {
		ph   phase
		code int
		text string
	}{
		"output":     {p.several("output", "", "true", "echo last words; exit 3"), 3, ", container output: exit code 3, last output:\nlast words"},
		"background": {p.several("background", "", "exit 4", "echo fine"), 4, ", container background: exit code 4"},
		"init":       {p.several("init", "exit 5", "true", "true"), 5, ", container init: exit code 5"},
	} {
		r := p.run(c.ph)
		var exit *cluster.ExitError
		require.ErrorAs(t, r.err, &exit, name)
		require.Equal(t, c.code, exit.Code, name)
		require.True(t, strings.HasSuffix(r.err.Error(), c.text), "%s: %v", name, r.err)
	}
	image := p.several("image", "", "true", "true")
	image.args["outputImage"], image.args["backgroundImage"] = "localhost/absent:1", "localhost/absent:1"
	require.ErrorContains(t, p.run(image).err, "localhost/absent:1")
	command := p.several("command", "", "true", "true")
	command.args["initCommand"] = "true"
	require.ErrorContains(t, p.run(command).err, "argument initCommand needs initImage")
	medium := p.several("medium", "", "true", "true")
	medium.args["sharedVolumeMedium"] = "Tape"
	require.ErrorIs(t, p.run(medium).err, cluster.ErrInvalid)
}

// A background container that never ends holds the phase until it is cancelled; all containers end then.
func TestMultiContainerRunOnAClusterIsCancelled(t *testing.T) {
	p := newPlace(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	time.AfterFunc(5*time.Second, func() { cancel(stop) })
	ph := p.several("long", "", "sleep 600", output("k", "v"))
	ph.ctx = ctx
	r := p.run(ph)
	require.ErrorIs(t, r.err, stop)
	require.Empty(t, p.pods())
}
