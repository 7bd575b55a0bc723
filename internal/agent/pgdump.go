package agent

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/internal/pgdump"
	"github.com/davit-project/davit/location"
)

// pgdumpCommand is the far end of the functions that dump and restore databases. It is not for people.
func pgdumpCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:    "pgdump",
		Short:  "Dumps and restores databases of PostgreSQL, as a host asks",
		Long:   "Dumps and restores databases of PostgreSQL, as a host asks. Davit's own hosts call it: the request is the file of " + cluster.ProfileEnv + ".",
		Hidden: true,
		Args:   exactly(0, "the request is in a file"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return untilSignal(cmd.Context(), graceful(true), func(ctx context.Context) error {
				return answer(ctx, s, func(ctx context.Context, request []byte) ([]byte, error) {
					result, err := pgdumpFor(ctx, s, request)
					return mover.ReplyOf(result, err).Line(), err
				})
			})
		},
	}
}

func pgdumpFor(ctx context.Context, s Streams, request []byte) (mover.Result, error) {
	req, err := pgdump.ParseRequest(request)
	if err != nil {
		return mover.Result{}, err
	}
	return pgdump.Do(ctx, req, pgdump.Env{
		Open:     func(ctx context.Context, profile []byte) (*location.Bucket, error) { return openPlain(ctx, s, profile) },
		Progress: func(p mover.Progress) { _, _ = s.Err.Write(p.Line()) },
		Warn:     func(text string) { fmt.Fprintln(s.Err, oneLine(text)) },
	})
}
