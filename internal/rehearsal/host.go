package rehearsal

import (
	"context"
	"path/filepath"

	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/examples/blueprints"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

// backups is the name of the volume for backups, and of its claim; backupsPath is where pods find it.
const (
	backups     = "backups"
	backupsPath = "/backups"
)

// host connects the parts of Davit.
func (r *Rehearsal) host(config *rest.Config) error {
	// The cluster that functions work on.
	clients, err := kubecluster.ForConfig(config)
	if err != nil {
		return err
	}
	r.kube = clients.Kube
	r.cluster, err = kubecluster.New(clients, &kubecluster.Options{Namespaces: []string{r.opts.Namespace}})
	if err != nil {
		return err
	}
	k := r.cluster
	r.executor = k
	// The functions that a blueprint can call.
	registry, err := function.NewRegistry(builtin.All(builtin.Deps{
		Kube: kube.Deps{Exec: k, Pods: k, Scaler: k, Objects: k, Namespace: r.opts.Namespace},
	})...)
	if err != nil {
		return err
	}
	// The blueprint. Plan, below, checks it against the functions before anything is touched.
	name := r.db.Name + "/blueprint.yaml"
	text, err := blueprints.Files.ReadFile(name)
	if err != nil {
		return err
	}
	parsed := blueprint.Parse(name, text)
	if err := parsed.Err(); err != nil {
		return err
	}
	r.blueprints = parsed.Blueprints
	r.engine = engine.New(registry, source{kubedata.New(k, k)}, &engine.Options{Observe: r.report.observe, Progress: r.report.progress, Sweep: k})
	return nil
}

// source fills templates from live objects. The profile is not one of them: this host knows its location, a folder on a volume.
type source struct{ *kubedata.Source }

func (source) Profile(context.Context, string, string) (*template.Profile, error) {
	return &template.Profile{Location: template.Location{Type: "file", Bucket: backupsPath}}, nil
}

// onVolume mounts the volume for backups in the pods of a run. The blueprint knows nothing of it.
var onVolume = map[string]any{
	"volumes":    []any{map[string]any{"name": backups, "persistentVolumeClaim": map[string]any{"claimName": backups}}},
	"containers": []any{map[string]any{"name": "container", "volumeMounts": []any{map[string]any{"name": backups, "mountPath": backupsPath}}}},
}

// Request asks for a run of an action of the blueprint.
type Request struct {
	// ID names the run: new for each. Required.
	ID string
	// Action is backup, restore or delete. Required.
	Action string
	// Options of the blueprint; nil for none.
	Options map[string]string
	// Artifacts of a backup, for restore and delete.
	Artifacts map[string]template.Artifact
}

// Run executes an action of the blueprint. A run that failed has a result too.
func (r *Rehearsal) Run(ctx context.Context, req Request) (*engine.Result, error) {
	spec := &engine.Spec{
		ID:         req.ID,
		Blueprints: r.blueprints,
		Actions: []blueprint.ActionSpec{{
			Name: req.Action, Blueprint: r.blueprints[0].Name,
			Object:      template.ObjectReference{Kind: "StatefulSet", Namespace: r.opts.Namespace, Name: workload},
			Profile:     &template.ObjectReference{Namespace: r.opts.Namespace, Name: backups},
			Options:     req.Options,
			Artifacts:   req.Artifacts,
			PodOverride: onVolume,
		}},
	}
	plan, err := r.engine.Plan(spec)
	if err != nil {
		return nil, err
	}
	// The journal is the run: a file that is synced after every event.
	journal, err := engine.OpenFile(filepath.Join(r.journals, req.ID+".journal"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = journal.Close() }() // every event is on disk already
	r.report.begin(plan.Actions[0])
	return r.engine.Run(ctx, spec, journal)
}
