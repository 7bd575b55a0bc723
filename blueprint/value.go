package blueprint

import (
	"math"
	"regexp"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// value reads anything: map[string]any, []any, string, bool, int64, float64 and nil.
func (r *reader) value(n *yaml.Node, path string, depth int) any {
	if depth > maxDepth {
		r.fault(n, "too-deep", "the document nests more than %d levels deep", maxDepth)
		return nil
	}
	switch kind := follow(n); kind.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for _, e := range r.mapping(n, path, "this") {
			if r.exhausted {
				break
			}
			out[e.key] = r.value(e.node, e.path, depth+1)
		}
		return out
	case yaml.SequenceNode:
		out := []any{}
		for i, c := range r.list(n, path, "this") {
			if r.exhausted {
				break
			}
			out = append(out, r.value(c, index(path, i), depth+1))
		}
		return out
	default:
		n, ok := r.enter(n, path)
		if !ok {
			return nil
		}
		return r.scalar(n)
	}
}

// integer is the form of whole numbers.
var integer = regexp.MustCompile(`^[-+]?(0[xob])?[0-9a-fA-F_]+$`)

// number is the form of decimal numbers.
var number = regexp.MustCompile(`^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$`)

// scalar reads a text, number, boolean or null.
func (r *reader) scalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!str", "!!timestamp", "!!merge":
		return n.Value
	case "!!null":
		return nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		if number.MatchString(n.Value) {
			r.fault(n, "number-range", "%s does not fit into 64 bits; put it in quotes", short(n.Value))
		} else {
			r.fault(n, "wrong-type", "%q is not a value of type %s", short(n.Value), n.ShortTag())
		}
		return nil
	}
	switch v := v.(type) {
	case int:
		return int64(v)
	case int64, bool:
		return v
	case string:
		if !utf8.ValidString(v) {
			r.fault(n, "wrong-type", "the value is not UTF-8 text")
		}
		return v
	case uint64:
		r.fault(n, "number-range", "%s does not fit into 64 bits; put it in quotes", short(n.Value))
		return nil
	case float64:
		return r.float(n, v)
	}
	return n.Value // a tag that has been reported
}

func (r *reader) float(n *yaml.Node, v float64) any {
	switch {
	case integer.MatchString(n.Value):
		r.fault(n, "number-range", "%s does not fit into 64 bits; put it in quotes", short(n.Value))
	case math.IsNaN(v) || math.IsInf(v, 0):
		r.fault(n, "number-range", "%s is no finite number; put it in quotes", short(n.Value))
	default:
		return v
	}
	return nil
}

// short cuts a text for a message.
func short(s string) string {
	if utf8.RuneCountInString(s) > 60 {
		return string([]rune(s)[:60]) + "…"
	}
	return s
}
