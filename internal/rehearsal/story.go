package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/davit-project/davit/template"
)

// Loss says how the data is lost.
type Loss string

// Losses.
const (
	// Volume empties the server's volume: the backup goes into a server that has never held anything.
	Volume Loss = "volume"
	// Tables drops the tables of a server that goes on.
	Tables Loss = "tables"
)

// Tell goes through the story.
func (r *Rehearsal) Tell(ctx context.Context, loss Loss) error {
	r.report.say("A database is backed up while it is written to, lost, restored and compared.\nNamespace %s, image %s", r.opts.Namespace, r.opts.Image)
	if err := r.fill(ctx); err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	saved, err := r.backUp(ctx)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := r.lose(ctx, loss); err != nil {
		return fmt.Errorf("lose the data: %w", err)
	}
	if err := r.restore(ctx, saved); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := r.remove(ctx, saved); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

func (r *Rehearsal) fill(ctx context.Context) error {
	r.report.say("\n1. Start the database and fill it")
	began := time.Now()
	if err := r.Deploy(ctx); err != nil {
		return err
	}
	r.report.step("ready", began)
	began = time.Now()
	if err := r.Load(ctx); err != nil {
		return err
	}
	r.report.step(fmt.Sprintf("%d rows", r.opts.Rows), began)
	return nil
}

// Backup is what is known of a backup.
type Backup struct {
	Artifacts map[string]template.Artifact
	// Before and After are how many transactions the writer had acknowledged when the backup began and ended.
	Before, After int
	// facts are what belongs to the database beside rows.
	facts string
}

// BackUp backs up while a writer goes on.
func (r *Rehearsal) BackUp(ctx context.Context, id string) (*Backup, error) {
	facts, err := r.SQL(ctx, shop, r.db.facts)
	if err != nil {
		return nil, err
	}
	w, err := r.StartWriter(ctx, 1)
	if err != nil {
		return nil, err
	}
	b := &Backup{Before: w.Acknowledged(), facts: facts}
	result, err := r.Run(ctx, Request{ID: id, Action: "backup"})
	after, stopped := w.Stop()
	if err := errors.Join(err, stopped); err != nil {
		return nil, err
	}
	b.After = after
	b.Artifacts, err = result.Artifacts(0)
	return b, err
}

func (r *Rehearsal) backUp(ctx context.Context) (*Backup, error) {
	r.report.say("\n2. Back up, while a writer goes on")
	b, err := r.BackUp(ctx, "backup")
	if err != nil {
		return nil, err
	}
	about := b.Artifacts["backup"].KeyValue
	bytes, err := strconv.ParseInt(about["size"], 10, 64)
	if err != nil {
		return nil, err
	}
	r.report.say("   %s, at %s", size(bytes), about["path"])
	r.report.say("   %d transactions before it, %d during it.", b.Before, b.After-b.Before)
	return b, nil
}

func (r *Rehearsal) lose(ctx context.Context, loss Loss) error {
	r.report.say("\n3. Lose the data")
	began := time.Now()
	if loss == Tables {
		defer r.report.step("tables dropped", began)
		return r.DropTables(ctx)
	}
	defer r.report.step("volume emptied", began)
	return r.LoseVolume(ctx)
}

// Check compares the database with what a backup must have held.
func (r *Rehearsal) Check(ctx context.Context, b *Backup) (*Comparison, error) {
	c, err := r.Compare(ctx)
	if err != nil {
		return c, err
	}
	// One more may have been committed than was acknowledged.
	if c.Ledger < b.Before || c.Ledger > b.After+1 {
		return c, fmt.Errorf("the snapshot has %d transactions; %d were acknowledged before it and %d after it", c.Ledger, b.Before, b.After)
	}
	facts, err := r.SQL(ctx, shop, r.db.facts)
	if err != nil {
		return c, err
	}
	if facts != b.facts {
		return c, fmt.Errorf("routines, triggers, permissions and the like are not what they were:\n%s\nthey were:\n%s", facts, b.facts)
	}
	seen, err := r.appSees(ctx)
	if err == nil && seen != strconv.Itoa(r.opts.Rows) {
		err = fmt.Errorf("the application sees %s rows with its password", seen)
	}
	return c, err
}

func (r *Rehearsal) restore(ctx context.Context, b *Backup) error {
	r.report.say("\n4. Restore")
	if _, err := r.Run(ctx, Request{ID: "restore", Action: "restore", Artifacts: b.Artifacts}); err != nil {
		return err
	}
	r.report.say("\n5. Compare every row")
	began := time.Now()
	c, err := r.Check(ctx, b)
	if err != nil {
		return err
	}
	r.report.step(fmt.Sprintf("%d rows", c.Items+c.Ledger), began)
	r.report.say("   All %d rows from before the backup, byte for byte, and the first %d of %d\n   acknowledged transactions: the database as it was at one moment.", c.Items, c.Ledger, b.After)
	r.report.say("   Routines, triggers, views, accounts and permissions are what they were.")
	return nil
}

func (r *Rehearsal) remove(ctx context.Context, b *Backup) error {
	r.report.say("\n6. Delete the backup")
	if _, err := r.Run(ctx, Request{ID: "delete", Action: "delete", Artifacts: b.Artifacts}); err != nil {
		return err
	}
	left, err := r.Stored(ctx)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("the location still holds %q", left)
	}
	if err == nil {
		r.report.say("   The location is empty: there is no file on its volume.")
	}
	return err
}
