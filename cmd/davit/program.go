package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/internal/agent"
)

// Exit codes, as the package comment describes them.
const (
	exitFound     = 1
	exitFailed    = 1
	exitUsage     = 2
	exitCancelled = 3
	exitNotFound  = 3
	exitCorrupt   = 4
	exitInterrupt = 130
)

// program is one call of the command with everything it may touch.
type program struct {
	args   []string
	getenv func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	// interrupts delivers the signals that end a run until stop is called.
	interrupts func() (signals <-chan os.Signal, stop func())
	// executable returns the path of the program itself.
	executable func() (string, error)
	// exit ends the process at once.
	exit func(code int)
}

// exitError ends the program with a code. A nil err says nothing more: the command has printed what there is to say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// mainGroup holds the commands that are not the agent's.
const mainGroup = "main"

// main runs the command that args name and returns the exit code. Errors that carry no code are mistakes in the
// command line or its input.
func (p *program) main(ctx context.Context) int {
	if strings.TrimSuffix(filepath.Base(p.args[0]), ".exe") == agentName {
		return agent.Main(ctx, p.args, p.streams())
	}
	root := p.root() //nolint:contextcheck // commands take the context from cobra
	root.SetArgs(p.args[1:])
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	exit := &exitError{code: exitUsage, err: err}
	if ofAgent(cmd) {
		exit.code = agent.ExitCode(err)
	}
	errors.As(err, &exit)
	if exit.err != nil {
		_, _ = fmt.Fprintf(p.stderr, "%s: %s\n", cmd.CommandPath(), printable(exit.err.Error()))
	}
	return exit.code
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "davit",
		Short:         "Runs and checks blueprints: backup, restore and other operations on the data of applications",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(p.runCommand(), p.planCommand(), p.rbacCommand(), p.lintCommand(), p.frameCommand(), p.catalogCommand(), p.repositoryCommand(), p.functionsCommand(), p.schemaCommand(), p.versionCommand())
	p.addAgent(root)
	return root
}

// printable replaces what would steer a terminal: text in errors and notes can come from a container.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return '\uFFFD'
	}, s)
}
