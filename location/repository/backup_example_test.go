package repository_test

import (
	"context"
	"fmt"
	"os"

	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository"
)

// A backup of a folder, which is stored as if it were in another place.
func ExampleRepository_Backup() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(dir+"/table", []byte("rows"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	r, err := repository.Init(ctx, location.New(memblob.OpenBucket(nil), nil), "a password", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	src, err := repository.NewLocalSource(&repository.LocalOptions{As: []string{"/var/lib/data"}}, dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := r.Backup(ctx, src, &repository.BackupOptions{Tags: []string{"nightly"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Paths, s.Tags, s.Summary.FilesNew, "new file of", s.Summary.TotalBytes, "bytes")
	// Output: [/var/lib/data] [nightly] 1 new file of 4 bytes
}
