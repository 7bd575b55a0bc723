package execstream

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A trailer that can be read holds nothing but what the protocol knows, each field once.
func FuzzTrailer(f *testing.F) {
	f.Add(" code=0 tool=0 tool=0 sum=00")
	f.Add(" code=137 rest=1 length=18446744073709551615 damaged=1")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseTrailer(text)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		require.GreaterOrEqual(t, parsed.length, int64(-1))
		require.LessOrEqual(t, parsed.code, 255)
		require.GreaterOrEqual(t, parsed.code, 0)
		if !parsed.unable() {
			require.Len(t, parsed.sum, sumLength)
			require.Zero(t, parsed.tool)
		}
	})
}

func TestExitCodesOfShells(t *testing.T) {
	for text, want := range map[string]int{"code=0": 0, "code=3": 3, "code=137": 137, "code=265": 137, "code=393": 137} {
		parsed, err := parseTrailer(text)
		require.NoError(t, err)
		require.Equal(t, want, parsed.code)
	}
}
