package codec_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/codec"
)

func Example() {
	ctx := context.Background()
	identity, err := age.GenerateX25519Identity() // or age-keygen
	if err != nil {
		panic(err)
	}
	raw := memblob.OpenBucket(nil)

	// The pod that backs up has the public key alone.
	seal, err := codec.Age(&codec.AgeOptions{Recipients: []string{identity.Recipient().String()}})
	if err != nil {
		panic(err)
	}
	writer := location.New(raw, &location.Options{Codecs: []location.Codec{codec.Zstd(), seal}})
	info, err := writer.Write(ctx, "db/dump", strings.NewReader("INSERT INTO items VALUES (1);\n"), nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(info.Codecs, info.Content)
	_, err = writer.Read(ctx, "db/dump", os.Stdout, nil)
	fmt.Println(err)

	// Whoever restores has the secret one.
	open, err := codec.Age(&codec.AgeOptions{Identities: []string{identity.String()}})
	if err != nil {
		panic(err)
	}
	reader := location.New(raw, &location.Options{Codecs: []location.Codec{codec.Zstd(), open}})
	if _, err = reader.Read(ctx, "db/dump", os.Stdout, nil); err != nil {
		panic(err)
	}
	// Output:
	// [zstd age] 30
	// the object cannot be decoded: object "db/dump" was written with age, and there is no key to read it: give one
	// INSERT INTO items VALUES (1);
}
