package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/location"
)

func listCommand(p *place) *cobra.Command {
	var long bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "Lists the objects at the path and below it, a line each; without --path all",
		Long: "Lists the objects at the path and below it, a line each; without --path all. None is no error.\n\n" +
			"With --long, a line is the size in bytes as it is stored, the time of the last change in UTC, and the key, with tabs between.",
		Args: exactly(0, "the path is a flag"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withLocation(cmd.Context(), graceful(false), "", func(ctx context.Context, _ *location.Location, b *location.Bucket) error {
				return p.list(ctx, b, long)
			})
		},
	}
	cmd.Flags().BoolVar(&long, "long", false, "with size and time")
	return cmd
}

func (p *place) list(ctx context.Context, b *location.Bucket, long bool) error {
	out := bufio.NewWriter(p.Out)
	for o, err := range b.List(ctx, p.path) {
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		key := strings.Map(printable, o.Key) // whoever can write to the bucket has chosen it
		if long {
			_, err = fmt.Fprintf(out, "%d\t%s\t%s\n", o.Size, o.ModTime.UTC().Format(time.RFC3339), key)
		} else {
			_, err = fmt.Fprintln(out, key)
		}
		if err != nil {
			return fmt.Errorf("print the list: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("print the list: %w", err)
	}
	return nil
}

func checkCommand(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Tries whether the location can hold backups, and which right is missing if not",
		Long: "Tries whether the location can hold backups: whether objects can be listed, written, read, replaced, created only if they are absent,\n" +
			"stored in parts, and deleted, whether what was written is seen at once, and whether the clocks agree. It works below davit-check/ of the\n" +
			"path, and removes what it has written. It moves about 100 MiB.",
		Args: exactly(0, "the path is a flag"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withLocation(cmd.Context(), graceful(true), p.path, func(ctx context.Context, loc *location.Location, b *location.Bucket) error {
				fmt.Fprintln(p.Out, loc)
				findings, err := location.Check(ctx, b)
				failed := 0
				for _, f := range findings {
					switch {
					case f.NotTried:
						fmt.Fprintf(p.Out, "      %s: not tried\n", f.Name)
					case f.Err != nil:
						failed++
						fmt.Fprintf(p.Out, "FAIL  %s: %s\n", f.Name, oneLine(f.Err.Error()))
					default:
						fmt.Fprintf(p.Out, "ok    %s (%s)\n", f.Name, f.Took.Round(time.Millisecond))
					}
				}
				if err != nil {
					return &checkError{fmt.Errorf("the location is not fit for backups: %d of %d trials failed", failed, len(findings)), err}
				}
				return nil
			})
		},
	}
}

// checkError says in few words what was printed in many, and is what the trials found.
type checkError struct{ said, found error }

func (e *checkError) Error() string { return e.said.Error() }
func (e *checkError) Unwrap() error { return e.found }
