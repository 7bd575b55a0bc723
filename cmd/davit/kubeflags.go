package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/davit-project/davit/cluster/kubecluster"
)

// Requests to the API server, per second and at once. The server has limits of its own, and tells clients to wait; kubectl has the same.
const (
	defaultQPS   = 50
	defaultBurst = 300
)

// kubeFlags say which Kubernetes cluster a run is on, and what its pods may have.
type kubeFlags struct {
	kubeconfig, context, as string
	qps                     float32
	burst                   int
	podSecurity             string
	runAsImage              bool
	serviceAccounts         []string
	moverImage, dumpImage   string
}

// kubeOnly are the flags that make no sense on this machine.
var kubeOnly = []string{"kubeconfig", "context", "as", "qps", "burst", "pod-security", "run-as-image", "service-account", "mover-image", "dump-image"}

func (f *kubeFlags) bind(flags *pflag.FlagSet) {
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig `FILE` (default $KUBECONFIG or ~/.kube/config, else the cluster of the pod this runs in)")
	flags.StringVar(&f.context, "context", "", "`NAME` of the kubeconfig's context (default its current one)")
	flags.StringVar(&f.as, "as", "", "`USER` to act as, by impersonation, such as system:serviceaccount:NAMESPACE:NAME")
	flags.Float32Var(&f.qps, "qps", defaultQPS, "requests to the API server a second, on average")
	flags.IntVar(&f.burst, "burst", defaultBurst, "requests to the API server at once, after a pause")
	flags.StringVar(&f.podSecurity, "pod-security", string(kubecluster.LevelBaseline),
		"Pod Security Standard that podOverrides must keep to: `baseline`, restricted or privileged")
	flags.BoolVar(&f.runAsImage, "run-as-image", false, "let the containers of pods run as their image says, as root too, without the settings of the restricted standard")
	flags.StringSliceVar(&f.serviceAccounts, "service-account", nil, "`NAME` of a service account that a podOverride may name; repeat it for several (default none)")
	flags.StringVar(&f.moverImage, "mover-image", "", "`IMAGE` that has davit, for the pods that mount volumes to move data (default the image that a phase names)")
	flags.StringVar(&f.dumpImage, "dump-image", "", "`IMAGE` that has davit and PostgreSQL's client programs, for the pods that dump and restore databases of RDS (default the image that a phase names)")
}

// policy is what pods may have.
func (f *kubeFlags) policy() (kubecluster.Policy, error) {
	p := kubecluster.Policy{Level: kubecluster.Level(f.podSecurity), RunAsImage: f.runAsImage, ServiceAccounts: f.serviceAccounts}
	var errs []error
	switch p.Level {
	case kubecluster.LevelBaseline, kubecluster.LevelRestricted, kubecluster.LevelPrivileged:
	default:
		errs = append(errs, fmt.Errorf("--pod-security %q: want baseline, restricted or privileged", f.podSecurity))
	}
	if f.qps <= 0 || f.burst <= 0 {
		errs = append(errs, fmt.Errorf("--qps %g and --burst %d: want numbers above zero", f.qps, f.burst))
	}
	return p, errors.Join(errs...)
}

// named is true when flags name a cluster.
func (f *kubeFlags) named() bool { return f.kubeconfig != "" || f.context != "" }
