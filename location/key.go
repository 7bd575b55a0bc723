package location

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// reserved is the one name that no part of a key may have: what the bucket keeps for itself is below it.
	reserved = ".davit"
	records  = reserved + "/sum"
	claims   = reserved + "/claim"
	recorded = ".json"

	// maxKey is the longest key that every store takes, in bytes; the limit of S3.
	maxKey = 1024
)

// fullKey is the prefix and the key, cleaned as Kanister cleans them, but a key that would leave the prefix is an error.
func (b *Bucket) fullKey(key string) (string, error) {
	if b.err != nil {
		return "", b.err
	}
	clean, err := cleanKey(key)
	if err != nil {
		return "", err
	}
	if clean == "" {
		return "", fmt.Errorf("%w %q: it is empty", ErrKey, short(key))
	}
	if n := len(b.recordKey(clean)); n > maxKey {
		return "", fmt.Errorf("%w %q: it has %d bytes too many", ErrKey, short(key), n-maxKey)
	}
	return join(b.prefix, clean), nil
}

// fullPrefix is fullKey, but may be empty.
func (b *Bucket) fullPrefix(prefix string) (string, error) {
	if b.err != nil {
		return "", b.err
	}
	clean, err := cleanKey(prefix)
	if err != nil {
		return "", err
	}
	return join(b.prefix, clean), nil
}

// recordKey is where the record of the object is; key is without the bucket's prefix.
func (b *Bucket) recordKey(key string) string {
	return join(b.prefix, records+"/"+key+recorded)
}

// claimsOf is the folder of the records that stand beside that of the object, while it is not known which of several creates wins.
func (b *Bucket) claimsOf(full string) string { return join(b.prefix, claims+"/"+b.relative(full)) }

// relative takes the bucket's prefix off.
func (b *Bucket) relative(full string) string {
	if b.prefix == "" {
		return full
	}
	return strings.TrimPrefix(full, b.prefix+"/")
}

// cleanKey drops leading, trailing and double slashes and resolves dots. Empty stays empty.
func cleanKey(key string) (string, error) {
	if !utf8.ValidString(key) {
		return "", fmt.Errorf("%w %q: it is not UTF-8", ErrKey, short(key))
	}
	if strings.ContainsFunc(key, unicode.IsControl) {
		return "", fmt.Errorf("%w %q: it holds control characters", ErrKey, short(key))
	}
	clean := path.Clean(strings.TrimLeft(key, "/"))
	if clean == "." {
		return "", nil
	}
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("%w %q: it leads out of the location's prefix", ErrKey, short(key))
	}
	if isReserved(clean) {
		return "", fmt.Errorf("%w %q: the name %s is reserved", ErrKey, short(key), reserved)
	}
	return clean, nil
}

func cleanPrefix(prefix string) (string, error) { return cleanKey(prefix) }

func isReserved(key string) bool { return slices.Contains(strings.Split(key, "/"), reserved) }

func join(prefix, key string) string {
	if prefix == "" || key == "" {
		return prefix + key
	}
	return prefix + "/" + key
}
