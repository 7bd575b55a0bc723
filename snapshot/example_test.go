package snapshot_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

// A snapshot of a volume. In a cluster the driver is that of package snapshot/csi.
func ExampleSnapshotter_Create() {
	ctx := context.Background()
	storage := memsnap.New(nil)
	storage.AddVolume(snapshot.Ref{Namespace: "shop", Name: "data"}, "orders")

	snapshots := snapshot.New(storage, nil)
	st, err := snapshots.Create(ctx, snapshot.Request{
		Ref:    snapshot.Ref{Namespace: "shop", Name: "data-monday"},
		Volume: "data",
		Token:  "run-1",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(st.Ref, "of", st.Volume, "ready:", st.Ready, "needs:", st.RestoreSize)

	volume, err := snapshots.Restore(ctx, snapshot.RestoreRequest{
		Ref:      snapshot.Ref{Namespace: "shop", Name: "data-again"},
		Snapshot: st.Name,
		Size:     st.RestoreSize,
		Token:    "run-2",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(volume.Ref, "bound:", volume.Bound)
	// Output:
	// shop/data-monday of data ready: true needs: 1Gi
	// shop/data-again bound: true
}

// Two volumes of one database, snapshotted while it is held.
func ExampleSnapshotter_CreateGroup() {
	ctx := context.Background()
	storage := memsnap.New(nil)
	group := snapshot.GroupRequest{}
	for _, volume := range []string{"tables", "log"} {
		storage.AddVolume(snapshot.Ref{Namespace: "shop", Name: volume}, "content of "+volume)
		group.Requests = append(group.Requests, snapshot.Request{
			Ref:    snapshot.Ref{Namespace: "shop", Name: volume + "-monday"},
			Volume: volume,
			Token:  "run-1",
		})
	}
	result, err := snapshot.New(storage, nil).CreateGroup(ctx, group, snapshot.Hooks{
		Quiesce:   func(context.Context) error { fmt.Println("freeze the file systems"); return nil },
		Unquiesce: func(context.Context) error { fmt.Println("thaw them"); return nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, st := range result.Snapshots {
		fmt.Println(st.Ref, "confirmed:", st.Confirmed)
	}
	fmt.Println("held for a moment:", result.Held > 0)
	// Output:
	// freeze the file systems
	// thaw them
	// shop/tables-monday confirmed: true
	// shop/log-monday confirmed: true
	// held for a moment: true
}

// A backup label that the database gives when it is let go on is kept before the snapshots count: without it they are of no use.
func ExampleSnapshotter_CreateGroup_label() {
	ctx := context.Background()
	storage := memsnap.New(nil)
	storage.AddVolume(snapshot.Ref{Namespace: "shop", Name: "data"}, "orders")
	var label string
	kept := map[string]string{} // a safe place

	_, err := snapshot.New(storage, nil).CreateGroup(ctx, snapshot.GroupRequest{
		Requests: []snapshot.Request{{Ref: snapshot.Ref{Namespace: "shop", Name: "data-monday"}, Volume: "data", Token: "run-1"}},
		Accept: func(context.Context) error {
			if label == "" {
				return errors.New("the database gave no label")
			}
			kept["run-1"] = label
			return nil
		},
	}, snapshot.Hooks{
		Quiesce:   func(context.Context) error { fmt.Println("SELECT pg_backup_start('davit')"); return nil },
		Unquiesce: func(context.Context) error { label = "START WAL LOCATION: 0/15"; return nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(kept["run-1"])
	// Output:
	// SELECT pg_backup_start('davit')
	// START WAL LOCATION: 0/15
}
