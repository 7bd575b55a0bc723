package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
)

func (p *program) lintCommand() *cobra.Command {
	var asJSON bool
	var version string
	cmd := &cobra.Command{
		Use:   "lint FILE…",
		Short: "Check blueprints without a cluster",
		Long: `Checks blueprints without a cluster and prints everything it finds, one line each:

  file:line:column: severity code: message

Files are YAML or JSON and may hold several documents; - is standard input. Action sets in them are checked too.

Exit codes: 0 no errors (there may be warnings and notes), 1 errors, 2 a file cannot be read or holds no blueprint.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			reg, err := registry("")
			if err != nil {
				return err
			}
			return p.lint(reg, files, asJSON, &blueprint.LintOptions{Version: version})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON array of {file, line, column, severity, code, message}")
	cmd.Flags().StringVar(&version, "function-version", "", "version of functions to prefer (default the default one)")
	return cmd
}

func (p *program) lint(reg *function.Registry, files []string, asJSON bool, opts *blueprint.LintOptions) error {
	found := []blueprint.Diagnostic{}
	var unfit error
	for _, name := range files {
		data, err := p.readFile("a document", name)
		if err != nil {
			unfit = errors.Join(unfit, err)
			continue
		}
		file := blueprint.Parse(name, data)
		found = append(found, check(file, reg, opts)...)
		if len(file.Blueprints)+len(file.ActionSets) == 0 && (!hasErrors(file.Diagnostics) || !meant.Match(data)) {
			unfit = errors.Join(unfit, fmt.Errorf("%q holds no blueprint", name))
		}
	}
	if err := p.printDiagnostics(p.stdout, found, asJSON); err != nil {
		return &exitError{exitUsage, fmt.Errorf("print the findings: %w", err)}
	}
	switch {
	case unfit != nil:
		return &exitError{exitUsage, unfit}
	case hasErrors(found):
		return &exitError{code: exitFound}
	}
	return nil
}

// meant matches texts that were meant as a blueprint or an action set, whatever keeps them from being one.
var meant = regexp.MustCompile(`cr\.kanister\.io/|\b(Blueprint|ActionSet)\b`)

// check returns what is wrong with a file: its syntax and each of its blueprints.
func check(file *blueprint.File, reg *function.Registry, opts *blueprint.LintOptions) []blueprint.Diagnostic {
	found := slices.Clone(file.Diagnostics)
	for _, bp := range file.Blueprints {
		found = append(found, blueprint.Lint(bp, reg, opts)...)
	}
	slices.SortStableFunc(found, func(a, b blueprint.Diagnostic) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return found
}

func hasErrors(found []blueprint.Diagnostic) bool {
	return slices.ContainsFunc(found, func(d blueprint.Diagnostic) bool { return d.Severity == blueprint.Error })
}

func (p *program) printDiagnostics(w io.Writer, found []blueprint.Diagnostic, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(found)
	}
	for _, d := range found {
		if _, err := fmt.Fprintln(w, printable(d.String())); err != nil {
			return err
		}
	}
	return nil
}
