package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/davit-project/davit/location/repository"
)

// filterFlags choose snapshots.
type filterFlags struct{ hosts, tags, paths []string }

func (f *filterFlags) bind(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&f.hosts, "host", "H", nil, "only snapshots of this `HOST`; may be given more than once for one of several")
	flags.StringSliceVar(&f.tags, "tag", nil, "only snapshots with this `TAG`; all of them where several are given")
	flags.StringArrayVar(&f.paths, "path", nil, "only snapshots of this `PATH`; all of them where several are given")
}

func (f *filterFlags) filter() *repository.Filter {
	return &repository.Filter{Hosts: f.hosts, Tags: f.tags, Paths: f.paths}
}

func (c *repositoryCall) snapshotsCommand() *cobra.Command {
	var f filterFlags
	cmd := &cobra.Command{
		Use:   "snapshots",
		Short: "List the snapshots, the oldest first",
		Long:  "Lists the snapshots, the oldest first.\n\n" + repositoryCodes,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), "nothing was changed", func(ctx context.Context, r *repository.Repository) error {
				found, err := r.Snapshots(ctx, f.filter())
				return errors.Join(c.printSnapshots(found), err)
			})
		},
	}
	f.bind(cmd.Flags())
	return cmd
}

// listedSnapshot has the names that restic's JSON has.
type listedSnapshot struct {
	Time    time.Time      `json:"time"`
	Parent  string         `json:"parent,omitempty"`
	Tree    string         `json:"tree"`
	Paths   []string       `json:"paths"`
	Host    string         `json:"hostname"`
	User    string         `json:"username,omitempty"`
	Tags    []string       `json:"tags,omitempty"`
	Program string         `json:"program_version,omitempty"`
	Summary *listedSummary `json:"summary,omitempty"`
	ID      string         `json:"id"`
	ShortID string         `json:"short_id"`
}

// listedSummary has the names that restic's JSON has.
type listedSummary struct {
	Start           time.Time `json:"backup_start"`
	End             time.Time `json:"backup_end"`
	FilesNew        int64     `json:"files_new"`
	FilesChanged    int64     `json:"files_changed"`
	FilesUnmodified int64     `json:"files_unmodified"`
	DirsNew         int64     `json:"dirs_new"`
	DirsChanged     int64     `json:"dirs_changed"`
	DirsUnmodified  int64     `json:"dirs_unmodified"`
	DataBlobs       int64     `json:"data_blobs"`
	TreeBlobs       int64     `json:"tree_blobs"`
	DataAdded       int64     `json:"data_added"`
	DataAddedPacked int64     `json:"data_added_packed"`
	TotalFiles      int64     `json:"total_files_processed"`
	TotalBytes      int64     `json:"total_bytes_processed"`
}

func listSnapshot(s *repository.Snapshot) listedSnapshot {
	return listedSnapshot{Time: s.Time, Parent: s.Parent, Tree: s.Tree, Paths: s.Paths, Host: s.Host, User: s.User, Tags: s.Tags,
		Program: s.Program, Summary: listSummary(s.Summary), ID: s.ID, ShortID: s.ShortID()}
}

func listSummary(s *repository.Summary) *listedSummary {
	if s == nil {
		return nil
	}
	return &listedSummary{s.Start, s.End, s.FilesNew, s.FilesChanged, s.FilesUnmodified, s.DirsNew, s.DirsChanged, s.DirsUnmodified,
		s.DataBlobs, s.TreeBlobs, s.DataAdded, s.DataAddedPacked, s.TotalFiles, s.TotalBytes}
}

func (c *repositoryCall) printSnapshots(found []repository.Snapshot) error {
	if c.json {
		all := make([]listedSnapshot, len(found))
		for i := range found {
			all[i] = listSnapshot(&found[i])
		}
		return c.printJSON(all)
	}
	table := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tTIME\tHOST\tSIZE\tTAGS\tPATHS") // Flush tells
	for i := range found {
		s := &found[i]
		bytes := ""
		if s.Summary != nil {
			bytes = size(s.Summary.TotalBytes)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ShortID(), s.Time.Local().Format("2006-01-02 15:04:05"), oneLine(s.Host), bytes,
			oneLine(strings.Join(s.Tags, ",")), oneLine(strings.Join(s.Paths, " ")))
	}
	return table.Flush()
}
