package azure

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// However many tokens come and go, the profile's secrets and the last tokens stay out of errors, and memory is bounded.
func TestSecretsAreHidden(t *testing.T) {
	s := &secrets{}
	s.add("the-key", "the-client-secret")
	for i := range 1000 {
		s.add(fmt.Sprintf("token-%d-", i), "")
	}
	require.Len(t, s.last, mostSecrets)
	require.Equal(t, "[masked] [masked] [masked] token-0-", s.hide("the-key the-client-secret token-999- token-0-"))
}

// What is written is what azureblob reads back as the key.
func TestEscapes(t *testing.T) {
	require.Equal(t, "a/b c+ü&", escapeKey("a/b c+ü&"))
	require.Equal(t, "__0x22____0x23____0x25____0x3f____0x5c____0x7f____0xa__", escapeKey("\"#%?\\\x7f\n"))
	require.Equal(t, "a/..__0x2f__b__0x2f__", escapeKey("a/../b/"))
	got := escapeMetadata(map[string]string{"davit-codecs": "zstd, age/ü", "1a_": ""})
	require.Len(t, got, 2)
	require.Equal(t, "zstd%2C%20age%2F%C3%BC", *got["davit__0x2d__codecs"])
	require.Empty(t, *got["__0x31__a_"])
}

// Keys that look escaped stay apart from those that are.
func TestKeys(t *testing.T) {
	for key, want := range map[string]string{
		"a/b": "a/b", "": "", "__": "__", "a__0": "a__0",
		"__0x2f__":   "__0x5f___0x2f__", // read back: _ and _0x2f__
		"___0x2f___": "___0x5f___0x2f___",
	} {
		require.Equal(t, want, keyOf(key))
	}
}
