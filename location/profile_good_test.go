package location_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
)

// TestGoodProfiles checks testdata/profiles/good.txtar: profiles of every kind, each with what is shown of it.
func TestGoodProfiles(t *testing.T) {
	const file = "testdata/profiles/good.txtar"
	archive, err := txtar.ParseFile(file)
	require.NoError(t, err)
	quoted := strconv.Quote(keyFile(t, nil))
	for i := 0; i < len(archive.Files); i += 2 {
		name, text, golden := archive.Files[i].Name, string(archive.Files[i].Data), &archive.Files[i+1]
		require.Equal(t, name+".shown", golden.Name)
		t.Run(name, func(t *testing.T) {
			loc, err := location.ParseProfile(encodeData(t, strings.ReplaceAll(text, `"KEYFILE"`, quoted)))
			require.NoError(t, err)
			requireRoundTrip(t, loc)
			got := fmt.Sprintf("%v\n%+v\n%v\n", loc, loc.Credential, resolved(t, loc))
			requireNoSecret(t, got, text)
			if *update {
				golden.Data = []byte(got)
			}
			require.Equal(t, string(golden.Data), got)
		})
	}
	if *update {
		require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o600))
	}
}

// resolved is the credential as the location's store takes it.
func resolved(t *testing.T, loc *location.Location) (c any) {
	t.Helper()
	var err error
	switch loc.Type {
	case location.TypeS3:
		c, err = loc.AWS()
	case location.TypeGCS:
		c, err = loc.Google()
	case location.TypeAzure:
		c, err = loc.Azure()
	default:
		c = "needs none"
	}
	require.NoError(t, err)
	return c
}
