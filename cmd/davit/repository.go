package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/internal/agent"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository"
)

// Exit codes of davit repository; those of restic.
const (
	exitIncomplete   = 3
	exitNoRepository = 10
	exitLocked       = 11
	exitPassword     = 12
)

// repositoryGC is by how much the heap of davit repository may grow between two collections, in per cent: most of it are an index and buffers, which cost a collection little.
// repositoryBallast is memory that counts for this and is never touched, so that a small heap is not collected all the time.
const (
	repositoryGC      = 10
	repositoryBallast = 32 << 20
)

// repositoryCodes is part of the help.
const repositoryCodes = `Exit codes: 0 done, 1 failed, 2 wrong usage or profile, 3 a backup or restore is incomplete: some files could not be read or written,
10 no repository there, 11 the repository is locked, 12 wrong password, 130 and 143 ended by SIGINT and SIGTERM.`

// repositoryCall is what the flags of davit repository say.
type repositoryCall struct {
	*program
	place        agent.Place
	prefix       string
	passwordFile string
	defaultKey   bool
	lockWait     time.Duration
	noLock, json bool
	verbose      bool
	connections  int
}

func (p *program) repositoryCommand() *cobra.Command {
	c := &repositoryCall{program: p, place: agent.Place{Streams: p.streams()}}
	cmd := &cobra.Command{
		Use:     "repository",
		Aliases: []string{"repo"},
		Short:   "Back up to, restore from and look after repositories in restic's format",
		Long: `Works on repositories in restic's format: those of Davit, and any that restic and what is built on it have made.

The location is that of --location, with the credential of the environment, or of the profile in --profile or $DAVIT_PROFILE_FILE; the repository is at its prefix.
The password is that of --password-file, else $DAVIT_PASSWORD, else it is asked for on the terminal. There is no flag for it: others could read it in the list of processes.

An interrupt (Ctrl-C) ends a command in order and says what is left; the repository is always whole. A second one ends the process at once.

` + repositoryCodes,
		Example: `  davit repository init --location s3://backups/laptop
  davit repository backup ~/work --location s3://backups/laptop
  davit repository restore latest --target /tmp/back --location s3://backups/laptop`,
		Args: cobra.NoArgs,
	}
	flags := cmd.PersistentFlags()
	c.place.AddFlags(flags)
	flags.StringVar(&c.prefix, "prefix", "", "`FOLDER` of the repository, below the location's own prefix")
	flags.StringVar(&c.passwordFile, "password-file", "", "`FILE` with the password; white space around it is left out")
	flags.BoolVar(&c.defaultKey, "allow-default-key", false, "open a repository that Kanister made without a password; everybody knows what it uses then")
	flags.DurationVar(&c.lockWait, "retry-lock", 0, "how long to wait for a lock of somebody else, such as 10m")
	flags.BoolVar(&c.noLock, "no-lock", false, "read without a lock, for a credential that cannot write; what is read may be removed meanwhile")
	flags.BoolVar(&c.json, "json", false, "print JSON: progress and summaries a line each, lists as one value")
	flags.IntVar(&c.connections, "connections", 0, "requests to the location at once (default 4)")
	flags.BoolVar(&c.verbose, "verbose", false, "write what goes on to standard error")
	cmd.SetFlagErrorFunc(agent.FlagError)
	cmd.AddCommand(c.initCommand(), c.backupCommand(), c.snapshotsCommand(), c.lsCommand(), c.restoreCommand(), c.dumpCommand(), c.checkCommand(), c.repairCommand(), c.forgetCommand(), c.pruneCommand(), c.statsCommand(), c.keyCommand(), c.unlockCommand())
	return cmd
}

// options say how the repository is opened.
func (c *repositoryCall) options() *repository.Options {
	o := &repository.Options{Path: c.prefix, LockWait: c.lockWait, NoLock: c.noLock, Connections: c.connections}
	if c.verbose {
		o.Log = slog.New(slog.NewTextHandler(c.stderr, nil))
	}
	return o
}

// with opens the repository and calls f, in a context that an interrupt ends. Left says what an interrupted command leaves.
func (c *repositoryCall) with(ctx context.Context, left string, f func(context.Context, *repository.Repository) error) error {
	return c.withBucket(ctx, left, func(ctx context.Context, b *location.Bucket) error {
		password, err := c.password()
		if err != nil {
			return err
		}
		r, err := repository.Open(ctx, b, password, c.options())
		if err != nil {
			return err
		}
		debug.FreeOSMemory() // what the password's key took
		forgetPages()
		return f(ctx, r)
	})
}

// withBucket opens the location and calls f, in a context that an interrupt ends.
func (c *repositoryCall) withBucket(ctx context.Context, left string, f func(context.Context, *location.Bucket) error) error {
	if c.getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(repositoryGC))
		defer runtime.KeepAlive(make([]byte, repositoryBallast))
	}
	ctx, stop := c.untilSignal(ctx, func(sig *signalError) { c.exit(sig.code()) })
	defer stop()
	loc, err := c.place.Location()
	if err != nil {
		return repositoryError(err)
	}
	b, err := location.Open(ctx, loc, c.place.Openers, nil)
	if err == nil {
		err = errors.Join(f(ctx, b), b.Close())
	}
	if sig, ok := errors.AsType[*signalError](context.Cause(ctx)); ok && err != nil {
		return &exitError{sig.code(), fmt.Errorf("ended by %w: %s", sig, left)}
	}
	return repositoryError(err)
}

// repositoryError gives an error its exit code, and says what to do where that helps.
func repositoryError(err error) error {
	if err == nil || errors.As(err, new(*exitError)) {
		return err
	}
	for _, known := range []struct {
		is   error
		code int
		hint string
	}{
		{repository.ErrNoRepository, exitNoRepository, "davit repository init makes one"},
		{repository.ErrPassword, exitPassword, ""},
		{repository.ErrLocked, exitLocked, "--retry-lock waits for it, davit repository unlock removes locks whose owners are gone"},
		{repository.ErrNoPassword, exitUsage, ""},
		{repository.ErrAmbiguous, exitFailed, "give more digits"},
		{repository.ErrDamaged, exitFailed, "davit repository check says what else is"},
	} {
		if !errors.Is(err, known.is) {
			continue
		}
		if known.hint != "" {
			err = fmt.Errorf("%w: %s", err, known.hint)
		}
		return &exitError{known.code, err}
	}
	if code := agent.ExitCode(err); code == exitUsage {
		return &exitError{code, err}
	}
	return &exitError{exitFailed, err}
}

// usageError is a mistake in the command line.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}
