//go:build unix

package execstream_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/execstream"
	"github.com/davit-project/davit/cluster/localcluster"
)

// A dump leaves a pod and comes back. The pod is one of this machine here; with kubecluster it is one of Kubernetes.
func Example() {
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

	in := cluster.Command{Namespace: "app", Pod: "db-0", Args: []string{"sh", "-c", "cat >table"}, Stdin: strings.NewReader("a row\nand another\n")}
	if _, err := execstream.Write(ctx, c, in, nil); err != nil {
		log.Fatal(err)
	}
	var dump bytes.Buffer
	out := cluster.Command{Namespace: "app", Pod: "db-0", Args: []string{"cat", "table"}, Stdout: &dump}
	res, err := execstream.Read(ctx, c, out, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(dump.String())
	fmt.Println(res.Bytes, "bytes, SHA-256", res.SHA256[:8])
	// Output:
	// a row
	// and another
	// 18 bytes, SHA-256 5df03018
}
