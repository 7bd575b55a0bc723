// Command csi-snapshot takes a snapshot of a claim, restores it to a second claim and deletes the snapshot: three runs of one blueprint.
//
//	go run ./examples/csi-snapshot
//	go run ./examples/csi-snapshot --kubeconfig ~/.kube/config --namespace shop --claim data-db-0 --snapshot-class csi --storage-class fast
//
// The first is for looking at it without a cluster: the storage is in memory, and the claim is one that the program makes up. The second works on your cluster, which needs a
// CSI driver with snapshots and the snapshot-controller. It leaves the claim data-db-0-restored, and removes the snapshot.
//
// Nothing here knows which of the two it is but open: the functions work on every driver of package snapshot.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/csi"
	"github.com/davit-project/davit/snapshot/memsnap"
	"github.com/davit-project/davit/template"
)

//go:embed blueprint.yaml
var document []byte

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "csi-snapshot:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("csi-snapshot", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig of the cluster; without it, the storage is in memory")
	options := map[string]string{}
	for _, o := range []struct{ flag, option, value, usage string }{
		{"namespace", "namespace", "shop", "namespace of the claim"},
		{"claim", "claim", "data-db-0", "claim to take a snapshot of"},
		{"snapshot-class", "snapshotClass", "memory", "class of the snapshot"},
		{"storage-class", "storageClass", "memory", "storage class of the restored claim"},
	} {
		options[o.option] = o.value
		flags.Func(o.flag, fmt.Sprintf("%s (default %s)", o.usage, o.value), func(value string) error { options[o.option] = value; return nil })
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	driver, err := open(*kubeconfig, options)
	if err != nil {
		return err
	}
	return story(ctx, driver, options)
}

// open returns the driver of a cluster, or one of storage in memory with one claim.
func open(kubeconfig string, options map[string]string) (snapshot.Driver, error) {
	if kubeconfig == "" {
		storage := memsnap.New(nil)
		storage.AddVolume(snapshot.Ref{Namespace: options["namespace"], Name: options["claim"]}, "orders")
		return storage, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	return csi.NewForConfig(config, nil)
}

// story runs the three actions. What the backup says about itself, its artifacts, is all that the others are given.
func story(ctx context.Context, driver snapshot.Driver, options map[string]string) error {
	registry, err := function.NewRegistry(volume.Functions(volume.Deps{Snapshots: snapshot.New(driver, nil)})...)
	if err != nil {
		return err
	}
	file := blueprint.Parse("blueprint.yaml", document)
	if err := file.Err(); err != nil {
		return err
	}
	begin := time.Now().Unix()
	var artifacts map[string]template.Artifact
	for _, action := range []string{"backup", "restore", "delete"} {
		result, err := engine.New(registry, nil, nil).Run(ctx, &engine.Spec{
			ID: fmt.Sprintf("example-%s-%d", action, begin), Blueprints: file.Blueprints,
			Actions: []blueprint.ActionSpec{{Name: action, Blueprint: "claim", Options: options, Artifacts: artifacts}},
		}, &engine.MemoryJournal{}) // one in a file would survive this program: engine.OpenFile
		if err != nil {
			return fmt.Errorf("%s: %w", action, err)
		}
		fmt.Println(action, "is", result.State)
		if action == "backup" {
			if artifacts, err = result.Artifacts(0); err != nil {
				return err
			}
			made := artifacts["snapshot"].KeyValue
			fmt.Println("  it can be restored to a claim of at least", made["restoreSize"])
		}
	}
	return nil
}
