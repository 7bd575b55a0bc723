package pgdump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/location"
)

const (
	// maxComments bounds the comments of all databases, which are kept until the end; in bytes.
	maxComments = 16 << 20
	// maxHeld bounds the databases that are restored into in a transaction, each of which keeps a psql until the end.
	maxHeld = 100
	// maxTold bounds what is remembered of what was told.
	maxTold = 1000
)

// Errors of restores.
var (
	errNothing = errors.New("the object holds no SQL")
	errPartial = errors.New("a dump in the object lacks its end: the pg_dump that made it failed")
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
	// made are those that this restore has made, in order; making tells that there may be another, which the server has not told of.
	made   []created
	making bool
	// held are the sessions of those that were there; current is the one at work, which may be another.
	held    map[string]*session
	current *session
	told    map[string]bool
	// begun and whole count what pg_dump says of itself.
	begun, whole int
	// kept are the bytes of comments.
	kept       int
	statements int
	tick       *ticker
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
		ctx: ctx, server: s, mark: "davit restores " + req.Path, held: map[string]*session{}, told: map[string]bool{}, settings: map[string]bool{}, tick: &ticker{tell: env.Progress},
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
	mine := r.own(name) != nil
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
	var own *created
	if isOf {
		own = r.own(name)
	}
	switch {
	case createDatabase.MatchString(short):
		return r.create(string(text))
	case inCatalog.MatchString(short):
		return nil // the statements that newer versions write say the same
	case isOf && own == nil:
		r.tell("database "+name, fmt.Sprintf("database %q was there before: its owner, comment, settings and rights stay as they are", name))
		return nil
	case isOf && comments.MatchString(short): // the mark stays until the end
		return r.keepComment(own, text)
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
	r.tell("setting "+m[1], fmt.Sprintf("setting %s of the dump is not known to this server", m[1]))
	return true
}

// tell warns of something once.
func (r *restorer) tell(what, text string) {
	if !r.told[what] && len(r.told) < maxTold {
		r.told[what] = true
		r.server.warn(text)
	}
}

// keepComment keeps the statement that sets the comment of a database, for the end.
func (r *restorer) keepComment(own *created, text []byte) error {
	r.kept += len(text) - len(own.comment)
	if r.kept > maxComments {
		return fmt.Errorf("the comments of databases in the dump are longer than %d bytes", maxComments)
	}
	own.comment = string(text)
	return nil
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
		if err := s.settle(r.ctx, "SET CONSTRAINTS ALL IMMEDIATE;"); err != nil {
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
