package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/location/repository"
)

// restoreFlags are those of davit repository restore.
type restoreFlags struct {
	filterFlags
	target, overwrite string
	owners            string
	opts              repository.RestoreOptions
}

func (c *repositoryCall) restoreCommand() *cobra.Command {
	f := &restoreFlags{}
	cmd := &cobra.Command{
		Use:   "restore ID[:PATH] --target FOLDER",
		Short: "Restore a snapshot, or a part of it, into a folder",
		Long: `Restores a snapshot into a folder, or with ID:PATH the contents of a folder of it, or a file. ID is that of a snapshot, its beginning, or latest: of those that --host, --tag and
--path choose.

A file appears under its name when it is complete, and is verified on the way. Files that are there with the content of the snapshot stay, so that a restore that was
interrupted goes on. Nothing outside of the folder is touched, whatever the snapshot says. Device nodes and set-uid bits are left out unless they are asked for.

` + repositoryCodes,
		Example: `  davit repository restore latest --target /tmp/back --location s3://backups/laptop
  davit repository restore 40dc1520:/home/me/work --target work --location s3://backups/laptop`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.options(); err != nil {
				return err
			}
			left := fmt.Sprintf("what was restored so far is in %q, whole files only; the same command goes on", f.target)
			return c.with(cmd.Context(), left, func(ctx context.Context, r *repository.Repository) error { return c.restore(ctx, r, f, args[0]) })
		},
	}
	flags := cmd.Flags()
	f.bind(flags)
	flags.StringVarP(&f.target, "target", "t", "", "`FOLDER` to restore into; it is made if it is absent")
	flags.StringArrayVarP(&f.opts.Include, "include", "i", nil, "restore only what matches this `PATTERN`, and what is below it: *.txt, /home/*/work, **")
	flags.StringArrayVarP(&f.opts.Exclude, "exclude", "e", nil, "leave out what matches this `PATTERN`, and what is below it")
	flags.StringVar(&f.overwrite, "overwrite", "different", "which files that are there are replaced: different (another content), changed (another size or time), always or never")
	flags.StringVar(&f.owners, "owners", "root", "whether owners are set: root (only by root), always (as far as it goes) or never")
	flags.BoolVar(&f.opts.Delete, "delete", false, "remove from the folder what the snapshot does not have")
	flags.BoolVar(&f.opts.Devices, "devices", false, "restore device nodes")
	flags.BoolVar(&f.opts.SetID, "set-id", false, "restore set-uid and set-gid bits and file capabilities")
	flags.BoolVar(&f.opts.Dense, "no-sparse", false, "write zeros where a file has holes")
	_ = cmd.MarkFlagRequired("target") // the flag exists
	return cmd
}

// options reads the flags that are words.
func (f *restoreFlags) options() error {
	overwrite, known := map[string]repository.Overwrite{
		"changed": repository.OverwriteChanged, "different": repository.OverwriteDifferent, "always": repository.OverwriteAlways, "never": repository.OverwriteNever,
	}[f.overwrite]
	if !known {
		return fmt.Errorf("--overwrite %q: want different, changed, always or never", f.overwrite)
	}
	owners, known := map[string]repository.Owners{
		"root": repository.OwnersAsRoot, "always": repository.OwnersAlways, "never": repository.OwnersNever,
	}[f.owners]
	if !known {
		return fmt.Errorf("--owners %q: want root, always or never", f.owners)
	}
	if f.target == "" {
		return errors.New("--target is empty: name the folder to restore into")
	}
	f.opts.Overwrite, f.opts.Owners = overwrite, owners
	return nil
}

func (c *repositoryCall) restore(ctx context.Context, r *repository.Repository, f *restoreFlags, what string) error {
	id, path, _ := strings.Cut(what, ":")
	s, err := r.Find(ctx, id, f.filter())
	if err != nil {
		return err
	}
	o := f.opts
	o.Path = path
	var done func()
	o.Progress, done = c.watch()
	sum, err := r.Restore(ctx, s.ID, f.target, &o)
	done()
	for _, w := range sum.Warnings {
		c.note("restore", "warning: %s", w)
	}
	if more := sum.WarningCount - int64(len(sum.Warnings)); more > 0 {
		c.note("restore", "%d more warnings", more)
	}
	if sum.LeftOutDevices+sum.LeftOutSetIDs > 0 {
		c.note("restore", "left out: %d device nodes (--devices restores them), set-uid bits and the like of %d files (--set-id)", sum.LeftOutDevices, sum.LeftOutSetIDs)
	}
	if err != nil && (sum.Failed == 0 || ctx.Err() != nil) {
		return err
	}
	if err != nil {
		err = &exitError{exitIncomplete, err}
	}
	return errors.Join(c.printRestored(&s, f.target, &sum), err)
}

// note writes to standard error what a command has to say beside its output.
func (c *repositoryCall) note(command, format string, args ...any) {
	_, _ = fmt.Fprintf(c.stderr, "davit repository %s: %s\n", command, oneLine(fmt.Sprintf(format, args...)))
}

// restoredLine is the output of restore with --json.
type restoredLine struct {
	Type      string  `json:"type"`
	Snapshot  string  `json:"snapshot"`
	Target    string  `json:"target"`
	Files     int64   `json:"files"`
	Bytes     int64   `json:"bytes"`
	Unchanged int64   `json:"unchanged"`
	Folders   int64   `json:"folders"`
	Symlinks  int64   `json:"symlinks"`
	HardLinks int64   `json:"hardLinks"`
	Specials  int64   `json:"specials"`
	Deleted   int64   `json:"deleted"`
	Failed    int64   `json:"failed"`
	LeftOut   int64   `json:"leftOut"`
	Seconds   float64 `json:"seconds"`
}

func (c *repositoryCall) printRestored(s *repository.Snapshot, target string, sum *repository.RestoreSummary) error {
	if c.json {
		return c.printJSON(restoredLine{"restored", s.ID, target, sum.Files, sum.Bytes, sum.Unchanged, sum.Folders, sum.Symlinks, sum.HardLinks, sum.Specials,
			sum.Deleted, sum.Failed, sum.LeftOutDevices + sum.LeftOutSockets + sum.LeftOutSetIDs, sum.Duration.Seconds()})
	}
	text := fmt.Sprintf("restored %d files (%s)", sum.Files, size(sum.Bytes))
	if sum.Unchanged > 0 {
		text += fmt.Sprintf(", %d were there already", sum.Unchanged)
	}
	if sum.Deleted > 0 {
		text += fmt.Sprintf(", removed %d", sum.Deleted)
	}
	if sum.Failed > 0 {
		text += fmt.Sprintf(", %d failed", sum.Failed)
	}
	_, err := fmt.Fprintf(c.stdout, "%s, of snapshot %s into %s, in %s\n", text, s.ShortID(), printable(target), sum.Duration.Round(time.Millisecond))
	return err
}
