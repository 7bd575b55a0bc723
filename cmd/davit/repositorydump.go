package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/location/repository"
)

func (c *repositoryCall) dumpCommand() *cobra.Command {
	var f filterFlags
	cmd := &cobra.Command{
		Use:   "dump ID PATH",
		Short: "Write a file of a snapshot to standard output, or a folder as a tar archive",
		Long: `Writes a file of a snapshot to standard output, or a folder as a tar archive. ID is that of a snapshot, its beginning, or latest: of those that the flags choose. All that is
written was verified; if the exit code is not 0, it is not all.

` + repositoryCodes,
		Example: `  davit repository dump latest /shop.sql --location s3://backups/laptop | psql shop`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isTerminal(c.stdout) {
				return errors.New("standard output is a terminal: redirect it to a file or into a pipe")
			}
			return c.with(cmd.Context(), "what was written is not all", func(ctx context.Context, r *repository.Repository) error {
				s, err := r.Find(ctx, args[0], f.filter())
				if err != nil {
					return err
				}
				return r.Dump(ctx, s.ID, args[1], c.stdout)
			})
		},
	}
	f.bind(cmd.Flags())
	return cmd
}
