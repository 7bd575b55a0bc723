package main

import (
	"context"
	"log/slog"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/function/rds"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/all"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

// registry holds every function, to lint, to describe, and to tell the permissions of: pods are in the namespace where a phase names none.
func registry(namespace string) (*function.Registry, error) { return registryFor(namespace, "") }

// registryFor is registry for runs that have an image for the pods that move data.
func registryFor(namespace, moverImage string) (*function.Registry, error) {
	return function.NewRegistry(builtin.All(builtin.Deps{Kube: kube.Deps{Namespace: namespace}, Data: data.Deps{MoverImage: moverImage}})...)
}

// binding is a cluster with all that functions, parameters and the engine need of it.
type binding interface {
	cluster.Executor
	cluster.PodRunner
	cluster.Scaler
	cluster.Objects
	cluster.PodLister
	cluster.Sweeper
	// settle waits until what was just started runs.
	settle(ctx context.Context, subjects []template.ObjectReference, logger *slog.Logger)
	close(ctx context.Context) error
	// volumes is what the functions that snapshot volumes work on.
	volumes() (volume.Deps, error)
}

var (
	_ binding = (*local)(nil)
	_ binding = (*onKube)(nil)
)

// engineOn makes an engine whose functions work on a cluster.
func (s *session) engineOn(c binding, unknown engine.Unknown, logger *slog.Logger) (*engine.Engine, error) {
	databases, err := s.rdsDeps()
	if err != nil {
		return nil, err
	}
	volumes, err := c.volumes()
	if err != nil {
		return nil, err
	}
	reg, err := function.NewRegistry(builtin.All(builtin.Deps{
		Kube:   kube.Deps{Exec: c, Pods: c, Scaler: c, Objects: c, Namespace: s.namespace},
		Open:   openBucket,
		Data:   s.dataDeps(c),
		Volume: volumes,
		RDS:    databases,
	})...)
	if err != nil {
		return nil, err
	}
	opts := &engine.Options{Logger: logger, Unknown: unknown, Observe: s.report.observe, Progress: s.report.progress}
	if s.local || s.sweeps {
		opts.Sweep = c
	}
	if s.catalog {
		opts.Manifest = keepManifest
	}
	return engine.New(reg, s.source(kubedata.New(c, c)), opts), nil
}

// dataDeps is what moves volume data. Where there is no Kubernetes, davit itself is in every pod and images do not count.
func (s *session) dataDeps(c binding) data.Deps {
	d := data.Deps{Keys: data.SecretKeys(c, s.namespace), AllowDefaultKey: s.flags.allowDefaultKey, MoverImage: s.flags.kube.moverImage, Parallel: s.flags.parallel}
	if s.local {
		d.MoverImage = onThisMachine
	}
	return d
}

// rdsDeps is what works on databases of Amazon RDS. On this machine davit itself is in every pod, too.
func (s *session) rdsDeps() (rds.Deps, error) {
	wait := s.flags.rdsWait
	if wait < 0 {
		return rds.Deps{}, usageError("--rds-wait: %s is less than no time", wait)
	}
	d := rds.Deps{DumpImage: s.flags.kube.dumpImage, Waits: rds.Waits{Instance: wait, Snapshot: wait, Cluster: wait}}
	if s.local {
		d.DumpImage = onThisMachine
	}
	if s.flags.dumpCA == "" {
		return d, nil
	}
	var err error
	d.DumpCA, err = s.readFile("the authorities of databases (--dump-ca)", s.flags.dumpCA)
	return d, err
}

// openBucket opens the bucket of a profile's JSON.
func openBucket(ctx context.Context, profile []byte) (*location.Bucket, error) {
	return location.OpenProfile(ctx, profile, all.Openers())
}
