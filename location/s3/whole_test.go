package s3

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
)

// What is known in full goes up in one request, however many parts it would have, and is not copied.
func TestWholeContent(t *testing.T) {
	f := newFake(t)
	o := location.New(open(t, f.at(), quick()), nil).Objects()
	data := content(t, 1, 3*(64<<10)+5)
	require.NoError(t, o.Put(t.Context(), "key", data, false))
	require.Equal(t, []string{"put"}, f.calls, "no part, and no reading back")
	got, err := o.ReadAll(t.Context(), "key", int64(len(data)))
	require.NoError(t, err)
	require.Equal(t, data, got)
	require.NoError(t, o.Put(t.Context(), "empty", nil, true))

	f.fault = on("put", flip)
	require.Error(t, o.Put(t.Context(), "damaged", data, false))
	_, err = o.Size(t.Context(), "damaged")
	require.ErrorIs(t, err, location.ErrNotFound)

}
