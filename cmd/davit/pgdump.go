package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/agent"
	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/internal/pgdump"
	"github.com/davit-project/davit/location"
)

// pgdumpCommand is the far end of the functions that dump and restore databases. It is not for people.
func (p *program) pgdumpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "pgdump",
		GroupID: agentGroup,
		Short:   "Dumps and restores databases of PostgreSQL, as a host asks",
		Long:    "Dumps and restores databases of PostgreSQL, as a host asks. Davit's own hosts call it: the request is the file of " + cluster.ProfileEnv + ".",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := p.streams()
			return agent.UntilSignal(cmd.Context(), func(ctx context.Context) error {
				return agent.Answer(ctx, s, func(ctx context.Context, request []byte) ([]byte, error) {
					result, err := pgdumpFor(ctx, s, request)
					return mover.ReplyOf(result, err).Line(), err
				})
			})
		},
	}
}

func pgdumpFor(ctx context.Context, s agent.Streams, request []byte) (mover.Result, error) {
	req, err := pgdump.ParseRequest(request)
	if err != nil {
		return mover.Result{}, err
	}
	return pgdump.Do(ctx, req, pgdump.Env{
		Open: func(ctx context.Context, profile []byte) (*location.Bucket, error) {
			return agent.OpenProfile(ctx, s, profile)
		},
		Progress: func(p mover.Progress) { _, _ = s.Err.Write(p.Line()) },
		Warn:     func(text string) { fmt.Fprintln(s.Err, printable(text)) },
	})
}
