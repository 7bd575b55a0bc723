// Package rehearsal plays through the loss of a database on a Kubernetes cluster: a database is filled, backed up while it is written to, lost, restored and
// compared row by row; then its backup is deleted. It is what examples/postgres and examples/mysql have in common, and a program that embeds Davit:
//
//	host.go      functions, blueprint, engine, journal
//	story.go     what happens
//	place.go     the namespace with the database and the volume for backups
//	database.go  what is particular to a database; postgres.go and mariadb.go
//	rows.go      what the database is filled with, and what it must hold afterwards
//	writer.go    who goes on writing
//
// # Errors
//
// A difference between what was written and what was restored is an error that names the row. A run that failed is the engine's error.
//
// # Concurrency
//
// A Rehearsal is for one goroutine, but that a Writer may write meanwhile.
package rehearsal

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine"
)

// Options of a rehearsal. Nil and zero are ready to use.
type Options struct {
	// Namespace that exists. Default a new one, which Close deletes.
	Namespace string
	// Image of the database, with davit in it, also under the name kando. Default that of the Database.
	Image string
	// StorageClass of the volumes. Default the cluster's.
	StorageClass string
	// Rows to fill the database with, at least 100. Default 20000.
	Rows int
	// Report receives what happens, for a person. Default none.
	Report io.Writer
}

// Rehearsal is a database on a cluster, and an engine that runs the actions of its blueprint.
type Rehearsal struct {
	db      *Database
	opts    Options
	kube    kubernetes.Interface
	cluster *kubecluster.Cluster
	// executor is the cluster, as far as commands in containers go.
	executor cluster.Executor
	engine   *engine.Engine
	// blueprints holds the one of the database.
	blueprints []*blueprint.Blueprint
	report     *report
	// journals is the folder of the runs' journals.
	journals string
	// password of the database's administrator, and of the application's account.
	password, appPassword string
	// own is set where Deploy makes the namespace, keep where Close leaves it.
	own, keep bool
}

// Open connects to the cluster. Nothing is made there yet.
func Open(config *rest.Config, db *Database, opts *Options) (*Rehearsal, error) {
	r := &Rehearsal{db: db, password: rand.Text(), appPassword: rand.Text()}
	if opts != nil {
		r.opts = *opts
	}
	r.opts.Image, r.opts.Rows = cmp.Or(r.opts.Image, db.Image), cmp.Or(r.opts.Rows, 20000)
	if r.opts.Rows < 100 {
		return nil, errors.New("a rehearsal takes at least 100 rows")
	}
	if r.opts.Namespace == "" {
		r.opts.Namespace, r.own = "davit-"+db.Name+"-"+strings.ToLower(rand.Text()[:6]), true
	}
	if r.opts.Report == nil {
		r.opts.Report = io.Discard
	}
	r.report = &report{out: r.opts.Report}
	if err := r.host(config); err != nil {
		return nil, err
	}
	var err error
	r.journals, err = os.MkdirTemp("", "davit-"+db.Name+"-")
	return r, err
}

// Namespace is where everything is.
func (r *Rehearsal) Namespace() string { return r.opts.Namespace }

// Close removes the journals, and the namespace if it was made by Deploy. It does not wait for the namespace's end.
func (r *Rehearsal) Close() error {
	err := os.RemoveAll(r.journals)
	if !r.own || r.keep {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if deleted := r.deleteNamespace(ctx); deleted != nil {
		err = errors.Join(err, fmt.Errorf("delete namespace %q: %w", r.opts.Namespace, deleted))
	}
	return err
}
