//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/template"
)

// demo is one run of the program.
type demo struct {
	*host
	app
	records uint64
	crash   bool
	facts   [][2]string
}

// tell goes through the story.
func (d *demo) tell(ctx context.Context) error {
	d.report.say(`Davit quickstart: a database is backed up while it is written to, destroyed,
restored and compared. No cluster, no services: pods are processes of this
machine, below %s`, d.dir)
	if err := d.fill(ctx); err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	saved, err := d.backUp(ctx)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := d.destroy(ctx); err != nil {
		return fmt.Errorf("destroy the data: %w", err)
	}
	if err := d.restore(ctx, saved); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := d.remove(ctx, saved); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	d.report.table(d.facts)
	return nil
}

func (d *demo) fact(name, format string, args ...any) {
	d.facts = append(d.facts, [2]string{name, fmt.Sprintf(format, args...)})
}

// fill writes the first records.
func (d *demo) fill(ctx context.Context) error {
	d.report.say("\n1. Fill the database")
	if err := d.deploy(ctx); err != nil {
		return err
	}
	began := time.Now()
	err := d.write(ctx, 1, d.records, 512, 0, func(n uint64) { d.report.filled(int64(n)*recordSize, began) })
	if err != nil {
		return err
	}
	bytes, since := int64(d.records)*recordSize, time.Since(began)
	d.report.say("   %-24s %8s%s", fmt.Sprintf("%d records", d.records), took(since), amount(bytes, since))
	d.report.say("   Each is durable in a bbolt file, behind a server in a pod of a StatefulSet.")
	return nil
}

// backup is what the story needs to know of it later.
type backup struct {
	artifacts map[string]template.Artifact
	records   uint64
	bytes     int64
}

// backUp backs up while a writer goes on.
func (d *demo) backUp(ctx context.Context) (*backup, error) {
	d.report.say("\n2. Back up, while a writer goes on")
	w, err := d.startWriter(ctx, d.records+1)
	if err != nil {
		return nil, err
	}
	before := w.acknowledged.Load()
	options := map[string]string{}
	if d.crash {
		options["maxRate"] = strconv.FormatInt(crashRate(d.records), 10)
		if err := d.runAndDie(ctx, options); err != nil {
			_, stopped := w.stop()
			return nil, errors.Join(err, stopped)
		}
	}
	result, err := d.run(ctx, "backup", options, nil)
	after, stopped := w.stop()
	if err := errors.Join(err, stopped); err != nil {
		return nil, err
	}
	if d.crash {
		if err := d.ranOnce(ctx, result); err != nil {
			return nil, err
		}
	}
	b := &backup{}
	if b.artifacts, err = result.Artifacts(0); err != nil {
		return nil, err
	}
	if b.records, err = strconv.ParseUint(b.artifacts["dump"].KeyValue["records"], 10, 64); err != nil {
		return nil, err
	}
	return b, d.inspect(ctx, b, before, after)
}

// inspect looks at what a backup left, from outside.
func (d *demo) inspect(ctx context.Context, b *backup, before, after uint64) error {
	bucket, err := location.Open(ctx, &location.Location{Type: location.TypeFile, Bucket: d.location()}, openers, nil)
	if err != nil {
		return err
	}
	defer bucket.Close() //nolint:errcheck // nothing was written
	info, err := bucket.Stat(ctx, b.artifacts["dump"].KeyValue["path"])
	if err != nil {
		return err
	}
	if b.bytes = info.Size; b.bytes != dumpSize(b.records) {
		return fmt.Errorf("a dump of %d records has %d bytes, the location holds %d", b.records, dumpSize(b.records), b.bytes)
	}
	if before > b.records || b.records > after {
		return fmt.Errorf("the snapshot has %d records; %d were there before it and %d after it", b.records, before, after)
	}
	d.report.say("   The snapshot holds %d records; %d more were written meanwhile.", b.records, after-b.records)
	d.report.say("   The dump went from the database straight to the location and was read back:")
	d.report.say("   SHA-256 %s", info.SHA256)
	d.fact("written", "%d records acknowledged, %d of them before the snapshot", after, b.records)
	d.fact("backup", "%d records, %d bytes (%s)", b.records, b.bytes, size(b.bytes))
	d.fact("location", "file, %s", d.location())
	return nil
}

func (d *demo) destroy(ctx context.Context) error {
	d.report.say("\n3. Destroy the data")
	count, err := d.number(ctx, "wipe")
	if err != nil {
		return err
	}
	left, err := d.number(ctx, "count")
	if err != nil {
		return err
	}
	if left != 0 {
		return fmt.Errorf("%d records are still there", left)
	}
	d.report.say("   %d records wiped, none left.", count)
	return nil
}

func (d *demo) restore(ctx context.Context, b *backup) error {
	d.report.say("\n4. Restore")
	if _, err := d.run(ctx, "restore", nil, b.artifacts); err != nil {
		return err
	}
	d.report.say("   The whole dump arrived, and was right, before the first record was replaced.")
	d.report.say("\n5. Compare every record")
	began := time.Now()
	count, err := d.compare(ctx)
	if err != nil {
		return err
	}
	if count != b.records {
		return fmt.Errorf("the snapshot had %d records, the database has %d", b.records, count)
	}
	bytes, since := int64(count)*recordSize, time.Since(began)
	d.report.say("   %-24s %8s%s", fmt.Sprintf("%d records", count), took(since), amount(bytes, since))
	d.report.say("   Record by record, byte by byte: none missing, none corrupt, none too many.")
	d.fact("verified", "%d of %d records are what was written, byte by byte", count, b.records)
	return nil
}

func (d *demo) remove(ctx context.Context, b *backup) error {
	d.report.say("\n6. Delete the backup")
	if _, err := d.run(ctx, "delete", nil, b.artifacts); err != nil {
		return err
	}
	if err := d.nothingStored(); err != nil {
		return err
	}
	d.report.say("   The location is empty: there is no file in its folder.")
	d.fact("left", "0 files in the location after delete")
	return nil
}

// nothingStored looks at the folder itself, not through Davit.
func (d *demo) nothingStored() error {
	var left []string
	err := filepath.WalkDir(d.location(), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			left = append(left, path)
		}
		return err
	})
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("the location still holds %q", left)
	}
	return err
}
