//go:build e2e

package e2e

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

// canary is the value of the secret that no file and no stream of a host may hold.
const canary = "canary-7f3a9c51e2"

const manifests = `
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: app}
stringData: {password: ` + canary + `}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: app}
spec:
  replicas: 1
  template:
    spec:
      containers: [{name: server, command: [sleep, "100000"]}]
`

// document is an action of five phases, one of each replay policy, and a deferred phase. Every command notes its call, says that it is
// under way and waits until it may go on.
const document = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: five}
actions:
  backup:
    outputArtifacts:
      result:
        keyValue:
          prepare: "{{ .Phases.prepare.Output.value }}"
          mark: "{{ .Phases.mark.Output.value }}"
          replicas: "{{ .Phases.scale.Output.originalReplicaCount }}"
          finish: "{{ .Phases.finish.Output.value }}"
          deferred: "{{ .DeferPhase.Output.value }}"
          time: "{{ .Time }}"
    phases:
    - func: KubeTask
      name: prepare
      objects: {db: {kind: Secret, name: db, namespace: app}}
      args:
        namespace: app
        image: none
        command: &script
        - sh
        - -c
        - |
          phase={{ index .Options "dir" }}/$0
          echo call >> $phase.calls
          touch $phase.started
          while [ ! -e $phase.go ]; do sleep 0.01; done
          echo "log of $0: {{ .Secrets.db.Data.password | toString }}"
          echo '###Phase-output###: {"key":"value","value":"'$0' {{ .Secrets.db.Data.password | toString }}{{ index .Options "pad" }}"}'
        - prepare
    - func: KubeExec
      name: mark
      args: {namespace: app, pod: db-0, command: [sh, -c, SCRIPT, mark]}
    - func: ScaleWorkload
      name: scale
      args: {namespace: app, name: db, kind: StatefulSet, replicas: 2}
    - func: KubeTask
      name: middle
      args: {namespace: app, image: none, command: [sh, -c, SCRIPT, middle]}
    - func: KubeTask
      name: finish
      args: {namespace: app, image: none, command: [sh, -c, SCRIPT, finish]}
    deferPhase:
      func: KubeTask
      name: undo
      args: {namespace: app, image: none, command: [sh, -c, SCRIPT, undo]}
