package pgdump

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// undoTime is how long removing what a restore has made may take.
	undoTime = 15 * time.Second
	// lockPause is between two attempts to get the lock.
	lockPause = 100 * time.Millisecond
	// forceSince is the version of servers that end the sessions of a database to drop it.
	forceSince = 130000
	// maxMade bounds the databases that a restore makes, and those in a dump.
	maxMade = 1000
	// maxName is the longest name of a server, in bytes: it cuts longer ones off.
	maxName = 63
	// workName begins the names that databases have until they are known by their mark. What of the object's digest follows, and what by chance, leaves it below maxName.
	workName, workDigest, workChance = "davit_restores_", 24, 16
)

// Errors of databases that are made.
var (
	errBusy = errors.New("another restore of this object into this server is at work")
	errLock = errors.New("another restore of this object is at work, or the server still executes what this one began")
)

// created is a database that this restore has made.
type created struct {
	name, oid string
	// comment is the statement that sets the comment it is to have.
	comment string
}

// remain is a database that is not wholly restored.
type remain struct {
	name     string
	template bool
}

// own finds a database that this restore has made; nil for any other.
func (r *restorer) own(name string) *created {
	for i := range r.made {
		if r.made[i].name == name {
			return &r.made[i]
		}
	}
	return nil
}

// begin looks at the server and locks out other restores of the object.
func (r *restorer) begin() (err error) {
	if r.admin, err = r.server.manage(r.ctx); err != nil {
		return err
	}
	got, err := r.admin.ask(r.ctx, "SELECT pg_catalog.current_setting('server_version_num');")
	if err != nil {
		return err
	}
	if len(got) != 1 {
		return fmt.Errorf("the server %s does not tell its version", r.server.Host)
	}
	if r.version, err = strconv.Atoi(got[0]); err != nil {
		return fmt.Errorf("the server's version is %q: %w", got[0], err)
	}
	locked, err := r.lock(r.admin)
	if err != nil {
		return err
	}
	if !locked {
		return errBusy
	}
	names, err := r.admin.ask(r.ctx, "SELECT name FROM pg_catalog.pg_settings;")
	if err != nil {
		return err
	}
	for _, name := range names {
		r.settings[strings.ToLower(name)] = true
	}
	r.server.prelude = unlimited(r.settings)
	left, err := r.remains(r.admin)
	if err != nil {
		return err
	}
	for _, d := range left {
		r.server.warn(fmt.Sprintf("database %q is what an earlier restore that died has left: it is made anew", d.name))
		if err := r.drop(r.admin, d); err != nil {
			return err
		}
	}
	r.there, err = r.admin.ask(r.ctx, "SELECT datname FROM pg_catalog.pg_database;")
	return err
}

// unlimited ends what limits sessions of a user or database that pg_dump's own statements do not end, where the server has it.
func unlimited(settings map[string]bool) string {
	var out strings.Builder
	for _, name := range []string{"statement_timeout", "lock_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"} {
		if settings[name] {
			out.WriteString("SET " + name + " = 0; ")
		}
	}
	return out.String() + "SET default_transaction_read_only = off;\n"
}

// lock tries to get the lock of restores of this object. It is held until the session ends.
func (r *restorer) lock(admin *session) (bool, error) {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(r.mark))
	got, err := admin.ask(r.ctx, "SELECT pg_catalog.pg_try_advisory_lock("+strconv.FormatInt(int64(hash.Sum64()>>1), 10)+");") //nolint:gosec // one bit less fits
	return slices.Equal(got, []string{"t"}), err
}

// working begins the names of this object's databases that have no mark yet.
func (r *restorer) working() string {
	digest := sha256.Sum256([]byte(r.mark))
	return workName + hex.EncodeToString(digest[:])[:workDigest] + "_"
}

// remains are the databases that restores of this object have not finished, this one's too. Who asks has the lock, so that nobody is at work on them.
func (r *restorer) remains(admin *session) (left []remain, err error) {
	begins := r.working()
	of := []string{
		"pg_catalog.shobj_description(oid, 'pg_database') = " + quoteText(r.mark),
		fmt.Sprintf("pg_catalog.left(datname::text, %d) = %s", len(begins), quoteText(begins)),
	}
	for _, d := range r.made {
		of = append(of, "oid = "+d.oid)
	}
	rows, err := admin.ask(r.ctx, "SELECT datname, datistemplate FROM pg_catalog.pg_database WHERE "+strings.Join(of, " OR ")+" ORDER BY 1;")
	for i := 0; i+1 < len(rows); i += 2 {
		left = append(left, remain{name: rows[i], template: rows[i+1] == "t"})
	}
	return left, err
}

