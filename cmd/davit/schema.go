package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/blueprint"
)

func (p *program) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of blueprints, for editors",
		Long: `Prints the JSON Schema (draft 2020-12) of blueprints with the arguments of every built-in function.

Write it to a file and name that file in the first line of a blueprint, for editors that understand it:

  # yaml-language-server: $schema=blueprint.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			reg, err := registry("")
			if err != nil {
				return err
			}
			schema, err := blueprint.JSONSchema(reg)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "%s\n", bytes.TrimSpace(schema))
			return err
		},
	}
}
