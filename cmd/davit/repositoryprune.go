package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/davit-project/davit/location/repository"
)

// pruneFlags are those of davit repository prune that forget --prune takes too.
type pruneFlags struct {
	maxUnused, maxRepack string
	dry                  bool
}

func (f *pruneFlags) bind(flags *pflag.FlagSet) {
	flags.StringVar(&f.maxUnused, "max-unused", "5%", "share of the repository that may stay although nothing needs it, as a `PERCENT` or unlimited")
	flags.StringVar(&f.maxRepack, "max-repack-size", "", "how much is written anew at most, such as 500M or 10G; the next prune goes on")
}

func (f *pruneFlags) options() (*repository.PruneOptions, error) {
	o := &repository.PruneOptions{DryRun: f.dry}
	switch percent, err := strconv.ParseFloat(strings.TrimSuffix(f.maxUnused, "%"), 64); {
	case f.maxUnused == "unlimited":
		o.MaxUnused = 1
	case err != nil || !strings.HasSuffix(f.maxUnused, "%") || !(percent >= 0 && percent <= 100):
		return nil, usageError("--max-unused %q: want a share such as 5%%, or unlimited", f.maxUnused)
	case percent == 0:
		o.MaxUnused = -1
	default:
		o.MaxUnused = percent / 100
	}
	var err error
	if o.MaxRepack, err = parseSize("--max-repack-size", f.maxRepack); err != nil {
		return nil, err
	}
	return o, nil
}

// parseSize reads a number of bytes, with a unit of 1024: 500M.
func parseSize(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	digits := strings.TrimRight(strings.TrimSuffix(strings.ToUpper(text), "IB"), "KMGT")
	unit := strings.TrimSuffix(strings.ToUpper(text), "IB")[len(digits):]
	shift, known := map[string]int{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[unit]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 1 || n > 1<<62>>shift {
		return 0, usageError("%s %q: want a number of bytes, such as 500M or 10G", flag, text)
	}
	return n << shift, nil
}

func (c *repositoryCall) pruneCommand() *cobra.Command {
	f := &pruneFlags{}
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove what no snapshot needs",
		Long: `Removes what no snapshot needs. Packs that are needed in part are written anew where too much in them is wasted.

It can be ended at any point: every snapshot stays whole, and the next prune goes on. Nobody else can work on the repository meanwhile.

` + repositoryCodes,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := f.options(); err != nil {
				return err
			}
			return c.with(cmd.Context(), "every snapshot is whole; the next prune goes on", func(ctx context.Context, r *repository.Repository) error { return c.prune(ctx, r, f) })
		},
	}
	f.bind(cmd.Flags())
	cmd.Flags().BoolVarP(&f.dry, "dry-run", "n", false, "say what would be done, and change nothing")
	return cmd
}

func (c *repositoryCall) prune(ctx context.Context, r *repository.Repository, f *pruneFlags) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	var done func()
	o.Progress, done = c.watch()
	s, err := r.Prune(ctx, o)
	done()
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(prunedLine{"pruned", f.dry, s.Snapshots, s.BlobsUsed, s.BlobsUnused, s.BytesUnused, s.BlobsRemoved, s.BlobsRepacked, s.BytesRepacked,
			s.PacksRemoved, s.BytesFreed, s.PacksLeft, s.BytesLeft})
	}
	form := "removed %d blobs and %d packs, wrote %s anew, freed %s; %d packs of %s are left, for %d snapshots\n"
	if f.dry {
		form = "would remove %d blobs and %d packs, write %s anew, free %s; %d packs of %s would be left, for %d snapshots\n"
	}
	_, err = fmt.Fprintf(c.stdout, form, s.BlobsRemoved, s.PacksRemoved, size(s.BytesRepacked), size(s.BytesFreed), s.PacksLeft, size(s.BytesLeft), s.Snapshots)
	return err
}

// prunedLine is the output of prune with --json.
type prunedLine struct {
	Type          string `json:"type"`
	DryRun        bool   `json:"dryRun,omitempty"`
	Snapshots     int    `json:"snapshots"`
	BlobsUsed     int    `json:"blobsUsed"`
	BlobsUnused   int    `json:"blobsUnused"`
	BytesUnused   int64  `json:"bytesUnused"`
	BlobsRemoved  int    `json:"blobsRemoved"`
	BlobsRepacked int    `json:"blobsRepacked"`
	BytesRepacked int64  `json:"bytesRepacked"`
	PacksRemoved  int    `json:"packsRemoved"`
	BytesFreed    int64  `json:"bytesFreed"`
	PacksLeft     int    `json:"packsLeft"`
	BytesLeft     int64  `json:"bytesLeft"`
}
