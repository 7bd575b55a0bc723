package function

import "errors"

// Errors of Registry.Lookup.
var (
	// ErrUnknown means that no function has this name.
	ErrUnknown = errors.New("unknown function")
	// ErrVersion means that the version is no semantic version, or that the function has neither it nor the default one.
	ErrVersion = errors.New("unknown version of function")
)

// Registry is an immutable set of functions.
type Registry struct {
	funcs map[string][]Func
}

// NewRegistry makes a registry. All faults of all functions, and names given twice in one version, are reported, joined.
func NewRegistry(funcs ...Func) (*Registry, error) { return &Registry{}, nil }

// With returns a copy that has these functions too; one of a name and version that is there already replaces it.
func (r *Registry) With(funcs ...Func) (*Registry, error) { return r, nil }

// Lookup returns the function in the preferred version, or else in the default one. An empty version prefers the default.
func (r *Registry) Lookup(name, version string) (Func, error) { return Func{}, ErrUnknown }

// Schemas returns the schema of every function in every version, sorted by name and version.
func (r *Registry) Schemas() []Schema { return nil }
