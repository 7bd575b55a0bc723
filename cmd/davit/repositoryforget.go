package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/location/repository"
)

// forgetFlags are those of davit repository forget.
type forgetFlags struct {
	filterFlags
	policy    repository.KeepPolicy
	within    string
	keepTags  []string
	dry       bool
	prune     bool
	removeAll bool
	prunes    pruneFlags
}

const forgetLeft = "snapshots that were not removed are still there: see davit repository snapshots"

func (c *repositoryCall) forgetCommand() *cobra.Command {
	f := &forgetFlags{}
	cmd := &cobra.Command{
		Use:   "forget [ID…]",
		Short: "Remove snapshots: those that are named, or all but those to keep",
		Long: `Removes the snapshots of the given ids, or those that no --keep-… keeps. What they alone hold stays in the repository until davit repository prune, or --prune.

Snapshots of the same host and paths are a series of their own, each with what is kept of it. Of each hour, day, week, month or year, the newest snapshot is kept.
What would remove a whole series is refused without --allow-remove-all.

` + repositoryCodes,
		Example: `  davit repository forget 40dc1520 --location s3://backups/laptop
  davit repository forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --prune --location s3://backups/laptop`,
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := f.chosen()
			if err != nil {
				return err
			}
			if chosen == (len(args) > 0) {
				return errors.New("give either the ids of snapshots to remove, or with --keep-… which ones stay")
			}
			return c.with(cmd.Context(), forgetLeft, func(ctx context.Context, r *repository.Repository) error { return c.forget(ctx, r, f, args) })
		},
	}
	flags := cmd.Flags()
	f.bind(flags)
	flags.IntVarP(&f.policy.Last, "keep-last", "l", 0, "keep the newest `N` snapshots; -1 for all, here and below")
	flags.IntVar(&f.policy.Hourly, "keep-hourly", 0, "keep one of each of the last `N` hours that have any")
	flags.IntVarP(&f.policy.Daily, "keep-daily", "d", 0, "keep one of each of the last `N` days that have any")
	flags.IntVarP(&f.policy.Weekly, "keep-weekly", "w", 0, "keep one of each of the last `N` weeks that have any")
	flags.IntVarP(&f.policy.Monthly, "keep-monthly", "m", 0, "keep one of each of the last `N` months that have any")
	flags.IntVarP(&f.policy.Yearly, "keep-yearly", "y", 0, "keep one of each of the last `N` years that have any")
	flags.StringVar(&f.within, "keep-within", "", "keep what is not older than this before the newest, such as 2w, 30d or 12h")
	flags.StringArrayVar(&f.keepTags, "keep-tag", nil, "keep snapshots with these `TAGS`, separated by commas; may be given more than once")
	flags.BoolVar(&f.policy.Together, "together", false, "take all snapshots for one series")
	flags.BoolVar(&f.removeAll, "allow-remove-all", false, "let a series lose all its snapshots")
	flags.BoolVarP(&f.dry, "dry-run", "n", false, "show what would be removed, and remove nothing")
	flags.BoolVar(&f.prune, "prune", false, "then remove what no snapshot needs, as davit repository prune does")
	f.prunes.bind(flags)
	return cmd
}

// chosen reads the policy and tells whether there is one.
func (f *forgetFlags) chosen() (bool, error) {
	p := &f.policy
	var err error
	if p.Within, err = parseWithin(f.within); err != nil {
		return false, err
	}
	for _, tags := range f.keepTags {
		p.Tags = append(p.Tags, strings.Split(tags, ","))
	}
	return p.Last != 0 || p.Hourly != 0 || p.Daily != 0 || p.Weekly != 0 || p.Monthly != 0 || p.Yearly != 0 || p.Within > 0 || len(p.Tags) > 0, nil
}

// parseWithin reads a time in weeks, days and hours: 1w2d12h.
func parseWithin(text string) (time.Duration, error) {
	var total time.Duration
	for rest := text; rest != ""; {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i < 1 {
			return 0, fmt.Errorf("--keep-within %q: want weeks, days and hours, such as 2w, 30d or 1d12h", text)
		}
		n, err := strconv.Atoi(rest[:i])
		unit := map[byte]time.Duration{'w': 7 * 24 * time.Hour, 'd': 24 * time.Hour, 'h': time.Hour}[rest[i]]
		if err != nil || unit == 0 || n > 1_000_000 {
			return 0, fmt.Errorf("--keep-within %q: want weeks, days and hours, such as 2w, 30d or 1d12h", text)
		}
		total, rest = total+min(time.Duration(n), 100*365*24*time.Hour/unit)*unit, rest[i+1:]
	}
	return total, nil
}

func (c *repositoryCall) forget(ctx context.Context, r *repository.Repository, f *forgetFlags, ids []string) error {
	var kept []repository.Kept
	if len(ids) > 0 {
		for _, id := range ids {
			s, err := r.Find(ctx, id, f.filter())
			if err != nil {
				return err
			}
			kept = append(kept, repository.Kept{Snapshot: s})
		}
	} else {
		found, err := r.Snapshots(ctx, f.filter())
		if err != nil {
			return err // what cannot be read could be what is to be kept
		}
		kept = f.policy.Apply(found)
		if !f.removeAll {
			if err := f.keepsSome(kept); err != nil {
				return err
			}
		}
	}
	var remove []string
	for i := range kept {
		if len(kept[i].Why) == 0 {
			remove = append(remove, kept[i].Snapshot.ID)
		}
	}
	if !f.dry {
		if err := r.Forget(ctx, remove...); err != nil {
			return err
		}
	}
	if err := c.printKept(kept, f.dry); err != nil || !f.prune || len(remove) == 0 {
		return err
	}
	if f.dry {
		_, err := fmt.Fprintln(c.stderr, "what a prune would free is known once the snapshots are removed")
		return err
	}
	return c.prune(ctx, r, &f.prunes)
}

// keepsSome refuses to remove a whole series.
func (f *forgetFlags) keepsSome(kept []repository.Kept) error {
	stays := map[string]bool{}
	for i := range kept {
		s := &kept[i].Snapshot
		series := fmt.Sprintf("of host %q, paths %q", s.Host, s.Paths)
		if f.policy.Together {
			series = "there are"
		}
		stays[series] = stays[series] || len(kept[i].Why) > 0
	}
	for series, some := range stays {
		if !some {
			return usageError("nothing is removed: of the snapshots %s, none would stay; --allow-remove-all removes them", series)
		}
	}
	return nil
}

// forgotten is a snapshot in the output of --json.
type forgotten struct {
	Type     string         `json:"type"`
	Snapshot listedSnapshot `json:"snapshot"`
	Reasons  []string       `json:"reasons,omitempty"`
}

func (c *repositoryCall) printKept(kept []repository.Kept, dry bool) error {
	gone := "removed"
	if dry {
		gone = "would remove"
	}
	table := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	for i := range kept {
		s, why, what := &kept[i].Snapshot, kept[i].Why, "keep"
		if len(why) == 0 {
			what = gone
		}
		var err error
		if c.json {
			err = c.printJSON(forgotten{what, listSnapshot(s), why})
		} else {
			_, err = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", what, s.ShortID(), s.Time.Local().Format("2006-01-02 15:04:05"), oneLine(s.Host),
				oneLine(strings.Join(s.Paths, " ")), oneLine(strings.Join(why, ", ")))
		}
		if err != nil {
			return err
		}
	}
	return table.Flush()
}
