package pgdump

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/location"
)

const (
	// maxHeld bounds the databases that are restored into in a transaction, each of which keeps a psql until the end.
	maxHeld = 100
	// undoTime is how long removing what a restore has made may take.
	undoTime = 15 * time.Second
	// forceSince is the version of servers that end the sessions of a database to drop it.
	forceSince = 130000
	// maxMade bounds the databases that a restore makes.
	maxMade = 1000
)

// Errors of restores.
var (
	errNothing = errors.New("the object holds no SQL")
	errPartial = errors.New("a dump in the object lacks its end: the pg_dump that made it failed")
	errBusy    = errors.New("another restore of this object into this server is at work")
)

// restorer feeds a dump to the server.
type restorer struct {
	ctx    context.Context // it lives as long as one call; the scanner knows none
	server *server
	// mark is the comment of databases that are not wholly restored.
	mark    string
	version int
	// admin makes databases, and holds the lock.
	admin *session
	// settings are those that the server knows.
	settings map[string]bool
	// there are the databases that were there before.
	there []string
	// made are those that this restore has made, in order, with the comment each is to have.
	made     []string
	comments map[string]string
	// held are the sessions of those that were there; current is the one at work, which may be another.
	held    map[string]*session
	current *session
	told    map[string]bool
	// begun and whole count what pg_dump says of itself.
	begun, whole int
	statements   int
	tick         *ticker
}

