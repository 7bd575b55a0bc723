package s3_test

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/s3"
)

// Opening makes no request: a host opens every location it knows and learns of faults when it uses one.
func ExampleOpen() {
	loc := &location.Location{
		Type: location.TypeS3, Bucket: "backups", Endpoint: "https://s3.example.org", Region: "eu-central-1",
		Credential: location.NewKeyPair("access-key", "secret-key"),
	}
	b, err := location.Open(context.Background(), loc, map[string]location.Opener{location.TypeS3: s3.Open}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = b.Close() }()
	fmt.Println(loc)
	// Output: s3Compliant location "backups", endpoint "https://s3.example.org", region "eu-central-1"
}

// More attempts suit a store that is often busy.
func ExampleNew() {
	loc := &location.Location{Type: location.TypeS3, Bucket: "a/b"}
	_, err := s3.New(context.Background(), loc, &s3.Options{Attempts: 20})
	fmt.Println(err)
	// Output: invalid profile: the bucket of the s3Compliant location is "a/b": write the bucket "a" and the prefix "b"
}
