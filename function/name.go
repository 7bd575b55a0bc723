package function

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

const (
	slugMax   = 20
	suffixMax = 20
	// hashMax makes the longest name 63 characters: davit-<20>-<15>-<20>. It leaves 75 bits of the hash.
	hashMax = 15
)

var nameEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// name is davit-<readable part of id>-<hash of id and suffix>[-<readable part of suffix>]. The hash covers the whole
// suffix, so that suffixes whose kept parts are equal still give different names.
func name(id, suffix string) string {
	sum := sha256.Sum256([]byte(id))
	if suffix != "" {
		sum = sha256.Sum256(append(sum[:], suffix...))
	}
	parts := []string{"davit", label(id, slugMax), nameEncoding.EncodeToString(sum[:])[:hashMax], label(suffix, suffixMax)}
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "-")
}

// label keeps lower-case ASCII letters and digits of s, turns every run of other characters into one hyphen and ends after
// limit characters. It never begins or ends with a hyphen and may be empty.
func label(s string, limit int) string {
	var b strings.Builder
	gap := false
	for _, r := range s {
		switch {
		case r >= 'A' && r <= 'Z':
			r += 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
		default:
			gap = b.Len() > 0
			continue
		}
		need := 1
		if gap {
			need = 2
		}
		if b.Len()+need > limit {
			break
		}
		if gap {
			b.WriteByte('-')
			gap = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
