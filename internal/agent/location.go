package agent

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/location"
)

// gcPercent is by how much the heap may grow between two collections. Most of it are a stream's buffers, which cost a collection nothing, and pods pay for what they
// may use.
const gcPercent = 20

// place is what the flags of the location commands say.
type place struct {
	Place
	path     string
	coding   coding
	readBack bool
}

func locationCommand(s Streams) *cobra.Command {
	p := &place{Place: Place{Streams: s}}
	cmd := &cobra.Command{
		Use:   "location",
		Short: "Moves data between this container and a location",
		Long: "Moves data between this container and a location.\n\nThe profile is that of --profile, or the file named by " +
			cluster.ProfileEnv + ", or " + profileFile + ".\n" +
			"With --location there is no profile: the credential is that of the environment.\n\n" + exitCodes,
		RunE: group,
		Args: cobra.ArbitraryArgs,
	}
	flags := cmd.PersistentFlags()
	p.AddFlags(flags)
	flags.StringVarP(&p.path, "path", "s", "", "path in the location, below its prefix")
	flags.BoolVar(&p.readBack, "read-back", false, "read what was stored from its first byte to its last, although the store has confirmed its checksums")
	p.coding.addFlags(flags)
	flags.StringP("output-name", "o", "", "accepted and ignored: it is for Kopia servers")
	flags.StringP("kopia-snapshot", "k", "", "accepted and ignored: it is for Kopia servers")
	cmd.AddCommand(pushCommand(p), pullCommand(p), catCommand(p), listCommand(p), deleteCommand(p), checkCommand(p))
	return cmd
}

// withBucket opens the location and calls f, in a context that ends with the process's signals.
func (p *place) withBucket(ctx context.Context, grace graceful, f func(context.Context, *location.Bucket) error) error {
	if p.path == "" {
		return usage("--path is missing or empty")
	}
	return p.withLocation(ctx, grace, "", func(ctx context.Context, _ *location.Location, b *location.Bucket) error { return f(ctx, b) })
}

// withLocation is withBucket without a path, below a prefix.
func (p *place) withLocation(
	ctx context.Context, grace graceful, prefix string, f func(context.Context, *location.Location, *location.Bucket) error,
) error {
	loc, err := p.Location()
	if err != nil {
		return err
	}
	opts := &location.Options{Prefix: prefix, ReadBack: p.readBack}
	if opts.Codecs, err = p.coding.codecs(); err != nil {
		return err
	}
	if p.Env("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	return untilSignal(ctx, grace, func(ctx context.Context) error {
		b, err := location.Open(ctx, loc, p.Openers, opts)
		if err != nil {
			return err
		}
		err = f(ctx, loc, b)
		return errors.Join(err, b.Close())
	})
}

func deleteCommand(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "delete",
		Short: "Deletes the object at the path, and what is below it; none is fine",
		Args:  exactly(0, "the path is a flag"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withBucket(cmd.Context(), graceful(true), func(ctx context.Context, b *location.Bucket) error {
				_, err := b.Delete(ctx, p.path)
				return err
			})
		},
	}
}
