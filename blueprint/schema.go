package blueprint

import "github.com/davit-project/davit/function"

// JSONSchema returns the JSON Schema (draft 2020-12) of blueprints with the arguments of every function, for editors.
func JSONSchema(reg *function.Registry) ([]byte, error) { return nil, nil }
