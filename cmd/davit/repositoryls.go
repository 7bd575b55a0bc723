package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/location/repository"
)

func (c *repositoryCall) lsCommand() *cobra.Command {
	var f filterFlags
	var long bool
	cmd := &cobra.Command{
		Use:   "ls ID [PATH]",
		Short: "List what a snapshot has, or what is below a path of it",
		Long:  "Lists what a snapshot has, or what is below a path of it. ID is that of a snapshot, its beginning, or latest: of those that the flags choose.\n\n" + repositoryCodes,
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			at := append(args, "/")[1]
			return c.with(cmd.Context(), "nothing was changed", func(ctx context.Context, r *repository.Repository) error {
				s, err := r.Find(ctx, args[0], f.filter())
				if err != nil {
					return err
				}
				return r.Walk(ctx, s.ID, at, func(path string, e repository.Entry) error { return c.printEntry(path, &e, long) })
			})
		},
	}
	f.bind(cmd.Flags())
	cmd.Flags().BoolVarP(&long, "long", "l", false, "show mode, owner, size and time too")
	return cmd
}

// listedEntry has the names that restic's JSON has.
type listedEntry struct {
	Type    string    `json:"type"`
	Path    string    `json:"path"`
	UID     uint32    `json:"uid"`
	GID     uint32    `json:"gid"`
	Size    int64     `json:"size,omitempty"`
	Mode    string    `json:"permissions"`
	ModTime time.Time `json:"mtime"`
	Target  string    `json:"linktarget,omitempty"`
}

func (c *repositoryCall) printEntry(path string, e *repository.Entry, long bool) error {
	if c.json {
		return c.printJSON(listedEntry{e.Type(), path, e.UID, e.GID, e.Size, e.Mode.String(), e.ModTime, e.Target})
	}
	text := printable(path)
	if long {
		if e.Target != "" {
			text += " -> " + printable(e.Target)
		}
		text = fmt.Sprintf("%s %5d %5d %12d %s %s", e.Mode, e.UID, e.GID, e.Size, e.ModTime.Local().Format("2006-01-02 15:04:05"), text)
	}
	_, err := fmt.Fprintln(c.stdout, text)
	return err
}

func (c *repositoryCall) checkCommand() *cobra.Command {
	var all bool
	o := &repository.CheckOptions{}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look whether every snapshot can be restored",
		Long: `Looks whether every snapshot can be restored: that what it needs is there, and with --read-data also that it is what was written. It changes nothing, and can run while backups do.

Each finding says what is wrong, which snapshots and files it hurts, and what to do. Hints harm no snapshot.

` + repositoryCodes + ` A damaged repository is 1.`,
		Example: `  davit repository check --location s3://backups/laptop
  davit repository check --read-data-subset 1/7 --location s3://backups/laptop`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if all {
				o.ReadData = "all"
			}
			return c.with(cmd.Context(), "nothing was changed", func(ctx context.Context, r *repository.Repository) error { return c.check(ctx, r, o) })
		},
	}
	cmd.Flags().BoolVar(&all, "read-data", false, "read and verify all data")
	cmd.Flags().StringVar(&o.ReadData, "read-data-subset", "", "read and verify a part: `N/M` (the nth of m parts), a share such as 5%, or an amount such as 10G")
	cmd.MarkFlagsMutuallyExclusive("read-data", "read-data-subset")
	return cmd
}

// foundLine is a finding in the output of check with --json.
type foundLine struct {
	Type          string   `json:"type"`
	Kind          string   `json:"kind"`
	Hint          bool     `json:"hint,omitempty"`
	Object        string   `json:"object,omitempty"`
	What          string   `json:"what"`
	Means         string   `json:"means,omitempty"`
	Do            string   `json:"do,omitempty"`
	Snapshots     []string `json:"snapshots,omitempty"`
	SnapshotsHurt int      `json:"snapshotsHurt,omitempty"`
	Files         []string `json:"files,omitempty"`
	FilesHurt     int      `json:"filesHurt,omitempty"`
}

// checkedLine is the last line of check with --json.
type checkedLine struct {
	Type        string `json:"type"`
	Damages     int    `json:"damages"`
	Hints       int    `json:"hints"`
	Snapshots   int    `json:"snapshots"`
	Trees       int    `json:"trees"`
	Blobs       int    `json:"blobs"`
	Packs       int    `json:"packs"`
	Bytes       int64  `json:"bytes"`
	BlobsUnused int    `json:"blobsUnused"`
	PacksRead   int    `json:"packsRead"`
	BytesRead   int64  `json:"bytesRead"`
}

func (c *repositoryCall) check(ctx context.Context, r *repository.Repository, o *repository.CheckOptions) error {
	var done func()
	o.Progress, done = c.watch()
	report, err := r.Check(ctx, o)
	done()
	if err != nil {
		return err
	}
	if err := c.printFindings(&report); err != nil || report.Damages == 0 {
		return err
	}
	return &exitError{exitFailed, fmt.Errorf("the repository is damaged: %d findings", report.Damages)}
}

func (c *repositoryCall) printFindings(report *repository.CheckReport) error {
	var errs []error
	for _, f := range report.Findings {
		if c.json {
			errs = append(errs, c.printJSON(foundLine{"finding", string(f.Kind), f.Hint, f.Object, f.What, f.Means, f.Do, f.Snapshots, f.SnapshotsHurt, f.Files, f.FilesHurt}))
			continue
		}
		kind := "damage"
		if f.Hint {
			kind = "hint"
		}
		_, err := fmt.Fprintf(c.stdout, "%s: %s\n", kind, printable(f.String()))
		errs = append(errs, err)
	}
	if c.json {
		errs = append(errs, c.printJSON(checkedLine{"checked", report.Damages, report.Hints, report.Snapshots, report.Trees, report.Blobs, report.Packs, report.Bytes,
			report.BlobsUnused, report.PacksRead, report.BytesRead}))
		return errors.Join(errs...)
	}
	read := "no data was read"
	if report.PacksRead > 0 {
		read = fmt.Sprintf("%d packs (%s) were read", report.PacksRead, size(report.BytesRead))
	}
	_, err := fmt.Fprintf(c.stdout, "%d snapshots, %d folders, %d packs of %s; %s; %d damages, %d hints\n",
		report.Snapshots, report.Trees, report.Packs, size(report.Bytes), read, report.Damages, report.Hints)
	return errors.Join(append(errs, err)...)
}
