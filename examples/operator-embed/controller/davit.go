package controller

import (
	"log/slog"
	"slices"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/template/kubedata"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
	"github.com/davit-project/davit/examples/operator-embed/journal"
)

// catalogue is the ConfigMap that RecordBackup writes to, in the namespace of the Backup.
const catalogue = "backup-catalogue"

// Cluster is what runs work on: kubecluster.Cluster is one, and localcluster.Cluster for tests.
type Cluster interface {
	cluster.Executor
	cluster.PodRunner
	cluster.Scaler
	cluster.Objects
	cluster.PodLister
	cluster.Sweeper
}

// Connect returns the cluster as one run sees it: in the namespace of its Backup, with an owner for the pods it makes.
type Connect func(namespace string, owner metav1.OwnerReference, log *slog.Logger) (Cluster, error)

// functions are those that blueprints can call: what Davit brings for pods and workloads, and one of our own. KubeOps is left out: with it, a blueprint could
// write to journals, its own and those of others. For Lint, deps may be zero.
func functions(b *v1alpha1.Backup, deps kube.Deps, c client.Client) (*function.Registry, error) {
	deps.Namespace = b.Namespace
	all := slices.DeleteFunc(kube.Functions(deps), func(f function.Func) bool { return f.Name() == "KubeOps" })
	all = append(all, RecordBackup(c, client.ObjectKey{Namespace: b.Namespace, Name: catalogue}))
	return function.NewRegistry(all...)
}

// newEngine connects the parts for the run of one Backup.
func newEngine(b *v1alpha1.Backup, c client.Client, on Cluster, opts engine.Options) (*engine.Engine, error) {
	registry, err := functions(b, kube.Deps{Exec: on, Pods: on, Scaler: on, Objects: on}, c)
	if err != nil {
		return nil, err
	}
	opts.Sweep = on
	opts.MaxOutput = journal.MaxOutput
	return engine.New(registry, kubedata.New(on, on), &opts), nil
}
