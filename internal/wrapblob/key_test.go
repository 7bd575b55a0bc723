package wrapblob_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/wrapblob"
)

func TestKey(t *testing.T) {
	for key, want := range map[string]string{
		"a/b": "a/b", "": "", "__": "__", "a__0": "a__0",
		"__0x2f__":   "__0x5f___0x2f__", // read back: _ and _0x2f__
		"___0x2f___": "___0x5f___0x2f___",
	} {
		require.Equal(t, want, wrapblob.Key(key))
	}
}
