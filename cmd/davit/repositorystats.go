package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/location/repository"
)

func (c *repositoryCall) statsCommand() *cobra.Command {
	var mode string
	var f filterFlags
	cmd := &cobra.Command{
		Use:   "stats [ID…]",
		Short: "Count what snapshots hold",
		Long: `Counts what the snapshots of the given ids hold, or all, or those that the flags choose. The modes are restic's:

  restore-size       what a restore of each snapshot would write
  raw-data           what the snapshots take in the repository
  files-by-contents  files that differ in content
  blobs-per-file     the chunks of files

` + repositoryCodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), "nothing was changed", func(ctx context.Context, r *repository.Repository) error {
				if len(args) == 0 && len(f.hosts)+len(f.tags)+len(f.paths) > 0 {
					found, err := r.Snapshots(ctx, f.filter())
					if err != nil {
						return err
					}
					if len(found) == 0 {
						return fmt.Errorf("%w fits --host, --tag and --path", repository.ErrNoSnapshot)
					}
					for i := range found {
						args = append(args, found[i].ID)
					}
				}
				s, err := r.Stats(ctx, repository.StatsMode(mode), args...)
				if err != nil {
					return err
				}
				return c.printStats(&s)
			})
		},
	}
	cmd.Flags().StringVar(&mode, "mode", string(repository.StatsRestoreSize), "what is counted: restore-size, raw-data, files-by-contents or blobs-per-file")
	f.bind(cmd.Flags())
	return cmd
}

// statsLine has the names that restic's JSON has.
type statsLine struct {
	TotalSize    uint64 `json:"total_size"`
	TotalFiles   uint64 `json:"total_file_count,omitempty"`
	TotalBlobs   uint64 `json:"total_blob_count,omitempty"`
	Uncompressed uint64 `json:"total_uncompressed_size,omitempty"`
	Snapshots    int    `json:"snapshots_count"`
}

func (c *repositoryCall) printStats(s *repository.Stats) error {
	if c.json {
		return c.printJSON(statsLine{s.TotalSize, s.TotalFiles, s.TotalBlobs, s.Uncompressed, s.Snapshots})
	}
	text := fmt.Sprintf("%s of %d snapshots: %s (%d bytes)", s.Mode, s.Snapshots, size(int64(s.TotalSize)), s.TotalSize) //nolint:gosec // more than an int64 holds is nobody's
	if s.TotalFiles > 0 {
		text += fmt.Sprintf(", %d files and folders", s.TotalFiles)
	}
	if s.TotalBlobs > 0 {
		text += fmt.Sprintf(", %d blobs", s.TotalBlobs)
	}
	if s.Uncompressed > 0 {
		text += fmt.Sprintf(", %s uncompressed", size(int64(s.Uncompressed))) //nolint:gosec // as above
	}
	_, err := fmt.Fprintln(c.stdout, text)
	return err
}
