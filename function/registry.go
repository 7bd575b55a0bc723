package function

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Errors of Registry.Lookup.
var (
	// ErrUnknown means that no function has this name.
	ErrUnknown = errors.New("unknown function")
	// ErrVersion means that the version is no semantic version, or that the function has neither it nor the default one.
	ErrVersion = errors.New("unknown version of function")
)

// Registry is an immutable set of functions. It is safe for concurrent use.
type Registry struct {
	// funcs holds the versions of each name in ascending order.
	funcs map[string][]Func
}

// NewRegistry makes a registry. All faults of all functions, and names given twice in one version, are reported, joined.
func NewRegistry(funcs ...Func) (*Registry, error) { return (&Registry{}).With(funcs...) }

// With returns a copy that has these functions too; one of a name and version that is there already replaces it.
func (r *Registry) With(funcs ...Func) (*Registry, error) {
	all := map[string][]Func{}
	if r != nil {
		all = maps.Clone(r.funcs)
		if all == nil {
			all = map[string][]Func{}
		}
	}
	type key struct{ name, version string }
	seen := map[key]bool{}
	var faults []error
	for _, f := range funcs {
		if f.version == nil || f.err != nil {
			faults = append(faults, f.fault())
			continue
		}
		k := key{f.Name(), f.version.String()}
		if seen[k] {
			faults = append(faults, fmt.Errorf("function %q: version %s is given twice", k.name, k.version))
			continue
		}
		seen[k] = true
		all[k.name] = withVersion(all[k.name], f)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &Registry{all}, nil
}

// Lookup returns the function in the preferred version, or else in the default one. An empty version prefers the default.
// Versions are compared as semantic versions: v1.0.0 is 1.0.0.
func (r *Registry) Lookup(name, version string) (Func, error) {
	if r == nil {
		return Func{}, fmt.Errorf("%w %q", ErrUnknown, name)
	}
	versions, ok := r.funcs[name]
	if !ok {
		names := slices.Sorted(maps.Keys(r.funcs))
		return Func{}, fmt.Errorf("%w %q%s", ErrUnknown, name, didYouMean(name, names))
	}
	wanted, err := parseVersion(version)
	if err != nil {
		return Func{}, fmt.Errorf("%w %q: %w", ErrVersion, name, err)
	}
	for _, v := range []string{wanted.String(), strings.TrimPrefix(DefaultVersion, "v")} {
		for _, f := range versions {
			if f.version.String() == v {
				return f, nil
			}
		}
	}
	var have []string
	for _, f := range versions {
		have = append(have, f.schema.Version)
	}
	return Func{}, fmt.Errorf("%w %q: neither %s nor %s is registered, only %s",
		ErrVersion, name, wanted.Original(), DefaultVersion, strings.Join(have, ", "))
}

// Schemas returns the schema of every function in every version, sorted by name and version.
func (r *Registry) Schemas() []Schema {
	if r == nil {
		return nil
	}
	var all []Schema
	for _, name := range slices.Sorted(maps.Keys(r.funcs)) {
		for _, f := range r.funcs[name] {
			all = append(all, f.schema)
		}
	}
	return all
}

// withVersion returns a copy of versions with f in its place.
func withVersion(versions []Func, f Func) []Func {
	kept := slices.DeleteFunc(slices.Clone(versions), func(g Func) bool { return g.version.String() == f.version.String() })
	kept = append(kept, f)
	slices.SortFunc(kept, func(a, b Func) int {
		return cmp.Or(a.version.Compare(b.version), cmp.Compare(a.version.String(), b.version.String()))
	})
	return kept
}

func parseVersion(text string) (*semver.Version, error) {
	if text == "" {
		text = DefaultVersion
	}
	v, err := semver.NewVersion(text)
	if err != nil {
		return nil, fmt.Errorf("version %s: %w", quote(text), err)
	}
	return v, nil
}
