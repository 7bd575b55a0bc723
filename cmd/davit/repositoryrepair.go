package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/location/repository"
)

func (c *repositoryCall) repairCommand() *cobra.Command {
	o := &repository.RepairOptions{}
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Repair what can be repaired",
		Long: `Repairs what davit repository check has found, as far as that is possible. In this order:

  repair index      packs that no index lists are found again
  repair packs all  what is good in damaged packs is saved
  backup            of the same data: what was lost is stored again where the source still has it
  repair snapshots  snapshots that still lack something are written anew without it

Nothing but index files and, with --forget, snapshots is removed.

` + repositoryCodes,
		Args: cobra.NoArgs,
	}
	cmd.PersistentFlags().BoolVarP(&o.DryRun, "dry-run", "n", false, "say what would be done, and change nothing")
	run := func(cmd *cobra.Command) error {
		left := "the repository is as good as before; the same command goes on"
		return c.with(cmd.Context(), left, func(ctx context.Context, r *repository.Repository) error { return c.repair(ctx, r, o) })
	}
	index := &cobra.Command{
		Use: "index", Short: "Write the index anew from the packs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Index = true
			return run(cmd)
		},
	}
	packs := &cobra.Command{
		Use: "packs all|ID…", Short: "Save what is good in damaged packs", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Packs = args
			return run(cmd)
		},
	}
	snapshots := &cobra.Command{
		Use: "snapshots", Short: "Write snapshots that lack something anew without it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Snapshots = true
			return run(cmd)
		},
	}
	snapshots.Flags().BoolVar(&o.Forget, "forget", false, "remove the snapshots that were written anew, and those of which nothing can be restored")
	cmd.AddCommand(index, packs, snapshots)
	return cmd
}

// repairedLine is a line of repair with --json: what was done to an object.
type repairedLine struct {
	Type   string `json:"type"`
	Object string `json:"object"`
	What   string `json:"what"`
	New    string `json:"new,omitempty"`
	Path   string `json:"path,omitempty"`
}

func (c *repositoryCall) repair(ctx context.Context, r *repository.Repository, o *repository.RepairOptions) error {
	var done func()
	o.Progress, done = c.watch()
	report, err := r.Repair(ctx, o)
	done()
	lines := repairLines(&report)
	for _, l := range lines {
		var printed error
		if c.json {
			printed = c.printJSON(l)
		} else {
			_, printed = fmt.Fprintln(c.stdout, l.text())
		}
		if printed != nil {
			return errors.Join(err, printed)
		}
	}
	if err != nil || c.json {
		return err
	}
	switch {
	case len(lines) == 0:
		_, err = fmt.Fprintln(c.stdout, "nothing is to be repaired")
	case o.DryRun:
		_, err = fmt.Fprintln(c.stdout, "nothing was changed")
	}
	return err
}

func repairLines(report *repository.RepairReport) []repairedLine {
	var lines []repairedLine
	add := func(kind, what string, ids []string) {
		for _, id := range ids {
			lines = append(lines, repairedLine{Type: kind, Object: id, What: what})
		}
	}
	add("index", "could not be read, and is replaced", report.IndexDamaged)
	add("pack", "is listed in the index again", report.PacksAdded)
	add("pack", "is gone, and listed no more", report.PacksGone)
	add("pack", "has a header that cannot be read", report.PacksUnreadable)
	for _, p := range report.Packs {
		add("pack", fmt.Sprintf("%d blobs are saved, %d lost", p.Saved, p.Lost), []string{p.ID})
	}
	for _, s := range report.Snapshots {
		l := repairedLine{Type: "snapshot", Object: s.ID, New: s.New, What: fmt.Sprintf("lacks something in %d places", s.Changes)}
		if s.Lost != nil {
			l.What = fmt.Sprintf("nothing of it can be restored: %v", s.Lost)
		}
		if s.Forgotten {
			l.What += ", and is removed"
		}
		lines = append(lines, l)
		for _, f := range s.Files {
			lines = append(lines, repairedLine{Type: "file", Object: s.ID, Path: f.Path, What: f.Why})
		}
	}
	return lines
}

// text is the line as people read it.
func (l repairedLine) text() string {
	text := fmt.Sprintf("%s %.8s: %s", l.Type, l.Object, l.What)
	if l.Path != "" {
		text = fmt.Sprintf("  %q: %s", l.Path, l.What)
	}
	if l.New != "" {
		text += fmt.Sprintf("; snapshot %.8s is written without it", l.New)
	}
	return oneLine(text)
}
