package azure

import (
	"net/url"
	"strings"

	"github.com/davit-project/davit/internal/wrapblob"
)

// identity is the name of the metadata that says which write made an object.
const identity = "davit_write"

// isIdentity recognises it; Azure does not keep the case of names.
func isIdentity(name string) bool { return strings.EqualFold(name, identity) }

// keyOf is a key as azureblob must be given it. azureblob writes what Azure does not take as __0x…__, and reads all such texts back as characters, also those that
// stood in the key from the beginning; these are therefore written in another way. Names that others have given, and that look so, are listed as azureblob reads
// them, and cannot be found by that.
func keyOf(key string) string { return strings.ReplaceAll(key, "__0x", "__0x5f___0x") }

// escapeKey is that of azureblob, which reads what is written here.
func escapeKey(key string) string {
	return wrapblob.Escape(key, func(runes []rune, i int) bool {
		c := runes[i]
		return c < ' ' || c == '\x7f' || strings.ContainsRune(`"#%?\`, c) || c == '/' && i == len(key)-1
	})
}

// escapeMetadata is that of azureblob: names become identifiers, values are escaped as in URLs.
func escapeMetadata(given map[string]string) map[string]*string {
	out := make(map[string]*string, len(given)+1)
	for k, v := range given {
		name := wrapblob.Escape(k, func(runes []rune, i int) bool {
			c := runes[i]
			letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || i > 0 && '0' <= c && c <= '9'
			return !letter
		})
		value := url.PathEscape(v)
		out[name] = &value
	}
	return out
}
