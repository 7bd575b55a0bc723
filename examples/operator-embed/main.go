// Command operator-embed is a Kubernetes operator that embeds Davit: it carries out Backups, a resource of its own, by blueprints that can call
// Davit's functions and one of this operator's.
//
// Read it in this order: api/v1alpha1 is the resource; controller/davit.go connects the parts of Davit; controller/record.go is the function;
// controller/reconciler.go makes a run of each Backup, run.go and executions.go carry runs on; journal keeps them in ConfigMaps. The README says how to try it.
//
// # Module
//
// The folder is a module of its own, so that controller-runtime is no dependency of the library. Its go.mod does not name Davit, and has no replace: here the
// workspace (go.work) puts the checkout around it in Davit's place, so go run . and go test ./... work after git clone. Copied out of the repository,
// without go.work and go.work.sum, it is an ordinary program:
//
//	go get github.com/davit-project/davit
//	go run .
package main

import (
	"errors"
	"flag"
	"log/slog"
	"os"
	"time"

	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
	"github.com/davit-project/davit/examples/operator-embed/controller"
)

// options are the flags. Kubeconfig is one more, which controller-runtime brings.
type options struct {
	namespace   string
	maxRuns     int
	podDeadline time.Duration
	drain       time.Duration
	probes      string
	metrics     string
}

func main() {
	var o options
	flag.StringVar(&o.namespace, "namespace", "", "namespace to work in; required")
	flag.IntVar(&o.maxRuns, "max-runs", 10, "runs that are executed at the same time")
	flag.DurationVar(&o.podDeadline, "pod-deadline", 6*time.Hour, "when a pod of a run ends whose operator never comes back")
	flag.DurationVar(&o.drain, "drain", 50*time.Second, "time for phases to finish when the operator is told to end")
	flag.StringVar(&o.probes, "probes", ":8081", "address of /healthz and /readyz")
	flag.StringVar(&o.metrics, "metrics", "0", "address of /metrics; 0 for none")
	flag.Parse()

	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetSlogLogger(logger) // what client-go says
	if err := run(o); err != nil {
		logger.Error("the operator ends", "error", err)
		os.Exit(1)
	}
}

// run is the operator until it is told to end.
func run(o options) error {
	if o.namespace == "" || o.maxRuns < 1 {
		return errors.New("want --namespace, and a --max-runs of at least 1")
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 50, 100 // shared by the reconciler, the journals and the runs
	mgr, err := newManager(config, o)
	if err != nil {
		return err
	}
	clients, err := kubecluster.ForConfig(config)
	if err != nil {
		return err
	}
	r := controller.New(mgr.GetClient(), controller.Kubernetes(clients, o.podDeadline), o.maxRuns)
	if err := r.SetupWithManager(mgr); err != nil {
		return err
	}
	return mgr.Start(ctrl.SetupSignalHandler())
}

// newManager makes the manager: one leader, that sees one namespace.
func newManager(config *rest.Config, o options) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		LeaderElection:                true,
		LeaderElectionID:              "operator-embed.example.davit.io",
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true, // main ends when the manager has
		GracefulShutdownTimeout:       &o.drain,
		HealthProbeBindAddress:        o.probes,
		Metrics:                       server.Options{BindAddress: o.metrics},
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{o.namespace: {}}},
		// journals and blueprints are read as they are, not as they were; a cache would also keep every ConfigMap of the namespace in memory
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.ConfigMap{}}}},
	})
	if err != nil {
		return nil, err
	}
	return mgr, errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping))
}
