package location_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"strings"

	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
)

func Example() {
	ctx := context.Background()
	b := location.New(memblob.OpenBucket(nil), &location.Options{Prefix: "site-a"})
	defer b.Close()

	info, err := b.Write(ctx, "db/dump.sql", strings.NewReader("CREATE TABLE t;"), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Key, info.Size, info.SHA256[:8])

	var restored bytes.Buffer
	if _, err := b.Read(ctx, "db/dump.sql", &restored, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(restored.String())

	deleted, err := b.Delete(ctx, "db")
	fmt.Println(deleted, err)
	// Output:
	// db/dump.sql 15 66df0f49
	// CREATE TABLE t;
	// 1 <nil>
}

func ExampleParseProfile() {
	profile := `{"Location":{"type":"s3Compliant","bucket":"backups","region":"eu-central-1"},
		"Credential":{"Type":"keyPair","KeyPair":{"ID":"id","Secret":"hush"}}}`
	loc, err := location.ParseProfile([]byte(profile))
	fmt.Println(loc, err)
	fmt.Println(loc.Credential)
	// Output:
	// s3Compliant location "backups", region "eu-central-1" <nil>
	// keyPair [masked]
}

// A location is tried before it is trusted.
func ExampleCheck() {
	findings, err := location.Check(context.Background(), location.New(memblob.OpenBucket(nil), nil))
	for _, f := range findings {
		fmt.Println(f.Name, f.Err == nil)
	}
	fmt.Println(err)
	// Output:
	// list true
	// put true
	// get true
	// delete true
	// overwrite true
	// conditional create true
	// multipart true
	// read after write true
	// clock true
	// <nil>
}
