//go:build unix

// Command rds shows a backup of a PostgreSQL instance of Amazon RDS: a snapshot, and a dump of it in a folder; then a restore of the dump to another
// instance, and the removal of both.
//
//	go run ./examples/rds
//
// Without arguments everything is on this machine: RDS is moto, which answers as AWS does and whose instances are records, and behind them are two PostgreSQL servers, with TLS.
// It needs python3 with moto (pip install 'moto[server]') and Debian's package postgresql or the like.
//
//	DB_PASSWORD=… go run ./examples/rds --instance shop --region eu-west-1 --user postgres --folder /backups --ca global-bundle.pem
//	DB_PASSWORD=… go run ./examples/rds --instance other --region eu-west-1 --user postgres --folder /backups --ca global-bundle.pem --dump rds/shop/davit-…
//
// With --instance it works on AWS, with the identity that the AWS SDK finds: the first line makes a snapshot and dumps it, which takes a temporary instance and some 20 minutes; the second
// restores a dump to an instance that exists. The database must be reachable from this machine, which must have psql and pg_dump. Nothing is removed then but the temporary instance.
//
// Read it in this order: blueprint.yaml; host.go embeds Davit; story.go is what happens on this machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/davit-project/davit/internal/agent"
	"github.com/davit-project/davit/location/all"
)

func main() {
	switch filepath.Base(os.Args[0]) {
	case "davit", "kando": // in a pod, this program is the agent
		os.Exit(agent.Main(context.Background(), os.Args, agent.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Openers: all.Openers()}))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "rds:", err)
		os.Exit(1) //nolint:gocritic // the signals end with the process
	}
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	var at database
	flags := flag.NewFlagSet("rds", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&at.instance, "instance", "", "instance of RDS on AWS; without it, all is on this machine")
	flags.StringVar(&at.region, "region", "", "its region")
	flags.StringVar(&at.user, "user", "postgres", "user of the database; the password is that of DB_PASSWORD")
	folder := flags.String("folder", "", "folder for dumps")
	ca := flags.String("ca", "", "file of the certificates that AWS publishes for RDS; without it, nobody checks whose server it is")
	dump := flags.String("dump", "", "dump in the folder to restore, instead of making one")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if at.instance == "" {
		return onThisMachine(ctx, out)
	}
	at.password = os.Getenv("DB_PASSWORD")
	if at.password == "" || at.region == "" || *folder == "" {
		return errors.New("--instance needs --region, --folder and the variable DB_PASSWORD")
	}
	return onAWS(ctx, out, at, *folder, *ca, *dump)
}
