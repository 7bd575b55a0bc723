package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/davit-project/davit/location/repository"
)

// backupFlags are those of davit repository backup.
type backupFlags struct {
	opts         repository.BackupOptions
	local        repository.LocalOptions
	excludeFiles []string
	stdin        string
	allowEmpty   bool
	time         string
	force        bool
}

const backupLeft = "no snapshot was made; what was uploaded is used by the next backup"

func (c *repositoryCall) backupCommand() *cobra.Command {
	f := &backupFlags{}
	cmd := &cobra.Command{
		Use:   "backup PATH…",
		Short: "Store a snapshot of files and folders, or of standard input",
		Long: `Stores a snapshot of files and folders, with their owners, modes, times, links, holes and extended attributes; with --stdin-filename, of standard input as one file.

Files that the parent has with the same size, times and inode are not read again. The parent is the latest snapshot of the same host and paths, or that of --parent. Files that cannot be
read are named, and left out: the exit code is 3 then, and the snapshot is there.

` + repositoryCodes,
		Example: `  davit repository backup /srv/data --tag nightly --exclude '*.tmp' --location s3://backups/laptop
  pg_dump shop | davit repository backup --stdin-filename shop.sql --location s3://backups/laptop`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			return c.with(cmd.Context(), backupLeft, func(ctx context.Context, r *repository.Repository) error { return c.backup(ctx, r, f, args) })
		},
	}
	f.bind(cmd.Flags())
	cmd.MarkFlagsMutuallyExclusive("parent", "force")
	return cmd
}

func (f *backupFlags) bind(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.opts.Tags, "tag", nil, "`TAG` of the snapshot; may be given more than once")
	flags.StringVarP(&f.opts.Host, "host", "H", "", "`HOST` of the snapshot (default this one)")
	flags.StringVar(&f.time, "time", "", "`TIME` of the snapshot, as 2006-01-02 15:04:05 or in RFC 3339 (default now)")
	flags.StringVar(&f.opts.Parent, "parent", "", "`ID` of the snapshot to compare with")
	flags.BoolVarP(&f.force, "force", "f", false, "read every file, whatever the parent has")
	flags.BoolVar(&f.opts.IgnoreInode, "ignore-inode", false, "take a file for unchanged although its inode is another")
	flags.BoolVar(&f.opts.IgnoreCtime, "ignore-ctime", false, "take a file for unchanged although the time of change of its inode is another")
	flags.StringArrayVarP(&f.local.Exclude, "exclude", "e", nil, "leave out what matches this `PATTERN`, and what is below it: a name, or with a slash a whole path")
	flags.StringArrayVar(&f.excludeFiles, "exclude-file", nil, "`FILE` with patterns, a line each")
	flags.BoolVarP(&f.local.OneFileSystem, "one-file-system", "x", false, "leave out what is on other file systems than the paths")
	flags.StringVar(&f.stdin, "stdin-filename", "", "store standard input as a file of this `NAME`")
	flags.BoolVar(&f.allowEmpty, "allow-empty", false, "with --stdin-filename, store a stream of no bytes: nearly always it is what a failed command left")
}

// check reads what is said in words, and refuses what does not go together.
func (f *backupFlags) check(paths []string) error {
	switch {
	case f.stdin == "" && len(paths) == 0:
		return errors.New("name the files and folders to back up, or give --stdin-filename")
	case f.stdin != "" && len(paths) > 0:
		return errors.New("--stdin-filename stores standard input: it takes no paths")
	}
	if f.force {
		f.opts.Parent = "none"
	}
	if f.time != "" {
		at, err := time.Parse(time.RFC3339, f.time)
		if err != nil {
			at, err = time.ParseInLocation(time.DateTime, f.time, time.Local)
		}
		if err != nil {
			return fmt.Errorf("--time %q: want a time such as 2006-01-02 15:04:05", f.time)
		}
		f.opts.Time = at
	}
	for _, name := range f.excludeFiles {
		patterns, err := readPatterns(name)
		if err != nil {
			return err
		}
		f.local.Exclude = append(f.local.Exclude, patterns...)
	}
	for i, p := range f.local.Exclude {
		if strings.Contains(p, "/") && !strings.HasPrefix(p, "/") {
			abs, err := filepath.Abs(p)
			if err != nil {
				return err
			}
			f.local.Exclude[i] = abs
		}
	}
	return nil
}

