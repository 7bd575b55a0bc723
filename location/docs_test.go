package location_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
)

// TestDocsNameEverything holds the page for users to the keys, fields and parameters that there are.
func TestDocsNameEverything(t *testing.T) {
	page, err := os.ReadFile("../docs/locations.md")
	require.NoError(t, err)
	var names []string
	listed := func(err error, mark string) {
		require.Error(t, err)
		_, list, ok := strings.Cut(err.Error(), mark)
		require.True(t, ok, err.Error())
		names = append(names, strings.Split(list, ", ")...)
	}
	for kind, secretType := range map[string]string{location.TypeS3: typeAWS, location.TypeGCS: typeGCP, location.TypeAzure: typeAzure} {
		names = append(names, secretType)
		listed((&location.Location{Type: kind, Bucket: "b", Credential: secret(secretType, "x", "y")}).Validate(), "it may have ")
	}
	for _, url := range []string{"s3://b?x=y", "gs://b?x=y", "azblob://c?x=y", "file:///f?x=y"} {
		_, err := location.ParseURL(url)
		listed(err, "want only: ")
	}
	text, err := (&location.Location{Type: location.TypeS3, Bucket: "b", Proxy: "http://p", CABundle: []byte(certificate(t)), VirtualHost: true}).Profile()
	require.NoError(t, err)
	var profile struct{ Location map[string]any }
	require.NoError(t, json.Unmarshal(text, &profile))
	for name := range profile.Location {
		names = append(names, "location."+name)
	}
	names = append(names, location.AzureEnvironments()...)
	require.Greater(t, len(names), 30)
	for _, name := range names {
		require.Contains(t, string(page), name)
	}
}
