package azure

import (
	"context"

	"gocloud.dev/blob"

	"github.com/davit-project/davit/location"
)

// OpenLowered is Open with smaller buffers and fewer blocks.
func OpenLowered(ctx context.Context, loc *location.Location, buffer, buffers, narrow, most int) (*blob.Bucket, error) {
	return open(ctx, loc, limits{buffer, buffers, narrow, most})
}