// drop removes a database with its sessions.
func (r *restorer) drop(admin *session, d remain) error {
	drop := "DROP DATABASE " + quoteName(d.name)
	if r.version >= forceSince {
		drop += " WITH (FORCE)"
	}
	if d.template { // one that is half dropped can only be dropped
		drop = "ALTER DATABASE " + quoteName(d.name) + " IS_TEMPLATE false; " + drop
	}
	_, err := admin.ask(r.ctx, drop+";")
	return err
}

// create makes a database, unless it is there.
//
// It is made under a name that nobody else uses, and gets its own name and its mark in one transaction. So whenever the connection or this program ends, it is known as this object's, and a
// database of that name that somebody else makes meanwhile is never taken for it.
func (r *restorer) create(text string) error {
	name, options, err := creation(text, r.version)
	switch {
	case err != nil:
		return err
	case len(name) > maxName:
		return fmt.Errorf("the dump creates a database whose name has %d bytes, more than the %d of a server: %.80q", len(name), maxName, name)
	case r.own(name) != nil:
		return fmt.Errorf("the dump creates database %q twice", name)
	case slices.Contains(r.there, name):
		return nil
	case len(r.made) >= maxMade:
		return fmt.Errorf("the dump creates more than %d databases", maxMade)
	}
	working := r.working() + rand.Text()[:workChance]
	r.making = true
	if _, err := r.admin.ask(r.ctx, "CREATE DATABASE "+quoteName(working)+options); err != nil {
		return fmt.Errorf("create database %q: %w", name, err)
	}
	got, err := r.admin.ask(r.ctx, "BEGIN; COMMENT ON DATABASE "+quoteName(working)+" IS "+quoteText(r.mark)+"; ALTER DATABASE "+quoteName(working)+" RENAME TO "+quoteName(name)+
		"; SELECT oid FROM pg_catalog.pg_database WHERE datname = "+quoteText(name)+"; COMMIT;")
	if err != nil {
		return fmt.Errorf("create database %q: %w", name, err)
	}
	if len(got) != 1 {
		return fmt.Errorf("create database %q: it is not there", name)
	}
	r.made = append(r.made, created{name: name, oid: got[0], comment: "COMMENT ON DATABASE " + quoteName(name) + " IS NULL;"})
	return nil
}

// unmark says that the databases are wholly restored, all at once.
func (r *restorer) unmark() error {
	if _, err := r.admin.ask(r.ctx, "BEGIN;"); err != nil {
		return err
	}
	for _, d := range r.made {
		if _, err := r.admin.ask(r.ctx, d.comment); err != nil {
			return err
		}
	}
	_, err := r.admin.ask(r.ctx, "COMMIT;")
	return err
}

// undo ends what the server still executes for this restore, and removes the databases that it has made.
func (r *restorer) undo(ctx context.Context) error {
	if !r.making && len(r.held) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, undoTime)
	defer cancel()
	r.ctx = ctx
	admin, err := r.server.manage(ctx)
	if err == nil {
		defer admin.kill()
		_, err = admin.ask(ctx, "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE application_name = "+quoteText(r.server.app)+
			" AND pid <> pg_catalog.pg_backend_pid();")
	}
	if !r.making {
		return nil // without databases of its own, the transactions are all, and roll back by themselves
	}
	if err == nil {
		err = r.waitForLock(admin)
	}
	var left []remain
	if err == nil {
		left, err = r.remains(admin)
	}
	for len(left) > 0 && err == nil {
		if err = r.drop(admin, left[0]); err == nil {
			left = left[1:]
		}
	}
	if err == nil {
		return nil
	}
	var names []string
	for _, d := range left {
		names = append(names, d.name)
	}
	for i := 0; left == nil && i < len(r.made); i++ {
		names = append(names, r.made[i].name)
	}
	return fmt.Errorf("what is not wholly restored could not be removed: the databases %q, and %s… where there is one; the next attempt removes them, or do it by hand: %w", names, r.working(), err)
}

// waitForLock gets the lock when the session that had it has ended: then nothing of this restore is at work.
func (r *restorer) waitForLock(admin *session) error {
	for {
		locked, err := r.lock(admin)
		if err != nil || locked {
			return err
		}
		select {
		case <-r.ctx.Done():
			return errLock
		case <-time.After(lockPause):
		}
	}
}
