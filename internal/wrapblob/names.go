package wrapblob

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gocloud.dev/blob/driver"
)

// Names gives the objects of a page the names that they have in the store, and sorts them by these. gocloud's drivers read every text like __0x2f__ in a name as
// an escaped character, whoever wrote it, and so list objects under names by which they cannot be found. name is nil for what has none.
//
// It is for drivers that escape only what no key of a location has; then each key is one name, and each name is one key.
func Names(page *driver.ListPage, name func(*driver.ListObject) *string) {
	for _, o := range page.Objects {
		if n := name(o); n != nil {
			o.Key = *n
		}
	}
	slices.SortStableFunc(page.Objects, func(a, b *driver.ListObject) int { return cmp.Compare(a.Key, b.Key) })
}

// Escape writes characters as __0x…__, as gocloud's drivers do: those for which bad says so, and the slash of "../".
func Escape(text string, bad func(runes []rune, i int) bool) string {
	runes := []rune(text)
	var out strings.Builder
	for i, c := range runes {
		if up := c == '/' && i > 1 && runes[i-1] == '.' && runes[i-2] == '.'; up || bad(runes, i) {
			fmt.Fprintf(&out, "__%#x__", c)
			continue
		}
		out.WriteRune(c)
	}
	return out.String()
}
