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
	"github.com/davit-project/davit/function/kube"
)

func TestKubeExecOnACluster(t *testing.T) {
	p := newPlace(t)
	p.pod("app", "main", "side")
	exec := func(container string, command any) phase {
		return phase{function: "KubeExec", id: unique("p"), args: map[string]any{"namespace": p.ns, "pod": "app", "container": container, "command": command}}
	}
	r := p.run(exec("main", script("echo hello; echo oops >&2; "+output("k", "v")+"; "+output("n", "$(hostname)")+"; "+output("ignored", "x")+" >&2")))
	require.NoError(t, r.err)
	require.Equal(t, function.Outputs{"k": "v", "n": "app"}, r.out)
	require.Contains(t, r.Log(), "msg=hello pod=app container=main")
	require.Contains(t, r.Log(), "msg=oops pod=app container=main stream=stderr")

	// outputs of any size, cut anywhere by the stream
	r = p.run(exec("side", script(`i=0; while [ $i -lt 20 ]; do v=$(head -c 50000 /dev/zero | tr '\0' x); printf '###Phase-output###: {"key":"k%s","value":"%s"}\n' $i $v; i=$((i+1)); done`)))
	require.NoError(t, r.err)
	require.Len(t, r.out, 20)
	for _, v := range r.out {
		require.Equal(t, strings.Repeat("x", 50000), v)
	}

	r = p.run(exec("main", script("echo last words; "+output("k", "hidden")+"; exit 7")))
	var exit *cluster.ExitError
	require.ErrorAs(t, r.err, &exit)
	require.Equal(t, 7, exit.Code)
	require.EqualError(t, r.err, "pod "+p.ns+"/app, container main: exit code 7, last output:\nlast words")
	require.Nil(t, r.out)

	r = p.run(exec("main", script("echo '###Phase-output###: no'; sleep 60")))
	require.ErrorIs(t, r.err, kube.ErrOutputSyntax)

	require.ErrorIs(t, p.run(exec("absent", "true")).err, cluster.ErrNotFound)
	require.ErrorIs(t, p.run(exec("", "true")).err, cluster.ErrAmbiguous)
	absent := exec("main", "true")
	absent.args["pod"] = "absent"
	require.ErrorIs(t, p.run(absent).err, cluster.ErrNotFound)
	require.Error(t, p.run(exec("main", "no-such-program")).err)
	denied := exec("main", "true")
	denied.host = p.host(p.As(t, p.ns, nil), nil)
	require.ErrorIs(t, p.run(denied).err, cluster.ErrDenied)
}

func TestKubeExecOnAClusterIsCancelled(t *testing.T) {
	p := newPlace(t)
	p.pod("app", "main")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	time.AfterFunc(2*time.Second, func() { cancel(stop) })
	began := time.Now()
	r := p.run(phase{function: "KubeExec", id: "long", ctx: ctx, args: map[string]any{"namespace": p.ns, "pod": "app", "command": script("echo begun; sleep 600")}})
	require.ErrorIs(t, r.err, stop)
	require.Less(t, time.Since(began), 2*time.Minute)
}

func TestKubeExecAllOnACluster(t *testing.T) {
	p := newPlace(t)
	p.pod("a", "main", "side")
	p.pod("b", "main", "side")
	all := func(command any) phase {
		return phase{function: "KubeExecAll", id: unique("p"), args: map[string]any{"namespace": p.ns, "pods": "a b", "containers": "main side", "command": command}}
	}
	r := p.run(all(script(output("$(hostname)", "here") + "; echo from $(hostname)")))
	require.NoError(t, r.err)
	require.Equal(t, function.Outputs{"a": "here", "b": "here"}, r.out)
	for _, at := range []string{"pod=a container=main", "pod=a container=side", "pod=b container=main", "pod=b container=side"} {
		require.Contains(t, r.Log(), at)
	}
	r = p.run(all(script("[ $(hostname) = a ]")))
	require.ErrorContains(t, r.err, "pod "+p.ns+"/b, container main: exit code 1")
	require.ErrorContains(t, r.err, "pod "+p.ns+"/b, container side: exit code 1")
	require.NotContains(t, r.err.Error(), "/a,")
}
