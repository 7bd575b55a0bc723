package function

import (
	"fmt"
	"strings"
)

// ExactlyOne is a rule for Options.Check: of the named arguments, one must have a value. It reports only what no rendering can
// mend: none is given, or two have values that are not empty whatever the templates in them become.
func ExactlyOne(args map[string]any, names ...string) []Problem {
	given, certain := 0, []string{}
	for _, name := range names {
		v := args[name]
		if !mayBeSet(v) {
			continue
		}
		given++
		if text, ok := v.(string); !ok || !isTemplate(text) {
			certain = append(certain, name)
		}
	}
	switch {
	case given == 0:
		return []Problem{{Fault: FaultMissing, Message: fmt.Sprintf("one of %s is required", strings.Join(names, " and "))}}
	case len(certain) > 1:
		return []Problem{{Path: certain[1], Fault: FaultValue, Message: fmt.Sprintf("only one of %s may be given", strings.Join(names, " and "))}}
	}
	return nil
}

// RequireWith is a rule for Options.Check: where holds is true, the named arguments must have a value. Why completes the
// message "argument is required …".
func RequireWith(args map[string]any, holds bool, why string, names ...string) []Problem {
	if !holds {
		return nil
	}
	var problems []Problem
	for _, name := range names {
		if !mayBeSet(args[name]) {
			problems = append(problems, Problem{Path: name, Fault: FaultMissing, Message: "argument is required " + why})
		}
	}
	return problems
}

// mayBeSet is false for absent values, null, and empty texts, lists and maps.
func mayBeSet(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	default:
		return true
	}
}
