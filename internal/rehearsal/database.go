package rehearsal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/davit-project/davit/cluster"
)

// shop is the name of the database that is filled.
const shop = "shop"

// Database is what is particular to a database. There are two: Postgres and MariaDB.
type Database struct {
	// Name of the folder of its blueprint in examples/blueprints.
	Name string
	// Image that has it, if no other is given.
	Image string

	user, passwordVariable string
	// data is where its volume is mounted.
	data string
	port int
	// ready is a command that succeeds once it takes commands.
	ready []string
	// client reads SQL from standard input as the administrator, inside the server's container, and prints rows with tabs. The database's name is appended.
	client []string
	// appClient does so as the application, over the network; it reads the password from the first line.
	appClient []string
	// schema makes the database shop, its tables, and all that belongs to them.
	schema func(appPassword string) string
	// drop drops the tables.
	drop string
	// text and bytes write literals; repeated one of bytes n times.
	text     func(string) string
	bytes    func([]byte) string
	repeated func(b []byte, n int) string
	// nul is set where text may hold the character U+0000.
	nul bool
	// items selects the lines that item.line makes, by id; ledger those that entry makes, by n.
	items, ledger string
	// facts selects what else belongs to the database: routines, triggers, views, permissions.
	facts string
}

// sql runs commands as the administrator.
func (r *Rehearsal) sql(ctx context.Context, database, commands string, out io.Writer) error {
	return r.exec(ctx, r.client(database), strings.NewReader(commands), out)
}

// SQL returns what the administrator's commands in a database print, one row on a line.
func (r *Rehearsal) SQL(ctx context.Context, database, commands string) (string, error) {
	var out bytes.Buffer
	err := r.sql(ctx, database, commands, &out)
	return strings.TrimRight(out.String(), "\n"), err
}

// Hold leaves a session open after the commands: it goes on to hold its locks until release is called.
func (r *Rehearsal) Hold(ctx context.Context, database, commands string) (release func() error, err error) {
	in, session := io.Pipe()
	held, done := make(chan struct{}), make(chan error, 1)
	go func() {
		var once sync.Once
		err := r.exec(ctx, r.client(database), in, &lines{each: func(string) error { once.Do(func() { close(held) }); return nil }})
		done <- errors.Join(err, in.Close())
	}()
	if _, err := io.WriteString(session, commands+"\nSELECT 'held';\n"); err != nil {
		return nil, errors.Join(err, <-done)
	}
	select {
	case <-held:
		return func() error { return errors.Join(session.Close(), <-done) }, nil
	case err := <-done:
		return nil, fmt.Errorf("the session ended: %w", err)
	}
}

func (r *Rehearsal) client(database string) []string {
	if database == "" {
		return r.db.client
	}
	return append(r.db.client[:len(r.db.client):len(r.db.client)], database)
}

// appSees returns how many items the application sees, with its own password.
func (r *Rehearsal) appSees(ctx context.Context) (string, error) {
	var out bytes.Buffer
	err := r.exec(ctx, append(r.db.appClient[:len(r.db.appClient):len(r.db.appClient)], shop), strings.NewReader(r.appPassword+"\nSELECT count(*) FROM items;\n"), &out)
	return strings.TrimSpace(out.String()), err
}

// exec runs a command in the server's container.
func (r *Rehearsal) exec(ctx context.Context, command []string, in io.Reader, out io.Writer) error {
	var complaint tail
	err := r.executor.Exec(ctx, cluster.Command{
		Namespace: r.opts.Namespace, Pod: pod, Container: "database", Args: command, Stdin: in, Stdout: out, Stderr: &complaint,
	})
	if _, ok := errors.AsType[*cluster.ExitError](err); ok && len(complaint) > 0 {
		return fmt.Errorf("%w\n%s", err, complaint)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	*t = append(*t, p...)
	*t = (*t)[max(0, len(*t)-most):]
	return len(p), nil
}
