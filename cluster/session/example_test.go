//go:build linux

package session_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/cluster/session"
)

// An application is held while something is done with its data. The pod is one of this machine here; with kubecluster it is one of Kubernetes.
func ExampleSession_Open() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "davit")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c, err := localcluster.Open(ctx, dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Down(ctx)
	if err := c.Apply(ctx, "db.yaml", []byte(`
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: app}
spec: {template: {spec: {containers: [{name: server, command: [sleep, "1000"]}]}}}`)); err != nil {
		log.Fatal(err)
	}
	if err := c.AwaitScaled(ctx, cluster.Workload{Kind: "StatefulSet", Namespace: "app", Name: "db"}, 1); err != nil {
		log.Fatal(err)
	}

	s, err := session.New(c, session.Spec{
		Namespace: "app", Pod: "db-0", MaxHold: time.Minute,
		Command: []string{"sh", "-c", "echo locked >lock; echo held; cat; rm lock; echo position 42"},
	})
	if err != nil {
		log.Fatal(err)
	}
	held, err := s.Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the application is held: take the snapshots")
	if err := held.Release(ctx); err != nil {
		log.Fatal(err) // it was not held all the time: throw the snapshots away
	}
	position, err := held.Output()
	if err != nil {
		log.Fatal(err) // it is cut
	}
	fmt.Print(position)
	// Output:
	// the application is held: take the snapshots
	// position 42
}
