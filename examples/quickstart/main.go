//go:build unix

// Command quickstart shows what Davit does, on this machine, in a few seconds: it backs up a database that is being written
// to, destroys the data, restores it and compares every record, then deletes the backup.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart --crash     kill the process in the middle of the backup and carry on
//
// Read it in this order: story.go is what happens; host.go embeds Davit: functions, blueprint, engine, journal; crash.go is
// the process that is killed; app.go is the database seen from outside, as its users see it. The blueprint is in
// examples/blueprints/bbolt. The database itself is server.go, store.go, client.go, dump.go and record.go: a bbolt file behind
// a small server, no part of Davit.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/davit-project/davit/internal/agent"
)

// Exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() { os.Exit(program(os.Args)) }

// program does what the name it was called by says: pods find this binary under the names of the agent and of the database.
func program(args []string) int {
	name, run := filepath.Base(args[0]), quickstart
	switch name {
	case "kando":
		return agent.Main(context.Background(), args, agent.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Openers: openers})
	case dbName:
		run = dbMain
	case victimName:
		run = victim
	default:
		name = "quickstart"
	}
	err := run(args[1:])
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errInterrupted):
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, err)
		return exitInterrupted
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		return exitUsage
	default:
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, err)
		return exitFailed
	}
}

var (
	errInterrupted = errors.New("interrupted")
	errUsage       = errors.New("quickstart: wrong usage")
)

// quickstart makes a folder, tells the story in it and leaves nothing behind.
func quickstart(args []string) (err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	records := flags.Uint64("records", 65536, "records of 4 KiB to begin with, at most 131072")
	crash := flags.Bool("crash", false, "kill the process in the middle of the backup and carry on")
	keep := flags.Bool("keep", false, "keep the folder with journals, database and location")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return errUsage // the flag package has said more
	}
	if flags.NArg() > 0 || *records < 1 || *records > 131072 {
		return fmt.Errorf("%w: want --records from 1 to 131072, and no other arguments", errUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "davit-quickstart-")
	if err != nil {
		return err
	}
	r := newReport()
	defer func() {
		if *keep {
			r.say("\nkept: %s", dir)
		} else {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	h, err := openHost(ctx, dir, exe, r)
	if err != nil {
		return err
	}
	d := &demo{host: h, app: app{h.cluster}, records: *records, crash: *crash}
	err = d.tell(ctx)
	if err != nil && ctx.Err() != nil {
		err = errInterrupted
	}
	return errors.Join(err, h.close())
}
