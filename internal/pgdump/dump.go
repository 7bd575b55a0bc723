package pgdump

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/location"
)

// What pg_dump prints first and last, in a comment.
const (
	dumpBegins = "-- PostgreSQL database dump"
	dumpEnds   = "-- PostgreSQL database dump complete"
)

// everyServer are the databases that every server has, so that a dump does not create them.
func everyServer() []string { return []string{"postgres", "template1"} }

var (
	// errNoDatabase means that there is nothing to dump.
	errNoDatabase = errors.New("the server has no databases to dump")
	// errMany means that no restore would take the dump.
	errMany = fmt.Errorf("a dump holds at most %d databases", maxMade)
	// errStopped means that nobody takes the stream any more.
	errStopped = errors.New("the stream is not taken any more")
)

// dump writes the object while pg_dump makes it.
func dump(ctx context.Context, s *server, b *location.Bucket, req *Request, env Env) (mover.Result, error) {
	databases := slices.Compact(slices.Sorted(slices.Values(req.Databases)))
	if len(databases) == 0 {
		var err error
		if databases, err = s.databases(ctx); err != nil {
			return mover.Result{}, fmt.Errorf("list the databases of %s: %w", s.Host, err)
		}
	}
	if len(databases) > maxMade {
		return mover.Result{}, fmt.Errorf("%w: it has %d, name fewer for each dump", errMany, len(databases))
	}
	tick := &ticker{tell: env.Progress, Progress: mover.Progress{TotalFiles: int64(len(databases))}}
	dumping, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	from, to := io.Pipe()
	made := make(chan error, 1)
	go func() {
		err := s.dumpAll(dumping, databases, to, tick)
		_ = to.CloseWithError(err) // nil is the end of the stream
		made <- err
	}()
	info, err := b.Write(ctx, req.Path, from, nil)
	cancel(err)
	_ = from.CloseWithError(errStopped)
	if madeErr := <-made; err != nil && madeErr != nil && !errors.Is(err, madeErr) && !errors.Is(madeErr, errStopped) && !errors.Is(madeErr, err) {
		err = errors.Join(err, madeErr) // the store may hide why the stream broke
	}
	if err != nil {
		return mover.Result{}, err
	}
	return mover.Result{Snapshot: req.Path, Counted: true, Files: tick.Files, Bytes: tick.Bytes, Stored: info.Size}, nil
}

// databases lists those of the server, but for the template that nobody can change and RDS's own. One that is half dropped holds nothing.
func (s *server) databases(ctx context.Context) ([]string, error) {
	q, err := s.manage(ctx)
	if err != nil {
		return nil, err
	}
	defer q.kill()
	found, err := q.ask(ctx, "SELECT datname FROM pg_catalog.pg_database WHERE datname NOT IN ('template0', 'rdsadmin') AND datconnlimit <> -2 ORDER BY 1;")
	if err == nil && len(found) == 0 {
		err = errNoDatabase
	}
	return found, err
}

// dumpAll writes the stream of all databases.
func (s *server) dumpAll(ctx context.Context, databases []string, to io.Writer, tick *ticker) error {
	packed, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return err
	}
	for _, name := range databases {
		if err := s.dumpOne(ctx, name, packed, tick); err != nil {
			return fmt.Errorf("dump database %q: %w", name, err)
		}
		tick.Files++
		tick.tell(tick.Progress)
	}
	return packed.Close()
}

// dumpOne runs pg_dump for a database.
func (s *server) dumpOne(ctx context.Context, name string, to io.Writer, tick *ticker) error {
	args := []string{"--no-password", keepAlive, "--create"}
	if slices.Contains(everyServer(), name) {
		args = args[:2]
		if _, err := io.WriteString(to, "\\connect "+name+"\n"); err != nil {
			return err
		}
	}
	errs := &lines{each: func(line string) bool {
		s.warn("pg_dump: " + s.masked(line))
		return true
	}}
	out := &dumpOut{to: to, tick: tick}
	cmd := exec.CommandContext(ctx, "pg_dump", args...) //nolint:gosec // the arguments are ours
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = s.env(name), out, errs, endTime
	if err := cmd.Start(); err != nil {
		return missing("pg_dump", err)
	}
	err := cmd.Wait()
	exit := (*exec.ExitError)(nil)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		return fmt.Errorf("pg_dump: %w: %s", exit, s.masked(errs.tail()))
	case err != nil: // the stream is not taken any more
		return fmt.Errorf("pg_dump: %w", err)
	case !out.whole():
		return errors.New("pg_dump: it ended early and said that all is well")
	}
	return nil
}

// dumpOut passes a dump on and looks for its end.
type dumpOut struct {
	to   io.Writer
	tick *ticker
	tail []byte
}

func (d *dumpOut) Write(p []byte) (int, error) {
	const kept = 512
	d.tail = append(d.tail, p[max(0, len(p)-kept):]...)
	if len(d.tail) > kept {
		d.tail = bytes.Clone(d.tail[len(d.tail)-kept:])
	}
	d.tick.add(len(p))
	return d.to.Write(p)
}

func (d *dumpOut) whole() bool { return strings.Contains(string(d.tail), "\n"+dumpEnds+"\n") }