`

// phases that run a command, in order.
var commands = []string{"prepare", "mark", "middle", "finish", "undo"}

// on returns the document for a cluster: namespace and image are other ones there.
func (w where) on(text string) string {
	if w.Kubeconfig == "" {
		return text
	}
	return strings.NewReplacer("namespace: app", "namespace: "+w.Namespace, "image: none", "image: "+testcluster.BusyboxImage).Replace(text)
}

// fivePhases is the document with the script of the first phase in every phase, and the timeouts that are given.
func fivePhases(t testing.TB, w where, timeouts map[string]string) *blueprint.Blueprint {
	text := w.on(document)
	begin := strings.Index(text, "          phase=")
	end := strings.Index(text, "        - prepare\n")
	var lines []string
	for line := range strings.Lines(text[begin:end]) {
		lines = append(lines, strings.TrimSpace(line))
	}
	script, err := json.Marshal(strings.Join(lines, "\n"))
	require.NoError(t, err)
	text = strings.ReplaceAll(text, "SCRIPT", string(script))
	for phase, timeout := range timeouts {
		text = strings.Replace(text, "name: "+phase+"\n", "name: "+phase+"\n      timeout: "+timeout+"\n", 1)
	}
	f := blueprint.Parse("five.yaml", []byte(text))
	require.NoError(t, f.Err())
	return f.Blueprints[0]
}

// place is a folder with a cluster, a journal and the notes of the commands.
type place struct {
	dir string
	t   testing.TB
	where
}

// where is what a place's host needs to find the cluster: nothing for that of this machine.
type where struct {
	Kubeconfig, Namespace string
	// Notes is a folder that pods have at the same path.
	Notes string
}

// id of the run: another one in each namespace, because a run is swept by its id.
func (w where) id() string { return "five-" + cmp.Or(w.Namespace, "1") }

// bound is a binding to a cluster.
type bound interface {
	cluster.Executor
	cluster.PodRunner
	cluster.Scaler
	cluster.Objects
	cluster.PodLister
	cluster.Sweeper
}

func newPlace(t testing.TB) *place {
	p := &place{dir: t.TempDir(), t: t}
	require.NoError(t, os.Mkdir(p.notes(), 0o700))
	c := p.open()
	require.NoError(t, c.Apply(t.Context(), "db.yaml", []byte(manifests)))
	t.Cleanup(func() { require.NoError(t, c.Down(context.Background())) })
	return p
}

func (p *place) notes() string   { return cmp.Or(p.Notes, filepath.Join(p.dir, "notes")) }
func (p *place) journal() string { return filepath.Join(p.dir, "run.jsonl") }

// bind opens the place's cluster, as a host does.
func bind(dir string, w where) (bound, error) {
	if w.Kubeconfig != "" {
		return bindKube(w)
	}
	return localcluster.Open(context.Background(), filepath.Join(dir, "cluster"), &localcluster.Options{Grace: time.Second})
}

func (p *place) open() *localcluster.Cluster {
	c, err := localcluster.Open(context.Background(), filepath.Join(p.dir, "cluster"), &localcluster.Options{Grace: time.Second})
	require.NoError(p.t, err)
	return c
}

// allow lets the commands of these phases go on.
func (p *place) allow(phases ...string) {
	for _, ph := range phases {
		require.NoError(p.t, os.WriteFile(filepath.Join(p.notes(), ph+".go"), nil, 0o600))
	}
}

func (p *place) calls(phase string) int {
	data, err := os.ReadFile(filepath.Join(p.notes(), phase+".calls"))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	require.NoError(p.t, err)
	return strings.Count(string(data), "\n")
}

func (p *place) started(phase string) bool {
	_, err := os.Stat(filepath.Join(p.notes(), phase+".started"))
	return err == nil
}

// spec asks for the run.
func (p *place) spec(timeouts map[string]string) *engine.Spec {
	ns := cmp.Or(p.Namespace, "app")
	return &engine.Spec{ID: p.id(), Blueprints: []*blueprint.Blueprint{fivePhases(p.t, p.where, timeouts)}, Actions: []blueprint.ActionSpec{{
		Name: "backup", Blueprint: "five", Options: map[string]string{"dir": p.notes()},
		Object:      template.ObjectReference{Kind: "StatefulSet", Namespace: ns, Name: "db"},
		Secrets:     map[string]template.ObjectReference{"db": {Namespace: ns, Name: "db"}},
		PodOverride: p.override(),
	}}}
}

// engineOn is a host's engine.
func engineOn(c bound, opts engine.Options) (*engine.Engine, error) {
	reg, err := function.NewRegistry(kube.Functions(kube.Deps{Exec: c, Pods: c, Scaler: c, Objects: c, Namespace: "app"})...)
	if err != nil {
		return nil, err
	}
	opts.Sweep = c
	return engine.New(reg, kubedata.New(c, c), &opts), nil
}

// leftovers lists the pods that are there beside those of the database.
func (p *place) leftovers() []string {
	if p.Kubeconfig != "" {
		return p.leftoversOfKube()
	}
	dirs, err := filepath.Glob(filepath.Join(p.dir, "cluster", "pods", "*", "*"))
	require.NoError(p.t, err)
	return slices.DeleteFunc(dirs, func(d string) bool { return strings.HasPrefix(filepath.Base(d), "db-") })
}

// noCanary asserts that neither the journal nor what hosts wrote holds the secret.
func (p *place) noCanary(output string) {
	data, err := os.ReadFile(p.journal())
	require.NoError(p.t, err)
	require.NotContains(p.t, string(data), canary)
	require.NotContains(p.t, output, canary)
}

// outcome is what a host reports when its run has ended.
type outcome struct {
	Result    *engine.Result
	Artifacts map[string]template.Artifact
	Error     string
	Unknown   bool
}

// hostMain is the host process: it runs or resumes the run, says each event on standard output as soon as it is durable, and stands still
// after the one it is told to, or before it for a negative number, so that it can be killed there.
func hostMain(dir string, stopAfter int) error {
	ctx := context.Background()
	data, err := os.ReadFile(filepath.Join(dir, "spec.json"))
	if err != nil {
		return err
	}
	var spec storedSpec
	if err := json.Unmarshal(data, &spec); err != nil {
		return err
	}
	c, err := bind(dir, spec.Where)
	if err != nil {
		return err
	}
	e, err := engineOn(c, engine.Options{
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Observe: func(ev engine.Event) {
			fmt.Fprintf(os.Stdout, "event %d %s %d\n", ev.Seq, ev.Kind, ev.Phase)
			if ev.Seq == stopAfter {
				select {} // killed here
			}
		},
	})
	if err != nil {
		return err
	}
	j, err := engine.OpenFile(filepath.Join(dir, "run.jsonl"))
	if err != nil {
		return err
	}
	f := blueprint.Parse("five.yaml", spec.Blueprint)
	journal := &lateJournal{j, -stopAfter}
	res, err := e.Run(ctx, &engine.Spec{ID: spec.Where.id(), Blueprints: f.Blueprints, Actions: spec.Actions}, journal)
	out := outcome{Result: res, Unknown: errors.Is(err, engine.ErrUnknownOutcome)}
	if err != nil {
		out.Error = err.Error()
	} else if out.Artifacts, err = res.Artifacts(0); err != nil {
		return err
	}
	data, err = json.Marshal(out)
	if err != nil {
		return err
	}
	// the artifacts are the caller's to keep; here they are compared, in a file
	return os.WriteFile(filepath.Join(dir, "outcome.json"), data, 0o600)
}

// lateJournal stands still before it stores an event, so that the host can be killed when something has happened that is not recorded.
type lateJournal struct {
	engine.Journal
	before int
}

func (j *lateJournal) Append(ctx context.Context, e engine.Event) error {
	if e.Seq == j.before {
		fmt.Fprintf(os.Stdout, "event %d about to be stored\n", e.Seq)
		select {} // killed here
	}
	return j.Journal.Append(ctx, e)
}

type storedSpec struct {
	Where     where
	Blueprint json.RawMessage
	Actions   []blueprint.ActionSpec
}

// host starts a host process.
type host struct {
	cmd *exec.Cmd
	out *bufio.Reader
	all strings.Builder
}

func (p *place) start(stopAfter int) *host {
	spec := p.spec(nil)
	bp, err := spec.Blueprints[0].JSON()
	require.NoError(p.t, err)
	data, err := json.Marshal(storedSpec{p.where, bp, spec.Actions})
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, "spec.json"), data, 0o600))
	h := &host{cmd: exec.Command(os.Args[0])}
	h.cmd.Env = append(os.Environ(), "E2E_HOST="+p.dir, fmt.Sprintf("E2E_STOP=%d", stopAfter))
	stderr, err := h.cmd.StderrPipe()
	require.NoError(p.t, err)
	stdout, err := h.cmd.StdoutPipe()
	require.NoError(p.t, err)
	h.out = bufio.NewReader(stdout)
	require.NoError(p.t, h.cmd.Start())
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	return h
}

// until reads events until one has the number; false when the host ended before.
func (h *host) until(seq int) bool {
	for {
		line, err := h.out.ReadString('\n')
		h.all.WriteString(line)
		if err != nil {
			return false
		}
		var n int
		if _, err := fmt.Sscanf(line, "event %d", &n); err == nil && n == seq {
			return true
		}
	}
}

func (h *host) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

// finish lets a host run to the end of the run and returns what it reports.
func (p *place) finish() outcome {
	h := p.start(0)
	h.until(-1)
	require.NoError(p.t, h.cmd.Wait())
	p.noCanary(h.all.String())
	data, err := os.ReadFile(filepath.Join(p.dir, "outcome.json"))
	require.NoError(p.t, err)
	var out outcome
	require.NoError(p.t, json.Unmarshal(data, &out))
	return out
}

func TestMain(m *testing.M) {
	if dir := os.Getenv("E2E_HOST"); dir != "" {
		var stop int
		_, _ = fmt.Sscan(os.Getenv("E2E_STOP"), &stop)
		if err := hostMain(dir, stop); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
