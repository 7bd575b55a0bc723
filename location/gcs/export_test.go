package gcs

import (
	"context"
	"time"

	"github.com/googleapis/gax-go/v2"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/location"
)

// Attempts of a request.
const Attempts = attempts

// OpenFast is Open without long pauses between tries.
func OpenFast(ctx context.Context, loc *location.Location) (*blob.Bucket, error) {
	return open(ctx, loc, gax.Backoff{Initial: time.Millisecond, Max: time.Millisecond, Multiplier: 1})
}
