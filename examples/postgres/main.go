// Command postgres shows a backup of PostgreSQL on a Kubernetes cluster: the one of your kubeconfig. It starts a server in a namespace of its own, fills it,
// backs it up while a writer goes on, loses the server's volume, restores into the empty server, compares every row with what was written, and deletes the
// backup and the namespace.
//
//	go run ./examples/postgres --image registry.example.com/postgres-davit:15
//	go run ./examples/postgres --lose tables      drop the tables instead
//
// The image is PostgreSQL's own with davit in it:
//
//	FROM postgres:15
//	COPY davit /usr/local/bin/davit
//	RUN ln -s davit /usr/local/bin/kando
//	USER 999:999
//
// The cluster needs a storage class. The pods meet the restricted Pod Security Standard. The backup goes to a folder on a volume, which this program mounts in the
// pods of its runs; the blueprint, examples/blueprints/postgres, works with every location.
//
// What this program does besides is in internal/rehearsal, which begins with a list of what to read; host.go there embeds Davit.
package main

import (
	"os"

	"github.com/davit-project/davit/internal/rehearsal"
)

func main() { os.Exit(rehearsal.Main(rehearsal.Postgres(), os.Args[1:])) }
