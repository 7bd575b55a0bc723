package s3

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// identity is the name of the metadata that says which write made an object.
const identity = "davit-write"

// temporary is where objects are that become parts of another; its first name is reserved by the package location.
const temporary = ".davit/parts"

// newID is random.
func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// temporaryKey is a new one below the location's prefix.
func (b *bucket) temporaryKey() string { return path.Join(b.prefix, temporary, newID()) }

// escapeKey is that of s3blob, which reads what is written here: control characters and the slash of "../" become __0x…__.
func escapeKey(key string) string {
	var out strings.Builder
	for i := 0; i < len(key); i++ {
		c := key[i]
		if c < ' ' || c == '/' && i > 1 && key[i-1] == '.' && key[i-2] == '.' {
			fmt.Fprintf(&out, "__%#x__", c)
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}

// escapeMetadata is that of s3blob.
func escapeMetadata(given map[string]string) map[string]string {
	out := make(map[string]string, len(given)+1)
	signs := strings.NewReplacer("@", "__0x40__", ":", "__0x3a__", "=", "__0x3d__")
	for k, v := range given {
		out[signs.Replace(url.PathEscape(k))] = url.PathEscape(v)
	}
	return out
}
