// Package builtin lists every built-in function. It is the only place that names them all; hosts that want fewer take them from
// the packages that hold them.
//
// # Concurrency
//
// The functions keep no state; one value serves any number of runs at once.
package builtin

import (
	"cmp"
	"context"
	"slices"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/function/rds"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/location"
)

// Deps is what the functions work on. The zero value is enough to lint and document blueprints; functions that are run need
// what their packages say.
type Deps struct {
	// Kube is the cluster.
	Kube kube.Deps
	// Open opens the bucket of a profile's JSON.
	Open func(ctx context.Context, profile []byte) (*location.Bucket, error)
	// Data is for the functions that move volume data. What it has of the cluster, its namespace and Open are those above where they are not set.
	Data data.Deps
	// RDS is for the functions of Amazon RDS. Its pods and Open are those above where they are not set.
	RDS rds.Deps
	// Volume is for the functions that snapshot volumes. What it has of the cluster are those above where they are not set.
	Volume volume.Deps
}

// All returns every function, those that are only declared included.
func All(d Deps) []function.Func {
	return slices.Concat(
		kube.Functions(d.Kube),
		data.Functions(d.data()), data.Declared(),
		volume.Functions(d.volume()), volume.Declared(),
		rds.Functions(d.rds()),
	)
}

// data completes what moves data.
func (d Deps) data() data.Deps {
	out := d.Data
	if out.Open == nil {
		out.Open = d.Open
	}
	if out.Exec == nil {
		out.Exec = d.Kube.Exec
	}
	if out.Pods == nil {
		out.Pods = d.Kube.Pods
	}
	if out.Objects == nil && d.Kube.Objects != nil {
		out.Objects = d.Kube.Objects
	}
	out.Namespace = cmp.Or(out.Namespace, d.Kube.Namespace)
	return out
}

// rds completes what works on databases of Amazon RDS.
func (d Deps) rds() rds.Deps {
	out := d.RDS
	if out.Open == nil {
		out.Open = d.Open
	}
	if out.Pods == nil {
		out.Pods = d.Kube.Pods
	}
	return out
}

// volume completes what snapshots volumes.
func (d Deps) volume() volume.Deps {
	out := d.Volume
	if out.Exec == nil {
		out.Exec = d.Kube.Exec
	}
	return out
}
