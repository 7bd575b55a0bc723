// Command repository backs a folder up, twice, and restores it: what an operator or a backup tool does with volumes. The repository is in restic's format, in a folder
// here; with another opener and another location it is in S3, GCS or Azure.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
	"github.com/davit-project/davit/location/repository"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "davit-example-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	data, restored := filepath.Join(dir, "data"), filepath.Join(dir, "restored")
	if err := write(data, strings.Repeat("a page of a database\n", 100_000)); err != nil {
		return err
	}

	loc := &location.Location{Type: location.TypeFile, Bucket: filepath.Join(dir, "bucket")}
	bucket, err := location.Open(ctx, loc, map[string]location.Opener{location.TypeFile: file.Open}, nil)
	if err != nil {
		return err
	}
	defer func() { _ = bucket.Close() }()
	r, err := repository.Init(ctx, bucket, "a password that is kept somewhere else", nil)
	if err != nil {
		return err
	}

	source, err := repository.NewLocalSource(nil, data)
	if err != nil {
		return err
	}
	first, err := r.Backup(ctx, source, &repository.BackupOptions{Tags: []string{"before"}})
	if err != nil {
		return err
	}
	second, err := r.Backup(ctx, source, &repository.BackupOptions{Tags: []string{"after"}})
	if err != nil {
		return err
	}
	fmt.Println("the first backup has read", first.Summary.TotalBytes, "bytes; of the second,", second.Summary.FilesUnmodified, "file of", second.Summary.TotalFiles, "was not read again")

	if _, err := r.Restore(ctx, "latest", restored, &repository.RestoreOptions{Path: data}); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(restored, "pages"))
	if err != nil {
		return err
	}
	report, err := r.Check(ctx, &repository.CheckOptions{ReadData: "all"})
	if err != nil {
		return err
	}
	fmt.Println("restored", len(text), "bytes; the check of all data found", report.Damages, "damages")
	return nil
}

func write(dir, text string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "pages"), []byte(text), 0o600)
}
