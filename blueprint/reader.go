package blueprint

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader turns the nodes of a file into documents and collects what is wrong with them.
type reader struct {
	file  string
	lines []string
	out   *File
	diags []Diagnostic
	// names of the blueprints so far, with their lines.
	names map[[2]string]int
	// base is the number of lines before the part that is being read.
	base int
	// positions of the current document, and what it may still use up.
	positions    map[string]Position
	values, text int
	exhausted    bool
}

// entry is a key of a map with its value.
type entry struct {
	key     string
	path    string
	keyNode *yaml.Node
	node    *yaml.Node
}

// at is the position of a node.
func (r *reader) at(n *yaml.Node) Position {
	p := Position{Line: n.Line + r.base, Column: n.Column}
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		p.TextLine = p.Line + 1
		p.Indent = r.indent(n.Value, p.TextLine)
	}
	return p
}

// indent is how far the source of a block scalar is indented more than its text.
func (r *reader) indent(text string, line int) int {
	for _, l := range strings.Split(text, "\n") {
		if line > len(r.lines) {
			break
		}
		source := r.lines[line-1]
		if strings.TrimSpace(l) != "" {
			return max(spaces(source)-spaces(l), 0)
		}
		line++
	}
	return 0
}

func spaces(s string) int { return len(s) - len(strings.TrimLeft(s, " ")) }

// enter follows an alias, remembers where the value at path stands, and says whether the document may go on: it has
// limits.
func (r *reader) enter(n *yaml.Node, path string) (*yaml.Node, bool) {
	n = follow(n)
	r.values--
	r.text -= len(n.Value) + len(path)
	if r.values < 0 || r.text < 0 {
		if !r.exhausted {
			r.exhausted = true
			r.report(r.at(n), Error, "too-large", "the document is too large once its aliases are expanded: at most %d values and %d bytes", maxValues, maxText)
		}
		return n, false
	}
	if !knownTags[n.ShortTag()] {
		r.fault(n, "wrong-type", "the tag %s is not one of JSON's types", short(n.Tag))
	}
	r.positions[path] = r.at(n)
	return n, true
}

// knownTags are those whose values JSON can hold.
var knownTags = map[string]bool{"!!str": true, "!!int": true, "!!float": true, "!!bool": true, "!!null": true, "!!map": true, "!!seq": true,
	"!!timestamp": true, "!!binary": true, "!!merge": true, "!": true, "": true}

// fault reports an error at a node.
func (r *reader) fault(n *yaml.Node, code, format string, args ...any) {
	r.report(r.at(n), Error, code, format, args...)
}

// kindOf says what a node is, for messages.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "null"
	case "!!bool":
		return "a boolean"
	case "!!int", "!!float":
		return "a number"
	}
	return "a text"
}

// isNull tells whether a value is absent: Kubernetes treats null as that.
func isNull(n *yaml.Node) bool {
	n = follow(n)
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// join is the path of a key in the map at path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// mapping returns the entries of a map, merge keys resolved. Null has none.
func (r *reader) mapping(n *yaml.Node, path, what string) []entry {
	n, ok := r.enter(n, path)
	if !ok || isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.fault(n, "wrong-type", "%s must be a map, this is %s", what, kindOf(n))
		return nil
	}
	entries := r.entries(n, path, 0)
	for _, e := range entries {
		r.positions[e.path+"[key]"] = r.at(e.keyNode)
	}
	return entries
}

// entries lists a map's own keys in order, and then those merged into it that it does not have itself.
func (r *reader) entries(n *yaml.Node, path string, depth int) []entry {
	var own, merged []entry
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := follow(n.Content[i]), n.Content[i+1]
		switch {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			merged = append(merged, r.merged(v, path, depth)...)
			continue
		case k.Kind != yaml.ScalarNode:
			r.fault(n.Content[i], "wrong-type", "a key must be a text, this is %s%s", kindOf(k), quotesHint(k))
			continue
		case seen[k.Value] != nil:
			r.fault(n.Content[i], "duplicate-key", "key %q stands twice in this map, first in line %d", k.Value, r.at(seen[k.Value]).Line)
			continue
		}
		seen[k.Value] = n.Content[i]
		own = append(own, entry{key: k.Value, path: join(path, k.Value), keyNode: n.Content[i], node: v})
		if r.values--; r.values < 0 {
			return own
		}
	}
	for _, e := range merged {
		if seen[e.key] == nil {
			seen[e.key] = e.keyNode
			own = append(own, e)
		}
	}
	return own
}

// merged lists what a merge key brings: the keys of a map or of several, the first one wins.
func (r *reader) merged(v *yaml.Node, path string, depth int) []entry {
	v = follow(v)
	if r.values--; depth > maxDepth || r.values < 0 {
		r.fault(v, "too-deep", "merge keys nest more than %d levels deep", maxDepth)
		return nil
	}
	switch v.Kind {
	case yaml.MappingNode:
		return r.entries(v, path, depth+1)
	case yaml.SequenceNode:
		var all []entry
		for _, c := range v.Content {
			if follow(c).Kind == yaml.SequenceNode {
				r.fault(c, "wrong-type", "a merge key takes a map or a list of maps")
				continue
			}
			all = append(all, r.merged(c, path, depth+1)...)
		}
		return all
	}
	r.fault(v, "wrong-type", "a merge key takes a map or a list of maps, this is %s", kindOf(v))
	return nil
}

// fields reads a map whose keys are known; read gets what stands at each.
func (r *reader) fields(n *yaml.Node, path, what string, read map[string]func(n *yaml.Node, path string)) {
	names := make([]string, 0, len(read))
	for name := range read {
		names = append(names, name)
	}
	for _, e := range r.mapping(n, path, what) {
		f, ok := read[e.key]
		if !ok {
			r.fault(e.keyNode, "unknown-field", "%s has no field %q%s", what, e.key, suggest(e.key, names))
			continue
		}
		f(e.node, e.path)
	}
}

// list returns the elements of a list. Null has none.
func (r *reader) list(n *yaml.Node, path, what string) []*yaml.Node {
	n, ok := r.enter(n, path)
	if !ok || isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.fault(n, "wrong-type", "%s must be a list, this is %s", what, kindOf(n))
		return nil
	}
	return n.Content
}

// str reads a text. Null is the empty text.
func (r *reader) str(n *yaml.Node, path, what string) string {
	n, ok := r.enter(n, path)
	if !ok || isNull(n) {
		return ""
	}
	if n.Kind != yaml.ScalarNode || kindOf(n) != "a text" {
		r.fault(n, "wrong-type", "%s must be a text, this is %s%s", what, kindOf(n), quotesHint(n))
		return ""
	}
	v, _ := r.scalar(n).(string)
	return v
}

// quotesHint says where quotes help.
func quotesHint(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.ScalarNode:
		return "; put it in quotes"
	case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0:
		return "; put quotes around a template"
	}
	return ""
}

// strs reads a list of texts.
func (r *reader) strs(n *yaml.Node, path, what string) []string {
	var out []string
	for i, c := range r.list(n, path, what) {
		out = append(out, r.str(c, index(path, i), "each of "+what))
	}
	return out
}

// strMap reads a map of texts.
func (r *reader) strMap(n *yaml.Node, path, what string) map[string]string {
	var out map[string]string
	for _, e := range r.mapping(n, path, what) {
		if out == nil {
			out = map[string]string{}
		}
		out[e.key] = r.str(e.node, e.path, strconv.Quote(e.key)+" of "+what)
	}
	return out
}

// index is the path of an element of the list at path.
func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
