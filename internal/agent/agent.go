// Package agent is what runs inside pods: it moves streams to and from a location and prints phase outputs. It answers to
// the commands and flags of Kanister's in-pod tool, kando, so that blueprints in the field work unchanged.
//
//	location push SOURCE|-   stores a file, or standard input
//	location pull TARGET|-   fetches an object into a file, or to standard output, verified
//	location cat             fetches an object to standard output, verified
//	location ls              lists the objects at the path and below it
//	location delete          deletes the object at the path, and what is below it
//	location check           tries whether the location can hold backups
//	output KEY VALUE         prints a phase output
//
// It differs where kando loses data or reports success falsely: an empty stream is refused unless --allow-empty is given, as
// it nearly always comes from a failed dump in front of a pipe; standard input may be a file, and must not be a terminal; a
// pull replaces its target whole or not at all; a delete of a/1 leaves a/10 alone; exit codes mean something.
//
// # Errors
//
// One line on standard error, and an exit code: 0 done, 1 failed, 2 wrong usage or profile, 3 no such object, 4 the object
// is damaged, 130 and 143 ended by SIGINT and SIGTERM. After any of them but 0, nothing is half there. No error holds a credential.
//
// # Concurrency
//
// One call per process: a call handles the process's signals while it runs.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/codec"
)

// Streams is what a call may touch of its process, apart from the files it is told.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Env returns the value of an environment variable, empty when it is unset.
	Env func(string) string
	// Openers are the types of location that are built in.
	Openers map[string]location.Opener
}

// Exit codes, as the package comment describes them.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitCorrupt  = 4
)

// exitCodes is part of the help.
const exitCodes = `Exit codes: 0 done, 1 failed, 2 wrong usage or profile, 3 no such object, 4 the object is damaged,
130 and 143 ended by SIGINT and SIGTERM.`

// Main is the whole of the program when it is called as kando. Args are the program's name and its arguments. It
// returns the exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	root := &cobra.Command{
		Use:           "kando",
		Short:         "Moves data between this container and a location, and prints phase outputs",
		Long:          "Moves data between this container and a location, and prints phase outputs.\n\n" + exitCodes,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          group,
		Args:          cobra.ArbitraryArgs,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	ignoredVerbosity(root)
	AddCommands(root, s) //nolint:contextcheck // commands take the context from cobra
	root.SetArgs(args[min(1, len(args)):])
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil {
		fmt.Fprintf(s.Err, "%s: %s\n", cmd.CommandPath(), oneLine(err.Error()))
	}
	return ExitCode(err)
}

// AddCommands mounts location, output, stream, mover and pgdump below root. Their errors are to be printed by the caller; ExitCode tells with which
// code to end.
func AddCommands(root *cobra.Command, s Streams) {
	for _, c := range []*cobra.Command{locationCommand(s), outputCommand(s), streamCommand(s), moverCommand(s), pgdumpCommand(s)} {
		c.SetFlagErrorFunc(FlagError)
		ignoredVerbosity(c)
		root.AddCommand(c)
	}
	if root.Name() == "kando" {
		root.SetFlagErrorFunc(FlagError)
	}
}

// ExitCode is the exit code for what a command of this package returned.
func ExitCode(err error) int {
	var sig *signalError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &sig):
		return sig.code()
	case isUsage(err), errors.Is(err, location.ErrProfile), errors.Is(err, location.ErrKey), errors.Is(err, location.ErrUnsupported), errors.Is(err, codec.ErrKey):
		return exitUsage
	case errors.Is(err, location.ErrNotFound):
		return exitNotFound
	case errors.Is(err, location.ErrCorrupt):
		return exitCorrupt
	default:
		return exitFailed
	}
}

// usageError is a mistake of the caller's.
type usageError struct{ error }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func (e *usageError) Unwrap() error { return e.error }

func isUsage(err error) bool {
	_, ok := errors.AsType[*usageError](err)
	return ok
}

// FlagError describes a bad flag without its value and without the words around it: they may be a profile that lost its
// quotes.
func FlagError(cmd *cobra.Command, err error) error {
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if cmd.Name() == "output" {
			return usage("unknown flag %q; if it is the value, put -- before it", plain(e.GetSpecifiedName()))
		}
		return usage("unknown flag %q", plain(e.GetSpecifiedName()))
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return usage("flag %q needs a value", plain(e.GetSpecifiedName()))
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return usage("the value of flag --%s cannot be used", e.GetFlag().Name)
	}
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	return usage("the flags cannot be read; is a value with spaces or quotes not quoted?")
}

// plain shows a word only if it looks like the name of a command or flag.
func plain(word string) string {
	const most = 24
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
	if len(word) > most || strings.Trim(word, letters) != "" {
		return "[not shown]"
	}
	return word
}

// group is what a command does that only holds others.
func group(cmd *cobra.Command, args []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	if len(args) == 0 {
		return usage("needs a command: %s", strings.Join(names, ", "))
	}
	return usage("unknown command %q, want one of: %s", plain(args[0]), strings.Join(names, ", "))
}

// exactly refuses any other number of arguments, without quoting them.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("takes %d arguments (%s), got %d", n, what, len(args))
		}
		return nil
	}
}

func ignoredVerbosity(c *cobra.Command) {
	c.PersistentFlags().StringP("verbosity", "v", "", "accepted and ignored")
}

// oneLine makes an error one line of printable text.
func oneLine(s string) string {
	return strings.Map(printable, strings.ReplaceAll(s, "\n", ";"))
}

// printable replaces what a terminal would act on.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return '\uFFFD'
	}
	return r
}
