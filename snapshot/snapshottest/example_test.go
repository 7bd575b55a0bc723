package snapshottest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
	"github.com/davit-project/davit/snapshot/snapshottest"
)

// The checks of a driver, on a volume made for them.
func ExampleRun() {
	storage := memsnap.New(nil)
	volume := snapshot.Ref{Namespace: "default", Name: "check"}
	storage.AddVolume(volume, "")
	err := snapshottest.Run(context.Background(), snapshottest.Harness{
		Driver:   storage,
		Volume:   volume,
		Write:    func(_ context.Context, content string) error { return storage.Write(volume, content) },
		Read:     func(_ context.Context, v snapshot.Ref) (string, error) { return storage.Read(v) },
		Interval: time.Millisecond,
	})
	fmt.Println(err)
	// Output: <nil>
}