// maxPatterns bounds a file of patterns, in bytes.
const maxPatterns = 1 << 20

// readPatterns reads the lines of a file but for empty ones and comments.
func readPatterns(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("--exclude-file: %w", err)
	}
	defer func() { _ = file.Close() }()
	var patterns []string
	lines := bufio.NewScanner(io.LimitReader(file, maxPatterns))
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--exclude-file %q: %w", name, err)
	}
	return patterns, nil
}

func (c *repositoryCall) backup(ctx context.Context, r *repository.Repository, f *backupFlags, paths []string) error {
	o := f.opts
	var done func()
	o.Progress, done = c.watch()
	var s repository.Snapshot
	var err error
	if f.stdin != "" {
		s, err = r.BackupStream(ctx, f.stdin, c.stream(ctx, f.allowEmpty), &o)
	} else {
		var src *repository.LocalSource
		if src, err = repository.NewLocalSource(&f.local, paths...); err != nil {
			done()
			return &exitError{exitUsage, err}
		}
		s, err = r.Backup(ctx, src, &o)
	}
	done()
	if err != nil && !errors.Is(err, repository.ErrIncomplete) {
		return err
	}
	if err != nil {
		err = &exitError{exitIncomplete, fmt.Errorf("%w: %d files or folders could not be read and are not in the snapshot", repository.ErrIncomplete, s.Summary.Failed.Count)}
	}
	c.problems("could not be read", s.Summary.Failed)
	c.problems("vanished before it could be read", s.Summary.Vanished)
	c.problems("changed while it was read", s.Summary.Changed)
	return errors.Join(c.printBackup(&s), err)
}

// problems names files with a problem.
func (c *repositoryCall) problems(what string, p repository.Problems) {
	for _, file := range p.First {
		if file.Err != nil {
			c.note("backup", "%q %s: %v", file.Path, what, file.Err)
		} else {
			c.note("backup", "%q %s", file.Path, what)
		}
	}
	if more := p.Count - int64(len(p.First)); more > 0 {
		c.note("backup", "and %d more: %s", more, what)
	}
}

// backupLine is the output of backup with --json, with the names that restic's summary has.
type backupLine struct {
	Type string `json:"message_type"`
	*listedSummary
	ID       string `json:"snapshot_id"`
	Parent   string `json:"parent,omitempty"`
	Failed   int64  `json:"files_failed,omitempty"`
	Vanished int64  `json:"files_vanished,omitempty"`
	Changing int64  `json:"files_changing,omitempty"`
}

func (c *repositoryCall) printBackup(s *repository.Snapshot) error {
	sum := s.Summary
	if c.json {
		return c.printJSON(backupLine{"summary", listSummary(sum), s.ID, s.Parent, sum.Failed.Count, sum.Vanished.Count, sum.Changed.Count})
	}
	_, err := fmt.Fprintf(c.stdout, "%d files new, %d changed, %d unmodified; added %s, %s stored; %s in %s\nsnapshot %s saved\n",
		sum.FilesNew, sum.FilesChanged, sum.FilesUnmodified, size(sum.DataAdded), size(sum.DataAddedPacked), size(sum.TotalBytes),
		sum.End.Sub(sum.Start).Round(time.Millisecond), s.ShortID())
	return err
}

// streamBuffer is what is read of standard input at once, in bytes.
const streamBuffer = 1 << 20

// stream is standard input, which fails when ctx ends although nothing more comes.
func (c *repositoryCall) stream(ctx context.Context, allowEmpty bool) io.Reader {
	r, w := io.Pipe()
	go func() {
		n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{c.stdin}, make([]byte, streamBuffer))
		if err == nil && n == 0 && !allowEmpty {
			err = errors.New("nothing came in: the command in front of the pipe has failed; --allow-empty stores no bytes all the same")
		}
		_ = w.CloseWithError(err) // it never fails
	}()
	context.AfterFunc(ctx, func() { _ = r.CloseWithError(context.Cause(ctx)) }) // the same
	return r
}
