package kube

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

// shop is a subject with two pods that have a claim each and share one.
var shop = function.Subject{
	Kind: "StatefulSet", Namespace: "ns", Name: "shop", Pods: []string{"shop-0", "shop-1"},
	Claims: map[string]map[string]string{"shop-0": {"p0": "/data", "p": "/shared"}, "shop-1": {"p1": "/data", "p": "/shared"}},
}

func TestPrepareData(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		volumes any
		want    map[string]string
	}{
		"volumes":    {map[string]any{"p5": "/here"}, map[string]string{"p5": "/here"}},
		"none given": {nil, map[string]string{"p": "/mnt/prepare_data/p", "p0": "/mnt/prepare_data/p0", "p1": "/mnt/prepare_data/p1"}},
		"empty":      {map[string]any{}, map[string]string{"p": "/mnt/prepare_data/p", "p0": "/mnt/prepare_data/p0", "p1": "/mnt/prepare_data/p1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := goodCluster()
			call, _ := functiontest.NewCall("id")
			call.Subject, call.Profile = shop, function.NewSecret("{}")
			out, err := get(t, f.deps(), "PrepareData").Exec(t.Context(), call, map[string]any{
				"namespace": "ns", "image": "i", "command": []any{"a", "b"}, "volumes": c.volumes, "serviceaccount": "sa",
			})
			require.NoError(t, err)
			require.Equal(t, function.Outputs{"k": "v"}, out)
			require.Len(t, f.pods, 1)
			pod := f.pods[0]
			require.Equal(t, c.want, pod.Claims)
			require.Equal(t, []any{"ns", "i", []string{"a", "b"}, "sa", []byte("{}")}, []any{pod.Namespace, pod.Image, pod.Command, pod.ServiceAccount, pod.Profile})
			require.Equal(t, []string{"ns/" + pod.Name}, f.removed)
		})
	}
	require.Equal(t, map[string]string{"p0": "/data", "p": "/shared"}, shop.Claims["shop-0"], "the subject is only read")
}

func TestPrepareDataWithoutVolumes(t *testing.T) {
	t.Parallel()
	lost := map[string]any{"status": map[string]any{"phase": "Lost"}}
	for name, c := range map[string]struct {
		subject   function.Subject
		volumes   map[string]any
		text      string
		permanent bool
	}{
		"no workload": {function.Subject{}, nil, "no volumes: the action's subject is no workload, so argument volumes is required", true},
		"no claims":   {function.Subject{Kind: "Deployment", Namespace: "ns", Name: "web"}, nil, "no volumes: no pod of Deployment ns/web mounted a claim", true},
		"not there":   {function.Subject{}, map[string]any{"p": "/a", "absent": "/b", "gone": "/c"}, "look up claim ns/absent: persistentvolumeclaims ns/absent: not found\nlook up claim ns/gone: ", false},
		"lost":        {function.Subject{}, map[string]any{"lost": "/a"}, "claim ns/lost has lost its volume", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := goodCluster()
			f.set("lost", lost)
			call, _ := functiontest.NewCall("id")
			call.Subject = c.subject
			_, err := get(t, f.deps(), "PrepareData").Exec(t.Context(), call, map[string]any{"namespace": "ns", "image": "i", "command": "c", "volumes": c.volumes})
			require.ErrorContains(t, err, c.text)
			require.Equal(t, c.permanent, function.IsPermanent(err))
			require.Empty(t, f.pods)
		})
	}
}

// What a command's failure means is the blueprint's choice; that it could not run is an error.
func TestPrepareDataFailOnError(t *testing.T) {
	t.Parallel()
	exit := &cluster.ExitError{What: "x", Code: 9}
	text := "words\n" + outputMarker + ` {"key":"k","value":"v"}` + "\n"
	for name, c := range map[string]struct {
		cluster *fakeCluster
		fail    any
		text    string
	}{
		"ignored":         {does(text, "", exit), nil, ""},
		"ignored too":     {does(text, "", exit), "false", ""},
		"never began":     {does(text, "", fmt.Errorf("%w (could not be started)", exit)), false, "exit code 9, last output:\nwords (could not be started)"},
		"incomplete":      {does(text, "", errors.Join(exit, errors.New("its log was lost"))), false, "its log was lost"},
		"fails":           {does(text, "", exit), true, "exit code 9, last output:\nwords"},
		"lost":            {does(text, "", cluster.ErrLost), false, "pod ended without a recorded result"},
		"invalid":         {does(text, "", cluster.ErrInvalid), false, "invalid request"},
		"denied":          {does(text, "", cluster.ErrDenied), false, "permission denied"},
		"no image":        {does("", "", errors.New("image cannot be pulled")), false, "image cannot be pulled"},
		"bad output":      {does(outputMarker+" {}\n", "", exit), false, "malformed phase output"},
		"fails for nobot": {does("", "", errors.New("x")), "no", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cluster.set("p", map[string]any{})
			call, rec := functiontest.NewCall("id")
			args := map[string]any{"namespace": "ns", "image": "i", "command": "c", "volumes": map[string]any{"p": "/data"}, "failOnError": c.fail}
			out, err := get(t, c.cluster.deps(), "PrepareData").Exec(t.Context(), call, args)
			if c.text != "" {
				require.ErrorContains(t, err, c.text)
				require.Nil(t, out)
				return
			}
			require.NoError(t, err)
			require.Equal(t, function.Outputs{"k": "v"}, out)
			require.Contains(t, rec.Log(), "level=WARN")
			require.Contains(t, rec.Log(), "code=9")
			require.Contains(t, rec.Progress(), function.Progress{Note: "the command failed with exit code 9, which is ignored"})
		})
	}
}
