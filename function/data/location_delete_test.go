package data_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/location"
)

const profile = `{"Location":{"type":"s3Compliant","bucket":"mybucket","endpoint":"","prefix":"pre","region":""},` +
	`"Credential":{"Type":"keyPair","KeyPair":{"ID":"canary-id","Secret":"canary-secret"},"Secret":null,"KopiaServerSecret":null},"SkipSSLVerify":false}`

// store makes a bucket that is opened anew for every call, and returns what lists it.
func store(t *testing.T, keys ...string) (names func() []string, open func(context.Context, []byte) (*location.Bucket, error)) {
	t.Helper()
	dir := t.TempDir()
	folder := func() (*blob.Bucket, error) {
		return fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	}
	raw, err := folder()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, raw.Close()) })
	for _, k := range keys {
		require.NoError(t, raw.WriteAll(t.Context(), "pre/"+k, []byte(k), nil))
	}
	names = func() []string {
		var all []string
		for it := raw.List(nil); ; {
			o, err := it.Next(t.Context())
			if errors.Is(err, io.EOF) {
				return all
			}
			require.NoError(t, err)
			all = append(all, strings.TrimPrefix(o.Key, "pre/"))
		}
	}
	return names, func(_ context.Context, text []byte) (*location.Bucket, error) {
		loc, err := location.ParseProfile(text)
		if err != nil {
			return nil, err
		}
		raw, err := folder()
		if err != nil {
			return nil, err
		}
		return location.New(raw, &location.Options{Prefix: loc.Prefix}), nil
	}
}

func TestLocationDeleteIsAFunction(t *testing.T) {
	require.NoError(t, functiontest.Run(t.Context(), functiontest.Subject{
		New: func() functiontest.Function {
			_, open := store(t, "a/0", "a/1", "a/2")
			return data.LocationDelete(open)
		},
		Args:     func(n int) map[string]any { return map[string]any{"artifact": fmt.Sprintf("a/%d", n)} },
		Call:     func(call *function.Call) { call.Profile = function.NewSecret(profile) },
		Volatile: true, // a second call deletes nothing
	}))
}

func TestLocationDeletePaths(t *testing.T) {
	all := []string{"a/1/w", "a/1/x", "a/10", "2/x", "bucket/x"}
	tests := map[string]struct {
		artifact string
		left     []string
		err      string
	}{
		"a path":                 {artifact: "a/1", left: []string{"2/x", "a/10", "bucket/x"}},
		"slashes":                {artifact: "//a/1/", left: []string{"2/x", "a/10", "bucket/x"}},
		"the bucket in front":    {artifact: "mybucket/a/1", left: []string{"2/x", "a/10", "bucket/x"}},
		"a longer name":          {artifact: "mybucket2/x", left: []string{"2/x", "a/1/w", "a/1/x", "a/10", "bucket/x"}},
		"a URL":                  {artifact: "s3://mybucket/a/10", left: []string{"2/x", "a/1/w", "a/1/x", "bucket/x"}},
		"a URL elsewhere":        {artifact: "s3://other/a/10", err: "another bucket"},
		"nothing there":          {artifact: "nope", left: []string{"2/x", "a/1/w", "a/1/x", "a/10", "bucket/x"}},
		"the bucket alone":       {artifact: "mybucket/", err: "names the whole bucket"},
		"a slash":                {artifact: "/", err: "names the whole bucket"},
		"out of the prefix":      {artifact: "../other", err: "leads out of the location's prefix"},
		"dots after the bucket":  {artifact: "mybucket/../other", err: "leads out of the location's prefix"},
		"what the bucket keeps":  {artifact: ".davit", err: "reserved"},
		"a dot is the whole one": {artifact: ".", err: "it is empty"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			names, open := store(t, all...)
			call, _ := functiontest.NewCall("id")
			call.Profile = function.NewSecret(profile)
			out, err := data.LocationDelete(open).Exec(t.Context(), call, map[string]any{"artifact": tc.artifact})
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				require.True(t, function.IsPermanent(err))
				require.Len(t, names(), len(all))
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.left, names())
			require.EqualValues(t, len(all)-len(tc.left), out["deleted"])
		})
	}
}

func TestLocationDeleteProfiles(t *testing.T) {
	tests := map[string]struct {
		profile function.Secret
		err     string
	}{
		"none":    {function.Secret{}, "has no profile"},
		"null":    {function.NewSecret("null"), "it is null"},
		"kopia":   {function.NewSecret(strings.ReplaceAll(profile, "s3Compliant", "kopia")), "needs a running Kopia server"},
		"garbage": {function.NewSecret(`{"Location": canary-secret`), "not JSON"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, open := store(t)
			call, _ := functiontest.NewCall("id")
			call.Profile = tc.profile
			_, err := data.LocationDelete(open).Exec(t.Context(), call, map[string]any{"artifact": "a"})
			require.ErrorContains(t, err, tc.err)
			require.NotContains(t, err.Error(), "canary")
			require.True(t, function.IsPermanent(err))
		})
	}
}

func TestLocationDeleteFailsForNow(t *testing.T) {
	unreachable := errors.New("unreachable")
	call, _ := functiontest.NewCall("id")
	call.Profile = function.NewSecret(profile)
	_, err := data.LocationDelete(func(context.Context, []byte) (*location.Bucket, error) { return nil, unreachable }).
		Exec(t.Context(), call, map[string]any{"artifact": "a"})
	require.ErrorIs(t, err, unreachable)
	require.False(t, function.IsPermanent(err))
}
