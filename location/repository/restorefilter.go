package repository

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// filter chooses entries by their paths.
type filter struct {
	include, exclude []pattern
}

// pattern is a path of names, in which "**" stands for any number of names.
type pattern []string

func newFilter(include, exclude []string) (*filter, error) {
	f := &filter{}
	for _, p := range include {
		parsed, err := parsePattern(p)
		if err != nil {
			return nil, err
		}
		f.include = append(f.include, parsed)
	}
	for _, p := range exclude {
		parsed, err := parsePattern(p)
		if err != nil {
			return nil, err
		}
		f.exclude = append(f.exclude, parsed)
	}
	return f, nil
}

func parsePattern(text string) (pattern, error) {
	if _, err := path.Match(text, ""); err != nil || strings.Trim(text, "/") == "" {
		return nil, fmt.Errorf("pattern %q cannot be read: %w", text, path.ErrBadPattern)
	}
	var p pattern
	if !strings.HasPrefix(text, "/") {
		p = append(p, "**")
	}
	for name := range strings.SplitSeq(text, "/") {
		// Slashes in brackets would be split: the pieces are looked at on their own.
		if _, err := path.Match(name, ""); err != nil {
			return nil, fmt.Errorf("pattern %q cannot be read: %w", text, err)
		}
		if name != "" && (name != "**" || len(p) == 0 || p[len(p)-1] != "**") {
			p = append(p, name)
		}
	}
	return p, nil
}

// matches tells whether the pattern is of this path.
func (p pattern) matches(names []string) bool {
	// reached[i] is whether the first i pieces of the pattern match the names so far.
	reached := make([]bool, len(p)+1)
	reached[0] = true
	p.skip(reached)
	for _, name := range names {
		for i := len(p); i > 0; i-- {
			if p[i-1] == "**" {
				reached[i] = reached[i] || reached[i-1]
				continue
			}
			reached[i] = reached[i-1] && glob(p[i-1], name)
		}
		reached[0] = false
		p.skip(reached)
		if !slices.Contains(reached, true) {
			return false
		}
	}
	return reached[len(p)]
}

// skip lets each "**" stand for no name.
func (p pattern) skip(reached []bool) {
	for i, piece := range p {
		if piece == "**" && reached[i] {
			reached[i+1] = true
		}
	}
}

// leads tells whether the pattern may match something below this path.
func (p pattern) leads(names []string) bool {
	for i, piece := range p {
		if piece == "**" || i == len(names) {
			return true
		}
		if !glob(piece, names[i]) {
			return false
		}
	}
	return false
}

func glob(piece, name string) bool {
	ok, err := path.Match(piece, name)
	return ok && err == nil
}

// all tells whether nothing is filtered.
func (f *filter) all() bool { return len(f.include)+len(f.exclude) == 0 }

// choose tells whether the entry is wanted, and, for a folder, whether something below it may be. Covered is whether a folder above it was wanted as a whole.
func (f *filter) choose(names []string, covered bool) (wanted, below bool) {
	for _, p := range f.exclude {
		if p.matches(names) {
			return false, false
		}
	}
	if covered || len(f.include) == 0 {
		return true, true
	}
	for _, p := range f.include {
		if p.matches(names) {
			return true, true
		}
		below = below || p.leads(names)
	}
	return false, below
}
