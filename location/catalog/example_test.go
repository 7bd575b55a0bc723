package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"time"

	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/catalog"
)

// A manifest is stored beside the data and found again with nothing but the location.
func Example() {
	ctx := context.Background()
	b := location.New(memblob.OpenBucket(nil), nil)
	defer func() { _ = b.Close() }()
	m := &catalog.Manifest{
		Run: "backup-1x2y", Action: "backup", Started: time.Date(2026, 11, 21, 13, 5, 6, 0, time.UTC),
		Subject:   catalog.Object{Kind: "StatefulSet", Namespace: "shop", Name: "db"},
		Artifacts: map[string]catalog.Artifact{"dump": {KeyValue: map[string]string{"path": "db/1.tar"}}},
		Blueprint: catalog.Blueprint{Name: "notes", Document: json.RawMessage(`{"kind":"Blueprint"}`)},
	}
	if err := catalog.Save(ctx, b, m); err != nil {
		log.Fatal(err)
	}
	entry, err := catalog.Find(ctx, b, "backup-")
	if err != nil {
		log.Fatal(err)
	}
	found, err := catalog.Load(ctx, b, entry.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(entry.ID, found.Artifacts["dump"].KeyValue["path"])
	// Output: 20261121T130506Z-backup-1x2y-0 db/1.tar
}
