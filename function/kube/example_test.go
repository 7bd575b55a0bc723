package kube_test

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/kube"
)

// echo is an Executor that writes the last argument of every command.
type echo struct{}

func (echo) Exec(_ context.Context, cmd cluster.Command) error {
	_, err := fmt.Fprintln(cmd.Stdout, cmd.Args[len(cmd.Args)-1])
	return err
}

func ExampleFunctions() {
	reg, err := function.NewRegistry(kube.Functions(kube.Deps{Exec: echo{}})...)
	if err != nil {
		fmt.Println(err)
		return
	}
	exec, err := reg.Lookup("KubeExec", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := exec.Exec(context.Background(), &function.Call{}, map[string]any{
		"namespace": "app", "pod": "db-0", "command": []any{"echo", `###Phase-output###: {"key":"path","value":"dump.sql"}`},
	})
	fmt.Println(out["path"], err)
	// Output: dump.sql <nil>
}
