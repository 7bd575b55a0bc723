package s3

import (
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"path"
	"strings"

	"github.com/davit-project/davit/internal/wrapblob"
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
	return wrapblob.Escape(key, func(runes []rune, i int) bool { return runes[i] < ' ' })
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
