package location_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"

	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"

	"gocloud.dev/blob/memblob"
)

// endless is a store with so many objects that it makes up page by page.
type endless struct {
	wrapblob.Bucket
	objects int
	pages   int
}

func (d *endless) ListPaged(_ context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	d.pages++
	from, _ := strconv.Atoi(string(opts.PageToken))
	page := &driver.ListPage{}
	for i := from; i < min(from+1000, d.objects); i++ {
		page.Objects = append(page.Objects, &driver.ListObject{Key: fmt.Sprintf("%s%08d", opts.Prefix, i), Size: 1})
	}
	if next := from + 1000; next < d.objects {
		page.NextPageToken = []byte(strconv.Itoa(next))
	}
	return page, nil
}

// A million keys are listed in the memory of a page.
func TestListOfAMillionKeys(t *testing.T) {
	const all = 1_000_000
	d := &endless{Bucket: wrapblob.Bucket{B: memblob.OpenBucket(nil)}, objects: all}
	b := location.New(blob.NewBucket(d), nil)
	listed, most := 0, uint64(0)
	before := inUse()
	for _, err := range b.List(t.Context(), "backups") {
		if err != nil {
			require.NoError(t, err)
		}
		if listed++; listed%100_000 == 0 {
			most = max(most, inUse())
		}
	}
	require.Equal(t, all, listed)
	require.Equal(t, all/1000, d.pages)
	require.Less(t, most, before+memoryBound, "all that was listed would need some 200 MiB")
}

// inUse is what is left of the heap after a collection.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
