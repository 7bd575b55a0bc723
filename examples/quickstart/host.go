//go:build unix

package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/examples/blueprints"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

// The application of cluster.yaml.
const (
	namespace = "shop"
	workload  = "database"
)

// host is a program that embeds Davit: a cluster, functions that work on it, a blueprint, and an engine that runs it.
type host struct {
	dir, exe   string
	cluster    *localcluster.Cluster
	blueprints []*blueprint.Blueprint
	engine     *engine.Engine
	report     *report
}

// openHost connects the parts. Everything they keep is below dir, so that another process can open it too. Exe is this
// program, for pods.
func openHost(ctx context.Context, dir, exe string, r *report) (*host, error) {
	// Pods are processes of this machine. They find this program under the names of the agent and of the database.
	c, err := localcluster.Open(ctx, filepath.Join(dir, "cluster"), &localcluster.Options{
		Agent: exe, Programs: map[string]string{dbName: exe},
	})
	if err != nil {
		return nil, err
	}
	// The functions that a blueprint can call, and what they work on.
	registry, err := function.NewRegistry(append(
		kube.Functions(kube.Deps{Exec: c, Pods: c, Scaler: c, Objects: c}),
		data.LocationDelete(openLocation))...)
	if err != nil {
		return nil, err
	}
	// The blueprint. Plan, below, checks it against the functions before anything is touched.
	text, err := blueprints.Files.ReadFile("bbolt/blueprint.yaml")
	if err != nil {
		return nil, err
	}
	parsed := blueprint.Parse("bbolt/blueprint.yaml", text)
	if err := parsed.Err(); err != nil {
		return nil, err
	}
	h := &host{dir: dir, exe: exe, cluster: c, blueprints: parsed.Blueprints, report: r}
	h.engine = engine.New(registry, kubedata.New(c, c), &engine.Options{Observe: r.observe, Progress: r.progress, Sweep: c})
	return h, nil
}

// run executes an action of the blueprint, or carries on where its journal ends.
func (h *host) run(ctx context.Context, action string, options map[string]string, artifacts map[string]template.Artifact) (*engine.Result, error) {
	spec := &engine.Spec{
		ID:         action,
		Blueprints: h.blueprints,
		Actions: []blueprint.ActionSpec{{
			Name: action, Blueprint: h.blueprints[0].Name,
			Object:    template.ObjectReference{Kind: "StatefulSet", Namespace: namespace, Name: workload},
			Profile:   &template.ObjectReference{Namespace: namespace, Name: "backups"},
			Options:   options,
			Artifacts: artifacts,
		}},
	}
	plan, err := h.engine.Plan(spec)
	if err != nil {
		return nil, err
	}
	// The journal is the run: a file that is synced after every event.
	journal, err := engine.OpenFile(h.journal(action))
	if err != nil {
		return nil, err
	}
	defer func() { _ = journal.Close() }() // every event is on disk already
	events, err := journal.Events(ctx)
	if err != nil {
		return nil, err
	}
	h.report.begin(plan.Actions[0], events)
	result, err := h.engine.Run(ctx, spec, journal)
	if err == nil {
		h.report.end(result)
	}
	return result, err
}

// close ends every pod.
func (h *host) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return h.cluster.Down(ctx)
}

func (h *host) journal(run string) string { return filepath.Join(h.dir, run+".journal") }

func (h *host) location() string { return filepath.Join(h.dir, "location") }

// openLocation opens the location of a profile. A host that wants other stores names them here.
func openLocation(ctx context.Context, profile []byte) (*location.Bucket, error) {
	return location.OpenProfile(ctx, profile, openers)
}

var openers = map[string]location.Opener{location.TypeFile: file.Open}

//go:embed cluster.yaml
var manifests string

// deploy starts the application.
func (h *host) deploy(ctx context.Context) error {
	text := strings.NewReplacer("$(PASSWORD)", rand.Text(), "$(LOCATION)", fmt.Sprintf("%q", h.location())).Replace(manifests)
	if err := errors.Join(h.cluster.Apply(ctx, "cluster.yaml", []byte(text)), os.MkdirAll(h.location(), 0o700)); err != nil {
		return err
	}
	return h.cluster.AwaitScaled(ctx, cluster.Workload{Kind: "StatefulSet", Namespace: namespace, Name: workload}, 1)
}
