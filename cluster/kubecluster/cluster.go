// Package kubecluster is the binding to a Kubernetes cluster: commands in containers, pods that run to completion, workloads and objects.
//
// # Errors
//
// Those of package cluster. A refusal by the server names the verb and the resource that were refused ([cluster.ErrDenied]); a pod that cannot start
// is reported with its events.
//
// # Concurrency
//
// A Cluster keeps no state between calls and is safe for concurrent use.
package kubecluster

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Clients is what a Cluster talks through. All four are required; ForConfig makes them of a configuration.
type Clients struct {
	// Config is for exec, which opens connections of its own.
	Config  *rest.Config
	Kube    kubernetes.Interface
	Dynamic dynamic.Interface
	// Mapper tells resources from kinds. One that can be reset (meta.ResettableRESTMapper) is reset when it does not know a kind.
	Mapper meta.RESTMapper
}

// Options of a cluster. Nil and zero are ready to use.
type Options struct {
	// Policy says what pods may have. Default: that of the zero Policy.
	Policy Policy
	// Owner is set on pods that are created in its namespace, so that they go when it goes: also in the middle of a run, and, when it is deleted in the foreground,
	// before it goes. Default none.
	Owner *Owner
	// Namespaces are those that Sweep looks in where it may not list pods of all namespaces. Default none.
	Namespaces []string
	// PodDeadline is activeDeadlineSeconds of the pods of RunPod: what ends one whose host never comes back. Default 24h.
	PodDeadline time.Duration
	// StartTimeout is how long a pod of RunPod may take until its containers run. Default 15m.
	StartTimeout time.Duration
	// ScheduleGrace is how long a pod may be unschedulable: a cluster may be making room or adding a node. Default 5m.
	ScheduleGrace time.Duration
	// ImageGrace is how long pulling an image may fail. Default 1m.
	ImageGrace time.Duration
	// ConfigGrace is how long a container may be impossible to create, for want of a config map or secret that may be on its way. Default 15s.
	ConfigGrace time.Duration
	// RemoveTimeout bounds ending and removing a pod. Default 1m.
	RemoveTimeout time.Duration
	// Logger receives what the caller of a method does not: reconnects, logs that were rotated away. Default none.
	Logger *slog.Logger
}

// Owner is an object that owns pods, in its namespace.
type Owner struct {
	Namespace string
	metav1.OwnerReference
}

// Cluster is a Kubernetes cluster.
type Cluster struct {
	clients Clients
	opts    Options
	exec    execSettings
}

// New makes a Cluster of clients. Rates and timeouts of requests are those of the clients.
func New(clients Clients, opts *Options) (*Cluster, error) {
	if clients.Config == nil || clients.Kube == nil || clients.Dynamic == nil || clients.Mapper == nil {
		return nil, errors.New("kubecluster: Config, Kube, Dynamic and Mapper are all required")
	}
	c := &Cluster{clients: clients}
	if opts != nil {
		c.opts = *opts
	}
	o := &c.opts
	o.PodDeadline = cmp.Or(o.PodDeadline, 24*time.Hour)
	o.StartTimeout = cmp.Or(o.StartTimeout, 15*time.Minute)
	o.ScheduleGrace = cmp.Or(o.ScheduleGrace, 5*time.Minute)
	o.ImageGrace = cmp.Or(o.ImageGrace, time.Minute)
	o.ConfigGrace = cmp.Or(o.ConfigGrace, 15*time.Second)
	o.RemoveTimeout = cmp.Or(o.RemoveTimeout, time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// ForConfig makes the clients of a configuration, whose QPS and Burst are the host's choice. Warnings of the server are dropped, because client-go would print them,
// unless the configuration says what to do with them. Nothing is asked of the server yet.
func ForConfig(config *rest.Config) (Clients, error) {
	if config.WarningHandler == nil && config.WarningHandlerWithContext == nil {
		config = rest.CopyConfig(config)
		config.WarningHandler = rest.NoWarnings{}
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return Clients{}, fmt.Errorf("client for Kubernetes: %w", err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return Clients{}, fmt.Errorf("client for Kubernetes: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kube.Discovery()))
	return Clients{Config: config, Kube: kube, Dynamic: dyn, Mapper: mapper}, nil
}
