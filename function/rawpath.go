package function

import "strings"

// rawField finds the field a path begins with.
func rawField(fields []Field, path string) bool {
	for _, f := range fields {
		rest, ok := strings.CutPrefix(path, f.Name)
		if !ok || rest != "" && rest[0] != '.' && rest[0] != '[' {
			continue
		}
		if f.Raw || rawRest(f.Type, rest) {
			return true
		}
	}
	return false
}

// rawRest follows the rest of a path, which is empty or begins with a dot or a bracket.
func rawRest(t Type, rest string) bool {
	if rest == "" {
		return false
	}
	switch t.Kind {
	case Object:
		return rest[0] == '.' && rawField(t.Fields, rest[1:])
	case List:
		end := strings.IndexByte(rest, ']')
		return rest[0] == '[' && end > 0 && rawRest(*t.Elem, rest[end+1:])
	case Map:
		// A key may itself contain dots and brackets: try every place where it can end.
		for i := 1; i < len(rest) && rest[0] == '.' && hasRaw(*t.Elem); i++ {
			if (rest[i] == '.' || rest[i] == '[') && rawRest(*t.Elem, rest[i:]) {
				return true
			}
		}
	}
	return false
}

// hasRaw tells whether anything in a type is raw.
func hasRaw(t Type) bool {
	for _, f := range t.Fields {
		if f.Raw || hasRaw(f.Type) {
			return true
		}
	}
	return t.Elem != nil && hasRaw(*t.Elem)
}