// restore reads the object into the server.
func restore(ctx context.Context, s *server, b *location.Bucket, req *Request, env Env) (_ mover.Result, err error) {
	if !s.restricts {
		return mover.Result{}, errOldPsql
	}
	info, err := b.Stat(ctx, req.Path) // before anything is touched
	if err != nil {
		return mover.Result{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &restorer{
		ctx: ctx, server: s, mark: "davit restores " + req.Path, comments: map[string]string{}, held: map[string]*session{}, told: map[string]bool{}, settings: map[string]bool{}, tick: &ticker{tell: env.Progress},
	}
	defer func() {
		r.killAll()
		if err != nil {
			err = errors.Join(err, r.undo(context.WithoutCancel(ctx)))
		}
	}()
	if err := r.begin(); err != nil {
		return mover.Result{}, err
	}
	from, to := io.Pipe()
	read := make(chan error, 1)
	go func() {
		_, err := b.Read(ctx, req.Path, to, nil)
		_ = to.CloseWithError(err) // the end of the stream comes when all is verified
		read <- err
	}()
	err = eachFile(from, func(file io.Reader) error { return r.file(file) })
	_ = from.CloseWithError(errStopped)
	if err != nil {
		cancel(err)
	}
	if readErr := <-read; err == nil {
		err = readErr
	}
	if err == nil {
		err = r.finish()
	}
	if err != nil {
		return mover.Result{}, fmt.Errorf("restore %q: %w", req.Path, err)
	}
	return mover.Result{Snapshot: req.Path, Counted: true, Files: int64(len(r.made) + len(r.held)), Bytes: r.tick.Bytes, Stored: info.Size}, nil
}

// begin looks at the server and locks out other restores of the object.
func (r *restorer) begin() (err error) {
	if r.admin, err = r.server.manage(r.ctx); err != nil {
		return err
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(r.mark))
	lock := strconv.FormatInt(int64(hash.Sum64()>>1), 10) //nolint:gosec // one bit less fits
	got, err := r.admin.ask(r.ctx, "SELECT pg_catalog.current_setting('server_version_num'); SELECT pg_catalog.pg_try_advisory_lock("+lock+");")
	if err != nil {
		return err
	}
	if len(got) != 2 {
		return fmt.Errorf("the server %s does not tell its version", r.server.Host)
	}
	if r.version, err = strconv.Atoi(got[0]); err != nil {
		return fmt.Errorf("the server's version is %q: %w", got[0], err)
	}
	if got[1] != "t" {
		return errBusy
	}
	names, err := r.admin.ask(r.ctx, "SELECT name FROM pg_catalog.pg_settings;")
	if err != nil {
		return err
	}
	for _, name := range names {
		r.settings[strings.ToLower(name)] = true
	}
	rows, err := r.admin.ask(r.ctx, "SELECT datname, coalesce(pg_catalog.shobj_description(oid, 'pg_database'), '') FROM pg_catalog.pg_database;")
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(rows); i += 2 {
		if rows[i+1] != r.mark {
			r.there = append(r.there, rows[i])
			continue
		}
		r.server.warn(fmt.Sprintf("database %q is what an earlier restore that died has left: it is made anew", rows[i]))
		if err := r.drop(r.admin, rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *restorer) drop(admin *session, name string) error {
	force := " WITH (FORCE)"
	if r.version < forceSince {
		force = ""
	}
	_, err := admin.ask(r.ctx, "DROP DATABASE IF EXISTS "+quoteName(name)+force+";")
	return err
}

// file restores a file of SQL.
func (r *restorer) file(in io.Reader) error {
	if err := newScanner(in, r).scan(); err != nil {
		return err
	}
	if r.whole < r.begun {
		return errPartial
	}
	return nil
}

// comment counts where dumps begin and end.
func (r *restorer) comment(line string) {
	switch line {
	case dumpBegins:
		r.begun++
	case dumpEnds:
		r.whole++
	}
}

// command obeys the commands that pg_dump writes.
func (r *restorer) command(line string) error {
	if ignored.MatchString(line) {
		return nil
	}
	name, err := connects(line)
	if err != nil {
		return err
	}
	return r.connect(name)
}

// connect goes on in another database.
func (r *restorer) connect(name string) error {
	if r.current != nil && r.current.database == name {
		return nil
	}
	if r.current != nil && !r.current.tx {
		err := r.current.finish(r.ctx)
		r.current = nil
		if err != nil {
			return err
		}
	}
	if r.current != nil {
		if err := r.current.flush(); err != nil { // so that an error shows early
			return err
		}
	}
	if held := r.held[name]; held != nil {
		r.current = held
		return nil
	}
	mine := slices.Contains(r.made, name)
	if !mine && len(r.held) >= maxHeld {
		return fmt.Errorf("the dump goes into more than %d databases that exist", maxHeld)
	}
	next, err := r.server.open(r.ctx, name, !mine)
	if err != nil {
		return err
	}
	r.current = next
	if !mine {
		r.held[name] = next
	}
	return nil
}

// statement executes a statement, where it is not about what was there before.
func (r *restorer) statement(text []byte) error {
	r.statements++
	r.tick.add(len(text))
	short := string(text[:min(len(text), maxCommand)])
	name, isOf := databaseOf(short)
	switch {
	case createDatabase.MatchString(short):
		return r.create(string(text))
	case inCatalog.MatchString(short):
		return nil // the statements that newer versions write say the same
	case isOf && !slices.Contains(r.made, name):
		if !r.told[name] {
			r.told[name] = true
			r.server.warn(fmt.Sprintf("database %q was there before: its owner, comment, settings and rights stay as they are", name))
		}
		return nil
	case isOf && comments.MatchString(short) && len(text) <= maxCommand: // a longer one is set at once
		r.comments[name] = string(text)
		return nil
	case isOf && (r.current == nil || r.current.database != name): // in a transaction on another database, it would lock this one until the end
		_, err := r.admin.ask(r.ctx, string(text))
		return err
	case r.unknown(short):
		return nil
	}
	if r.current == nil {
		if err := r.connect("postgres"); err != nil {
			return err
		}
	}
	if r.current.tx && opensTransaction(short) {
		return nil
	}
	return r.current.write(append(text, '\n'))
}

// unknown tells whether a statement does nothing that counts on this server: it sets what the server does not have, as newer and older versions of pg_dump do, or the comment that
// an extension has by itself and that only its owner may set.
func (r *restorer) unknown(text string) bool {
	if extensionComment.MatchString(text) {
		return true
	}
	m := setting.FindStringSubmatch(text)
	if m == nil || r.settings[strings.ToLower(m[1])] {
		return false
	}
	if !r.told["setting "+m[1]] {
		r.told["setting "+m[1]] = true
		r.server.warn(fmt.Sprintf("setting %s of the dump is not known to this server", m[1]))
	}
	return true
}

// part executes a piece of a statement, or of rows.
func (r *restorer) part(p []byte) error {
	r.statements++
	r.tick.add(len(p))
	if r.current == nil {
		if err := r.connect("postgres"); err != nil {
			return err
		}
	}
	return r.current.write(p)
}

// create makes a database, unless it is there.
func (r *restorer) create(text string) error {
	name, statement, err := creation(text, r.version)
	if err != nil {
		return err
	}
	switch {
	case slices.Contains(r.made, name):
		return fmt.Errorf("the dump creates database %q twice", name)
	case slices.Contains(r.there, name):
		return nil
	case len(r.made) >= maxMade:
		return fmt.Errorf("the dump creates more than %d databases", maxMade)
	}
	r.made = append(r.made, name)
	if _, err := r.admin.ask(r.ctx, statement); err != nil {
		if strings.Contains(err.Error(), "already exists") { // somebody else's, made meanwhile
			r.made = r.made[:len(r.made)-1]
		}
		return fmt.Errorf("create database %q: %w", name, err)
	}
	_, err = r.admin.ask(r.ctx, "COMMENT ON DATABASE "+quoteName(name)+" IS "+quoteText(r.mark)+";")
	return err
}

// finish commits.
func (r *restorer) finish() error {
	if r.statements == 0 {
		return errNothing
	}
	if r.current != nil && !r.current.tx {
		if err := r.current.finish(r.ctx); err != nil {
			return err
		}
	}
	r.current = nil
	for _, s := range r.held { // what fails, fails before the first is committed
		if _, err := s.ask(r.ctx, "SET CONSTRAINTS ALL IMMEDIATE;"); err != nil {
			return err
		}
	}
	for _, s := range r.held {
		if err := s.finish(r.ctx); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	return r.unmark()
}

// unmark says that the databases are wholly restored, all at once.
func (r *restorer) unmark() error {
	if _, err := r.admin.ask(r.ctx, "BEGIN;"); err != nil {
		return err
	}
	for _, name := range r.made {
		comment, ok := r.comments[name]
		if !ok {
			comment = "COMMENT ON DATABASE " + quoteName(name) + " IS NULL;"
		}
		if _, err := r.admin.ask(r.ctx, comment); err != nil {
			return err
		}
	}
	_, err := r.admin.ask(r.ctx, "COMMIT;")
	return err
}

func (r *restorer) killAll() {
	if r.current != nil {
		r.current.kill()
	}
	for _, s := range r.held {
		s.kill()
	}
	if r.admin != nil {
		r.admin.kill()
	}
}

// undo removes the databases that this restore has made.
func (r *restorer) undo(ctx context.Context) error {
	if len(r.made) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, undoTime)
	defer cancel()
	r.ctx = ctx
	var err error
	for i, name := range r.made {
		var admin *session
		if admin, err = r.server.manage(ctx); err == nil {
			err = r.drop(admin, name)
			admin.kill()
		}
		if err != nil {
			return fmt.Errorf("the databases %q are not wholly restored and could not be removed; the next attempt removes them, or do it by hand: %w", r.made[i:], err)
		}
	}
	return nil
}
