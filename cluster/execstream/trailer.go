package execstream

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxTrailer is more than any trailer has, in bytes.
const maxTrailer = 256

// sumLength is that of a SHA-256 in hex.
const sumLength = 64

// trailer is what the far end says after the stream; see the package comment.
type trailer struct {
	code          int
	sum           string
	length        int64 // -1 when it was not counted
	tool          int
	rest, damaged bool
	// seen holds the fields there were.
	seen []string
}

// unable tells that the far end could not do its work.
func (t *trailer) unable() bool { return t.tool != 0 || !t.has("code") || len(t.sum) != sumLength }

func (t *trailer) has(key string) bool { return slices.Contains(t.seen, key) }

// parseTrailer parses the fields behind the nonce.
func parseTrailer(text string) (trailer, error) {
	t := trailer{length: -1}
	for field := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(field, "=")
		if err := t.set(key, value); err != nil {
			return trailer{}, fmt.Errorf("the trailer of the stream cannot be read: field %.20q: %w", field, ErrCorrupt)
		}
		t.seen = append(t.seen, key)
	}
	return t, nil
}

func (t *trailer) set(key, value string) error {
	if t.has(key) && key != "tool" {
		return strconv.ErrSyntax
	}
	if key == "sum" {
		t.sum = value
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		return err
	}
	switch key {
	case "code":
		t.code = exitCode(n)
	case "length":
		t.length = int64(n) //nolint:gosec // 63 bits
	case "tool":
		t.tool = max(t.tool, exitCode(n))
	case "rest":
		t.rest = n != 0
	case "damaged":
		t.damaged = n != 0
	default:
		return strconv.ErrSyntax
	}
	return nil
}

// exitCode is what a shell's $? is worth: some have 256 or 384 and more for a signal.
func exitCode(n uint64) int {
	if n > 255 {
		return 128 | int(n&127) //nolint:gosec // 7 bits
	}
	return int(n) //nolint:gosec // 8 bits
}
