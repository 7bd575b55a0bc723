package data

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/internal/agent"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

// fakeHost is a cluster whose pods are folders, in which the agent runs in this process.
type fakeHost struct {
	dir string
	// pods maps the application's pods to their claims and mount paths. All claims exist.
	pods map[string]map[string]string
	// bare is true for containers without the agent.
	bare bool
	// silent is what a pod prints instead of doing anything.
	silent *string

	mu sync.Mutex
	// seen are command lines and everything else that others can see; ran and removed are pods.
	seen         []string
	ran, removed []string
	overrides    []map[string]any
	secrets      map[string]map[string]any
}

func newFakeHost(t testing.TB) *fakeHost {
	t.Helper()
	h := &fakeHost{dir: t.TempDir(), secrets: map[string]map[string]any{}, pods: map[string]map[string]string{}}
	for _, pod := range []string{"db-0", "db-1"} {
		h.pods[pod] = map[string]string{"data-" + pod: "/var/data"}
		require.NoError(t, h.mount(pod, h.pods[pod]))
	}
	return h
}

func (h *fakeHost) claim(name string) string { return filepath.Join(h.dir, "claims", name) }
func (h *fakeHost) root(pod string) string   { return filepath.Join(h.dir, "roots", pod) }

// mount makes the root of a pod: its claims are links, as in localcluster.
func (h *fakeHost) mount(pod string, claims map[string]string) error {
	for claim, at := range claims {
		link := filepath.Join(h.root(pod), at)
		if err := errors.Join(os.MkdirAll(h.claim(claim), 0o750), os.MkdirAll(filepath.Dir(link), 0o750)); err != nil {
			return err
		}
		if err := os.Symlink(h.claim(claim), link); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

func (h *fakeHost) see(what ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, fmt.Sprint(what...))
}

func (h *fakeHost) openers() map[string]location.Opener {
	return map[string]location.Opener{location.TypeFile: file.Open}
}

func (h *fakeHost) Exec(ctx context.Context, cmd cluster.Command) error {
	h.see(cmd.Args)
	env := map[string]string{"DAVIT_ROOT": h.root(cmd.Pod)}
	if h.pods[cmd.Pod] == nil {
		return fmt.Errorf("pod %s: %w", cmd.Pod, cluster.ErrNotFound)
	}
	code := 127
	switch {
	case cmd.Args[0] == "sh":
		c := exec.CommandContext(ctx, cmd.Args[0], cmd.Args[1:]...)
		c.Stdin, c.Stdout, c.Stderr, c.Env = cmd.Stdin, cmd.Stdout, cmd.Stderr, append(os.Environ(), "DAVIT_ROOT="+env["DAVIT_ROOT"])
		if err := c.Run(); err != nil && c.ProcessState == nil {
			return err
		}
		code = c.ProcessState.ExitCode()
	case cmd.Args[0] == "davit" && !h.bare:
		code = agent.Main(ctx, cmd.Args, agent.Streams{
			In: cmd.Stdin, Out: cmd.Stdout, Err: cmd.Stderr, Openers: h.openers(), Env: func(name string) string { return env[name] },
		})
	default:
		_, _ = fmt.Fprintf(cmd.Stderr, "%s: not found\n", cmd.Args[0])
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if code != 0 {
		return &cluster.ExitError{What: "pod " + cmd.Pod, Code: code}
	}
	return nil
}

func (h *fakeHost) RunPod(ctx context.Context, pod cluster.Pod) error {
	shown := pod
	shown.Profile, shown.Log, shown.Results = nil, nil, nil
	h.see(fmt.Sprintf("%+v", shown))
	h.mu.Lock()
	h.ran, h.overrides = append(h.ran, pod.Name), append(h.overrides, pod.Override)
	h.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if h.silent != nil {
		_, err := pod.Log.Write([]byte(*h.silent))
		return err
	}
	profile, results := filepath.Join(h.dir, pod.Name+".profile"), filepath.Join(h.dir, pod.Name+".results")
	if err := errors.Join(h.mount(pod.Name, pod.Claims), os.WriteFile(profile, pod.Profile, 0o600)); err != nil {
		return err
	}
	defer os.Remove(profile)
	env := map[string]string{"DAVIT_ROOT": h.root(pod.Name), cluster.ProfileEnv: profile, cluster.ResultsEnv: results}
	code := agent.Main(ctx, pod.Command, agent.Streams{
		In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: pod.Log, Openers: h.openers(), Env: func(name string) string { return env[name] },
	}) // what it prints is lost: the results are not
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	text, err := os.ReadFile(results)
	if err == nil {
		_, err = pod.Results.Write(text)
	}
	if code != 0 {
		return &cluster.ExitError{What: "pod " + pod.Name, Code: code}
	}
	return err
}

func (h *fakeHost) RemovePod(_ context.Context, _, name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.removed = append(h.removed, name)
	return nil
}

func (h *fakeHost) Get(_ context.Context, ref cluster.Ref) (map[string]any, error) {
	switch ref.Resource {
	case "persistentvolumeclaims":
		return map[string]any{"spec": map[string]any{"accessModes": []any{"ReadWriteOnce"}}}, nil
	case "secrets":
		h.mu.Lock()
		defer h.mu.Unlock()
		if s := h.secrets[ref.Name]; s != nil {
			return s, nil
		}
	case "pods":
		if claims := h.pods[ref.Name]; claims != nil {
			var volumes, mounts []any
			for claim, at := range claims {
				volumes = append(volumes, map[string]any{"name": claim, "persistentVolumeClaim": map[string]any{"claimName": claim}})
				mounts = append(mounts, map[string]any{"name": claim, "mountPath": at})
			}
			return map[string]any{"spec": map[string]any{
				"nodeName": "node-7", "volumes": volumes, "containers": []any{map[string]any{"name": "db", "volumeMounts": mounts}},
			}, "status": map[string]any{"phase": "Running"}}, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", ref, cluster.ErrNotFound)
}

func (h *fakeHost) Create(_ context.Context, manifest map[string]any, namespace, _ string) (cluster.Ref, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	name := manifest["metadata"].(map[string]any)["name"].(string)
	if h.secrets[name] != nil {
		return cluster.Ref{}, cluster.ErrExists
	}
	text := map[string]any{}
	if err := decode(manifest, &text); err != nil {
		return cluster.Ref{}, err
	}
	h.secrets[name] = text
	return cluster.Ref{Resource: "secrets", Namespace: namespace, Name: name}, nil
}

func (h *fakeHost) Patch(context.Context, cluster.Ref, []byte) (map[string]any, error) {
	return nil, errors.ErrUnsupported
}
func (h *fakeHost) Delete(context.Context, cluster.Ref) error { return errors.ErrUnsupported }

func (h *fakeHost) deps() Deps {
	return Deps{
		Exec: h, Pods: h, Objects: h, Keys: SecretKeys(h, "keys"), MoverImage: "davit:1",
		Open: func(ctx context.Context, profile []byte) (*location.Bucket, error) {
			return location.OpenProfile(ctx, profile, h.openers())
		},
	}
}

// store is the folder of the location.
func (h *fakeHost) store() string { return filepath.Join(h.dir, "store") }

func (h *fakeHost) call(c *function.Call) {
	c.Subject = function.Subject{Kind: "StatefulSet", Namespace: "app", Name: "db", Pods: []string{"db-0", "db-1"}, Claims: h.pods}
	c.Profile = function.NewSecret(`{"Location":{"type":"file","bucket":"` + h.store() + `","endpoint":"","prefix":"a/prefix","region":""},"Credential":{"Type":""}}`)
}

// run calls a function.
func (h *fakeHost) run(t testing.TB, d Deps, name, id string, args map[string]any) (function.Outputs, *functiontest.Recorder, error) {
	t.Helper()
	all := Functions(d)
	f := all[slices.IndexFunc(all, func(f function.Func) bool { return f.Name() == name })]
	call, rec := functiontest.NewCall(id)
	h.call(call)
	out, err := f.Exec(t.Context(), call, args)
	return out, rec, err
}

var (
	_ cluster.Executor  = (*fakeHost)(nil)
	_ cluster.PodRunner = (*fakeHost)(nil)
	_ cluster.Objects   = (*fakeHost)(nil)
)
