package rds

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/internal/pgdump"
	"github.com/davit-project/davit/location"
)

// podsSaying runs no pods: it keeps the last one, and says what a pod would.
type podsSaying struct {
	log, results string
	err          error
	pod          cluster.Pod
	ran, removed int
}

func (p *podsSaying) RunPod(ctx context.Context, pod cluster.Pod) error {
	p.pod = pod
	p.ran++
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, _ = pod.Log.Write([]byte(p.log))
	_, _ = pod.Results.Write([]byte(p.results))
	return p.err
}

func (p *podsSaying) RemovePod(context.Context, string, string) error {
	p.removed++
	return nil
}

const dumpProfile = `{"location":{"type":"file","bucket":"/b"}}`

func aDump() dumpRequest {
	return dumpRequest{
		Namespace: "ns", Path: "a/b", Databases: []string{"shop"}, Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "2"},
		Endpoint: server{Host: "db.example", Port: 5433, Username: "u", Password: function.NewSecret("canary")},
	}
}

func dumpCall() (*function.Call, *functiontest.Recorder) {
	call, rec := functiontest.NewCall("run-phase")
	call.Profile = function.NewSecret(dumpProfile)
	rec.Hide("canary")
	return call, rec
}

func said(err error) string {
	return string(mover.ReplyOf(mover.Result{Snapshot: "a/b", Counted: true, Files: 2}, err).Line())
}

// The pod gets its request in a file, and nothing of it elsewhere.
func TestDumpPod(t *testing.T) {
	pods := &podsSaying{log: "hello\n" + string(mover.Progress{Bytes: 5, Files: 1, TotalFiles: 2}.Line()) + said(nil)}
	d := newDeps(Deps{Pods: pods, DumpImage: "host", DumpCA: []byte("PEM")})
	call, rec := dumpCall()
	call.Pod.Override = map[string]any{"nodeName": "n"}
	require.NoError(t, d.dump(t.Context(), call, aDump()))
	require.Equal(t, 1, pods.removed)
	require.Equal(t, []function.Progress{{Bytes: 5, Note: "1 of 2 databases"}}, rec.Progress())
	require.Contains(t, rec.Log(), "hello")

	got, err := pgdump.ParseRequest(pods.pod.Profile)
	require.NoError(t, err)
	require.Equal(t, &pgdump.Request{
		Op: pgdump.Dump, Path: "a/b", Databases: []string{"shop"}, Profile: []byte(dumpProfile),
		Server: pgdump.Server{Host: "db.example", Port: 5433, User: "u", Password: "canary", CA: []byte("PEM")},
	}, got)
	pod := pods.pod
	pod.Profile, pod.Log, pod.Results = nil, nil, nil
	require.NotContains(t, fmt.Sprintf("%+v", pod), "canary")
	require.Equal(t, cluster.Pod{
		Name: call.Name("dump-1"), Namespace: "ns", Image: "host", Command: []string{"davit", "pgdump"}, Override: map[string]any{"nodeName": "n"},
		Labels:      map[string]string{"createdBy": "davit", "davit.io/run": "run", "davit.io/phase": call.Labels["davit.io/phase"], "l": "1"},
		Annotations: map[string]string{"a": "2"},
	}, pod)

	req := aDump()
	req.Image = "phase"
	pods.log, pods.results = "", said(nil) // a log that was rotated
	require.NoError(t, d.restoreDump(t.Context(), call, req))
	require.Equal(t, "phase", pods.pod.Image)
	got, err = pgdump.ParseRequest(pods.pod.Profile)
	require.NoError(t, err)
	require.Equal(t, pgdump.Restore, got.Op)
}

func TestDumpPodFails(t *testing.T) {
	exit := &cluster.ExitError{What: "pod", Code: 1}
	for name, tc := range map[string]struct {
		pods    podsSaying
		is      error
		text    string
		lasting bool
		kept    bool
	}{
		"a fault":            {pods: podsSaying{log: said(errors.New("no room")), err: exit}, text: "no room"},
		"no object":          {pods: podsSaying{log: said(location.ErrNotFound), err: exit}, is: location.ErrNotFound, lasting: true},
		"killed":             {pods: podsSaying{log: "last canary words\n", err: exit}, text: "last [masked] words"},
		"no word":            {pods: podsSaying{log: "done\n"}, text: "without a word"},
		"lost":               {pods: podsSaying{log: said(nil), err: cluster.ErrLost}, is: cluster.ErrLost},
		"somebody else's":    {pods: podsSaying{err: cluster.ErrExists}, is: cluster.ErrExists, lasting: true, kept: true},
		"half of the answer": {pods: podsSaying{log: strings.TrimSuffix(said(nil), "\n")}, text: "without a word"},
	} {
		call, _ := dumpCall()
		pods := tc.pods
		err := newDeps(Deps{Pods: &pods, DumpImage: "i"}).dump(t.Context(), call, aDump())
		require.Error(t, err, name)
		require.ErrorContains(t, err, tc.text, name)
		require.NotContains(t, err.Error(), "canary", name)
		if tc.is != nil {
			require.ErrorIs(t, err, tc.is, name)
		}
		require.Equal(t, tc.lasting, function.IsPermanent(err), name)
		require.Equal(t, tc.kept, pods.removed == 0, name)
	}
}

// A phase that is over by the time it is taken up removes its pod, for which it needs no server.
func TestDumpOfAnEndedPhase(t *testing.T) {
	pods := &podsSaying{}
	call, _ := dumpCall()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	require.ErrorIs(t, newDeps(Deps{Pods: pods, DumpImage: "i"}).dump(ctx, call, dumpRequest{Namespace: "ns"}), stop)
	require.Equal(t, call.Name("dump-1"), pods.pod.Name)
}

func TestDumpNeedsAnImage(t *testing.T) {
	pods := &podsSaying{}
	call, _ := dumpCall()
	for _, d := range []Deps{{Pods: pods}, {DumpImage: "i"}} {
		err := newDeps(d).dump(t.Context(), call, aDump())
		require.Error(t, err)
		require.True(t, function.IsPermanent(err))
	}
	req := aDump()
	req.Endpoint.Host = "a,b"
	err := newDeps(Deps{Pods: pods, DumpImage: "i"}).dump(t.Context(), call, req)
	require.True(t, function.IsPermanent(err))
	require.Zero(t, pods.ran)
}
