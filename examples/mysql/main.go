// Command mysql shows a backup of MariaDB on a Kubernetes cluster: the one of your kubeconfig. It starts a server in a namespace of its own, fills it,
// backs it up while a writer goes on, loses the server's volume, restores into the empty server, compares every row with what was written, and deletes the
// backup and the namespace.
//
//	go run ./examples/mysql --image registry.example.com/mariadb-davit:10.11
//	go run ./examples/mysql --lose tables      drop the tables instead
//
// The image is MariaDB's own with davit in it:
//
//	FROM mariadb:10.11
//	COPY davit /usr/local/bin/davit
//	RUN ln -s davit /usr/local/bin/kando
//	USER 999:999
//
// The cluster needs a storage class. The pods meet the restricted Pod Security Standard. The backup goes to a folder on a volume, which this program mounts in the
// pods of its runs; the blueprint, examples/blueprints/mysql, works with every location.
//
// What this program does besides is in internal/rehearsal, which begins with a list of what to read; host.go there embeds Davit.
package main

import (
	"os"

	"github.com/davit-project/davit/internal/rehearsal"
)

func main() { os.Exit(rehearsal.Main(rehearsal.MariaDB(), os.Args[1:])) }
