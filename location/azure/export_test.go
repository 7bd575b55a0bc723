package azure

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/location"
)

// OpenLowered is Open with smaller buffers and fewer blocks.
func OpenLowered(ctx context.Context, loc *location.Location, buffer, buffers, narrow, most int) (*blob.Bucket, error) {
	return open(ctx, loc, limits{buffer, buffers, narrow, most}, retries)
}

// OpenFast is Open without long pauses between tries.
func OpenFast(ctx context.Context, loc *location.Location) (*blob.Bucket, error) {
	return open(ctx, loc, defaults, policy.RetryOptions{MaxRetries: retries.MaxRetries, RetryDelay: time.Millisecond, MaxRetryDelay: time.Millisecond, ShouldRetry: mayPass})
}
