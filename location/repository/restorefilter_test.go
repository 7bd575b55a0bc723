package repository

import (
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		matches       bool
	}{
		{"a", "a", true}, {"a", "x/a", true}, {"a", "a/x", false}, {"/a", "x/a", false}, {"/a/*", "a/b", true}, {"/a/*", "a/b/c", false},
		{"a/b", "x/a/b", true}, {"/**/b", "b", true}, {"/**/b", "a/a/b", true}, {"/a/**", "a/b/c", true}, {"/a/**", "a", true}, {"/a/**/**/b", "a/b", true},
		{"*.txt", "a/b.txt", true}, {"[ab]", "b", true}, {"/**", "x", true},
	} {
		p, err := parsePattern(c.pattern)
		require.NoError(t, err)
		require.Equal(t, c.matches, p.matches(strings.Split(c.path, "/")), "%s %s", c.pattern, c.path)
	}
	for _, bad := range []string{"", "/", "[", "a[/b]", `\`} {
		_, err := parsePattern(bad)
		require.ErrorIs(t, err, path.ErrBadPattern, bad)
	}
}

// FuzzPattern compares the matcher with a plain one, and what leads somewhere with what matches there.
func FuzzPattern(f *testing.F) {
	f.Add("a/**/b*", "a/x/bc")
	f.Add("/**/**/[a-c]", "x/b")
	f.Fuzz(func(t *testing.T, text, at string) {
		p, err := parsePattern(text)
		names := strings.Split(at, "/")
		if err != nil || len(p) > 8 || len(names) > 8 {
			return
		}
		got := p.matches(names)
		if got != plainMatch(p, names) {
			t.Fatalf("%q and %q: %v", text, at, got)
		}
		for n := range names {
			if got && !p.leads(names[:n]) {
				t.Fatalf("%q does not lead through %q", text, names[:n])
			}
		}
	})
}

func plainMatch(p pattern, names []string) bool {
	if len(p) == 0 {
		return len(names) == 0
	}
	if p[0] == "**" {
		return plainMatch(p[1:], names) || len(names) > 0 && plainMatch(p, names[1:])
	}
	return len(names) > 0 && glob(p[0], names[0]) && plainMatch(p[1:], names[1:])
}
