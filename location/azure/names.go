package azure

import (
	"fmt"
	"net/url"
	"strings"
)

// identity is the name of the metadata that says which write made an object.
const identity = "davit_write"

// isIdentity recognises it; Azure does not keep the case of names.
func isIdentity(name string) bool { return strings.EqualFold(name, identity) }

// escapeKey is that of azureblob, which reads what is written here: what Azure does not take becomes __0x…__.
func escapeKey(key string) string {
	runes := []rune(key)
	var out strings.Builder
	for i, c := range runes {
		up := c == '/' && i > 1 && runes[i-1] == '.' && runes[i-2] == '.'
		if c < ' ' || c == '\x7f' || strings.ContainsRune(`"#%?\`, c) || up || c == '/' && i == len(key)-1 {
			fmt.Fprintf(&out, "__%#x__", c)
			continue
		}
		out.WriteRune(c)
	}
	return out.String()
}

// escapeMetadata is that of azureblob: names become identifiers, values are escaped as in URLs.
func escapeMetadata(given map[string]string) map[string]*string {
	out := make(map[string]*string, len(given)+1)
	for k, v := range given {
		var name strings.Builder
		for i, c := range []rune(k) {
			letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || i > 0 && '0' <= c && c <= '9'
			if letter {
				name.WriteRune(c)
			} else {
				fmt.Fprintf(&name, "__%#x__", c)
			}
		}
		value := url.PathEscape(v)
		out[name.String()] = &value
	}
	return out
}
