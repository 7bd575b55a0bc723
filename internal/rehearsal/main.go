package rehearsal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/tools/clientcmd"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// Main is the whole of the program of a database. It returns the exit code.
func Main(db *Database, args []string) int {
	err := program(db, args)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		return exitUsage
	default:
		fmt.Fprintf(os.Stderr, "%s: %s\n", db.Name, err)
		return exitFailed
	}
}

var errUsage = errors.New("wrong usage")

// program tells the story in a namespace of its own and leaves nothing behind.
func program(db *Database, args []string) (err error) {
	flags := flag.NewFlagSet(db.Name, flag.ContinueOnError)
	opts := &Options{Report: os.Stdout}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	overrides := &clientcmd.ConfigOverrides{}
	flags.StringVar(&rules.ExplicitPath, "kubeconfig", "", "file that says how to reach the cluster; default KUBECONFIG, or ~/.kube/config")
	flags.StringVar(&overrides.CurrentContext, "context", "", "context of the kubeconfig; default the current one")
	flags.StringVar(&opts.Image, "image", db.Image, "image of the database, with davit in it, also under the name kando")
	flags.StringVar(&opts.StorageClass, "storage-class", "", "storage class of the volumes; default the cluster's")
	flags.IntVar(&opts.Rows, "rows", 20000, "rows to fill the database with, at least 100")
	loss := flags.String("lose", string(Volume), "how the data is lost: volume (the server's volume is emptied) or tables (they are dropped)")
	keep := flags.Bool("keep", false, "keep the namespace")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return errUsage // the flag package has said more
	}
	if flags.NArg() > 0 || Loss(*loss) != Volume && Loss(*loss) != Tables {
		return fmt.Errorf("%w: want --lose volume or tables, and no other arguments", errUsage)
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := Open(config, db, opts)
	if err != nil {
		return err
	}
	if *keep {
		r.keep = true
		defer r.report.say("\nkept: namespace %s", r.Namespace())
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.Tell(ctx, Loss(*loss))
}
