// Command stream moves one object between a store and its standard input or output, in one of the ways that the benchmark of S3 streams compares. Each
// runs in a process of its own, so that the system can say what it cost.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/davit-project/davit/location"
	davits3 "github.com/davit-project/davit/location/s3"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "stream:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "peak", peak(), "KiB")
}

// peak is the most memory that this process had. What the system says of it afterwards counts the process that started it, too.
func peak() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return "unknown"
	}
	return fields[0]
}

// run takes the way from the arguments, and the place from the environment; the keys are where the SDK looks for them.
func run(ctx context.Context) error {
	if len(os.Args) != 3 {
		return fmt.Errorf("usage: stream davit-push|davit-pull|sdk-push|sdk-pull|sdk-pull-sha256 KEY")
	}
	way, key := os.Args[1], os.Args[2]
	endpoint, bucket := os.Getenv("STREAM_ENDPOINT"), os.Getenv("STREAM_BUCKET")
	switch way {
	case "davit-push", "davit-pull":
		loc := &location.Location{Type: location.TypeS3, Bucket: bucket, Endpoint: endpoint}
		b, err := location.Open(ctx, loc, map[string]location.Opener{location.TypeS3: davits3.Open}, nil)
		if err != nil {
			return err
		}
		if way == "davit-push" {
			_, err = b.Write(ctx, key, os.Stdin, nil)
			return err
		}
		_, err = b.Read(ctx, key, os.Stdout, nil)
		return err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &endpoint, true })
	switch way {
	case "sdk-push":
		manager := transfermanager.New(client, func(o *transfermanager.Options) { o.PartSizeBytes, o.Concurrency = 8<<20, 5 })
		_, err = manager.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: &bucket, Key: &key, Body: bufio.NewReader(os.Stdin)})
		return err
	case "sdk-pull":
		return pull(ctx, client, bucket, key, nil)
	case "sdk-pull-sha256":
		return pull(ctx, client, bucket, key, sha256.New())
	default:
		return fmt.Errorf("unknown way %q", way)
	}
}

// pull is the plainest way to get an object that the SDK has.
func pull(ctx context.Context, client *s3.Client, bucket, key string, h hash.Hash) error {
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String(key)})
	if err != nil {
		return err
	}
	defer func() { _ = out.Body.Close() }()
	var to io.Writer = os.Stdout
	if h != nil {
		to = io.MultiWriter(os.Stdout, h)
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{out.Body}, make([]byte, 1<<20))
	return err
}
