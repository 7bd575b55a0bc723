package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

// does makes a cluster whose commands write these texts and end with this error.
func does(stdout, stderr string, end error) *fakeCluster {
	return &fakeCluster{run: func(_ context.Context, _ []string, out, err io.Writer) error {
		if failed := errors.Join(write(out, stdout), write(err, stderr)); failed != nil {
			return failed
		}
		return end
	}}
}

func TestKubeExec(t *testing.T) {
	t.Parallel()
	call, rec := functiontest.NewCall("id")
	f := does("one\n"+outputMarker+` {"key":"k","value":"hidden"}`+"\n", "two\n"+outputMarker+` {"key":"other","value":"hidden"}`, nil)
	out, err := get(t, f.deps(), "KubeExec").Exec(t.Context(), call, map[string]any{
		"namespace": "ns", "pod": "p", "container": "c", "command": []any{"a", "b"},
	})
	require.NoError(t, err)
	require.Equal(t, function.Outputs{"k": "hidden"}, out)
	require.Len(t, f.commands, 1)
	require.Equal(t, []string{"a", "b"}, f.commands[0].Args)
	require.Equal(t, "ns/p/c", f.commands[0].Namespace+"/"+f.commands[0].Pod+"/"+f.commands[0].Container)
	require.Nil(t, f.commands[0].Stdin)
	require.NotContains(t, rec.Log(), "hidden")
	for _, line := range []string{
		"level=INFO msg=one pod=p container=c",
		"level=INFO msg=output pod=p container=c key=k",
		"level=INFO msg=two pod=p container=c stream=stderr",
		`msg="` + ignoredOutput + `" pod=p container=c stream=stderr`,
	} {
		require.Contains(t, rec.Log(), line)
	}
}

func TestKubeExecSingleText(t *testing.T) {
	t.Parallel()
	call, _ := functiontest.NewCall("id")
	f := does("", "", nil)
	out, err := get(t, f.deps(), "KubeExec").Exec(t.Context(), call, map[string]any{"namespace": "ns", "pod": "p", "command": "echo hello"})
	require.NoError(t, err)
	require.Empty(t, out)
	require.Equal(t, []string{"echo hello"}, f.commands[0].Args)
}

func TestKubeExecFails(t *testing.T) {
	t.Parallel()
	exit := &cluster.ExitError{What: "somewhere", Code: 3, Tail: "password secret"}
	lines := &strings.Builder{}
	for i := range 20 {
		fmt.Fprintf(lines, "line %d secret\n", i)
	}
	for name, c := range map[string]struct {
		cluster *fakeCluster
		is      error
		text    string
	}{
		"exit code": {does(lines.String(), "", exit), nil, "pod ns/p, container c: exit code 3, last output:\nline 10 [masked]\n"},
		"both":      {does("out\n", "err", exit), nil, "pod ns/p, container c: exit code 3, last output:\nout\nerr"},
		"output in the tail": {
			does("out\n"+outputMarker+`{"key":"k","value":"v"}`+"\n", "", exit), nil,
			"pod ns/p, container c: exit code 3, last output:\nout",
		},
		"silent": {does("", "", exit), nil, "pod ns/p, container c: exit code 3"},
		"wrapped": {
			does("out", "", fmt.Errorf("pod x could not be removed: %w", exit)), exit,
			"pod x could not be removed: pod ns/p, container c: exit code 3, last output:\nout",
		},
		"not found":  {does("", "", cluster.ErrNotFound), cluster.ErrNotFound, "pod ns/p, container c: not found"},
		"bad output": {does(outputMarker+"{\n", "", nil), ErrOutputSyntax, "pod ns/p, container c: malformed phase output: "},
		"bad output and exit code": {
			does(outputMarker+"{\n", "", exit), ErrOutputSyntax, "pod ns/p, container c: malformed phase output: ",
		},
		"cut off and exit code": {does(outputMarker+"{", "", exit), nil, "pod ns/p, container c: exit code 3"},
		"cut off":               {does(outputMarker+"{", "", nil), ErrOutputSyntax, "pod ns/p, container c: malformed phase output: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call, rec := functiontest.NewCall("id")
			rec.Hide("secret")
			out, err := get(t, c.cluster.deps(), "KubeExec").Exec(t.Context(), call, goodArgs("KubeExec"))
			require.Nil(t, out)
			require.True(t, strings.HasPrefix(err.Error(), c.text), err)
			require.NotContains(t, err.Error(), "password", "what the binding kept is not shown")
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			} else {
				var got *cluster.ExitError
				require.ErrorAs(t, err, &got)
				require.Equal(t, 3, got.Code)
			}
			require.False(t, function.IsPermanent(err))
		})
	}
	require.Equal(t, "password secret", exit.Tail, "the binding's error is not changed")
}

func TestKubeExecCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	f := &fakeCluster{run: func(ctx context.Context, _ []string, _, _ io.Writer) error {
		cancel(stop)
		<-ctx.Done()
		return context.Cause(ctx)
	}}
	call, _ := functiontest.NewCall("id")
	_, err := get(t, f.deps(), "KubeExec").Exec(ctx, call, goodArgs("KubeExec"))
	require.ErrorIs(t, err, stop)
}
