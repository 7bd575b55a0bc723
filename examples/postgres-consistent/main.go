// Command postgres-consistent shows a consistent snapshot of a PostgreSQL that writes to two volumes, on a Kubernetes cluster: the one of your kubeconfig. It starts a server in a namespace of
// its own, with its log (pg_wal) on a volume of its own, writes to it with several clients, snapshots both volumes as one group while a held session has stopped the server, starts a
// second server on volumes made of the snapshots, compares what that has with what was acknowledged, and deletes the snapshots and the namespace.
//
//	go run ./examples/postgres-consistent --storage-class fast --snapshot-class fast-snapshots
//
// The cluster needs a CSI driver with snapshots, its classes, and the snapshot-controller. The image is PostgreSQL's own; it needs nothing of Davit. The pods meet the restricted Pod Security
// Standard and share the view of their processes (shareProcessNamespace), so that the server is not the first process of its container, which nobody can stop.
//
// Read it in this order: blueprint.yaml; cluster.yaml; host.go embeds Davit; story.go is what happens; writers.go is who writes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "postgres-consistent:", err)
		os.Exit(1) //nolint:gocritic // the signals end with the process
	}
}

// options of the program.
type options struct{ image, storageClass, snapshotClass string }

func run(ctx context.Context, args []string, out, errs io.Writer) (err error) {
	flags := flag.NewFlagSet("postgres-consistent", flag.ContinueOnError)
	flags.SetOutput(errs)
	var opts options
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	overrides := &clientcmd.ConfigOverrides{}
	flags.StringVar(&rules.ExplicitPath, "kubeconfig", "", "file that says how to reach the cluster; default KUBECONFIG, or ~/.kube/config")
	flags.StringVar(&overrides.CurrentContext, "context", "", "context of the kubeconfig; default the current one")
	flags.StringVar(&opts.image, "image", "postgres:15", "image of PostgreSQL 13 or newer, with bash")
	flags.StringVar(&opts.storageClass, "storage-class", "", "storage class of the volumes; required")
	flags.StringVar(&opts.snapshotClass, "snapshot-class", "", "class of the snapshots; default the one for the storage class")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if opts.storageClass == "" || flags.NArg() > 0 {
		return errors.New("--storage-class is required, and there are no other arguments")
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return err
	}
	h, err := newHost(config, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	return h.tell(ctx, out)
}
