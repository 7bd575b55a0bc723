//go:build e2e

package gcs_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/storetest"
	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/gcs"
)

// store is fake-gcs-server, which ignores conditions on deletes, asks for no credential and keeps no object retention.
var store = storetest.Store{
	Open: gcs.Open,
	Place: func(t *testing.T) *location.Location {
		s := testserver.GCS(t)
		return &location.Location{Type: location.TypeGCS, Bucket: s.GCSBucket(t), Endpoint: s.Endpoint}
	},
	Commits: func(r *http.Request) bool {
		return r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/upload/")
	},
	CommitsLarge: func(r *http.Request) bool { // the last chunk
		size := r.Header.Get("Content-Range")
		return size != "" && !strings.HasSuffix(size, "/*")
	},
}

func TestStore(t *testing.T) { store.Run(t) }

// The server keeps what it is told of a retention, which is all that can be seen of it there.
func TestRetention(t *testing.T) {
	loc := store.NewPlace(t)
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	for mode, compliance := range map[string]bool{"Locked": true, "Unlocked": false} {
		_, err := store.Bucket(t, loc).Write(t.Context(), mode, strings.NewReader("a"), &location.WriteOptions{
			Retention: location.Retention{Until: until, Compliance: compliance},
		})
		require.NoError(t, err)
		a, err := store.Driver(t, loc).Attributes(t.Context(), "some/prefix/"+mode)
		require.NoError(t, err)
		var got storage.ObjectAttrs
		require.True(t, a.As(&got))
		require.Equal(t, mode, got.Retention.Mode)
		require.True(t, until.Equal(got.Retention.RetainUntil))
	}
}
