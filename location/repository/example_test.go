package repository_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository"
)

// A dump is a stream: it becomes one file of a snapshot, and what the next dump has in common with it is stored once.
func ExampleRepository_BackupStream() {
	ctx := context.Background()
	bucket := location.New(memblob.OpenBucket(nil), nil) // for S3 and others: location.Open with the openers of location/all
	r, err := repository.Init(ctx, bucket, "the password", nil)
	if err != nil {
		log.Fatal(err)
	}
	s, err := r.BackupStream(ctx, "shop.sql", strings.NewReader("INSERT INTO orders VALUES (1);\n"), &repository.BackupOptions{Host: "db-0"})
	if err != nil {
		log.Fatal(err)
	}
	if err := r.Dump(ctx, s.ID, "/shop.sql", os.Stdout); err != nil {
		log.Fatal(err)
	}
	snapshots, err := r.Snapshots(ctx, &repository.Filter{Hosts: []string{"db-0"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(snapshots), snapshots[0].Paths)
	// Output:
	// INSERT INTO orders VALUES (1);
	// 1 [/shop.sql]
}

// Snapshots are forgotten by a policy; prune gives the space back.
func ExampleRepository_Forget() {
	ctx := context.Background()
	bucket := location.New(memblob.OpenBucket(nil), nil)
	r, err := repository.Init(ctx, bucket, "the password", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, text := range []string{"monday", "tuesday", "wednesday"} {
		if _, err := r.BackupStream(ctx, "dump", strings.NewReader(text), nil); err != nil {
			log.Fatal(err)
		}
	}
	all, err := r.Snapshots(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	policy := &repository.KeepPolicy{Last: 1}
	for _, k := range policy.Apply(all) {
		if len(k.Why) == 0 {
			if err := r.Forget(ctx, k.Snapshot.ID); err != nil {
				log.Fatal(err)
			}
		}
	}
	sum, err := r.Prune(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum.Snapshots, "snapshot left; packs were removed:", sum.PacksRemoved > 0)
	// Output: 1 snapshot left; packs were removed: true
}
