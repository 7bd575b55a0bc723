package blueprint

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits of what Parse takes. They are far above any blueprint and keep hostile files cheap.
const (
	maxSize        = 2 << 20
	maxDepth       = 100
	maxValues      = 100_000
	maxText        = 16 << 20
	maxDiagnostics = 100
)

// File is what Parse found in one file.
type File struct {
	Blueprints []*Blueprint
	ActionSets []*ActionSet
	// Diagnostics of syntax and types, sorted. With one of severity Error the documents may be incomplete.
	Diagnostics []Diagnostic
}

// Parse reads every document of a YAML or JSON file. It never fails: what is wrong is in the diagnostics.
// Documents of other kinds are left out and noted.
func Parse(file string, data []byte) *File {
	r := &reader{file: file, out: &File{}, names: map[[2]string]int{}}
	if r.readable(data) {
		data = bytes.TrimPrefix(data, []byte("\uFEFF"))
		r.lines = splitLines(string(data))
		r.documents(data)
	}
	r.out.Diagnostics = sorted(r.diags)
	return r.out
}

// readable tells whether it makes sense to look for documents.
func (r *reader) readable(data []byte) bool {
	start := Position{Line: 1, Column: 1}
	if len(data) > maxSize {
		r.report(start, Error, "too-large", "the file has %d bytes, at most %d can be read", len(data), maxSize)
		return false
	}
	if i := invalidUTF8(data); i >= 0 {
		before := splitLines(string(data[:i]))
		at := Position{Line: len(before), Column: utf8.RuneCountInString(before[len(before)-1]) + 1}
		r.report(at, Error, "encoding", "byte %#x is not UTF-8; save the file as UTF-8 text", data[i])
		return false
	}
	return true
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		c, size := utf8.DecodeRune(data[i:])
		if c == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return -1
}

// splitLines splits as the YAML reader counts lines.
func splitLines(text string) []string {
	var lines []string
	start := 0
	for i, c := range text {
		switch c {
		case '\r':
			if strings.HasPrefix(text[i+1:], "\n") {
				continue
			}
		case '\n', '\u0085', '\u2028', '\u2029':
		default:
			continue
		}
		lines = append(lines, strings.TrimSuffix(text[start:i], "\r"))
		start = i + utf8.RuneLen(c)
	}
	return append(lines, text[start:])
}

func (r *reader) documents(data []byte) {
	found := 0
	for root := range r.roots(data) {
		if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
			continue
		}
		found++
		r.document(root)
	}
	if found == 0 && len(r.diags) == 0 {
		r.report(Position{Line: 1, Column: 1}, Error, "no-documents", "the file holds no documents")
	}
}

// document reads one document of any kind.
func (r *reader) document(root *yaml.Node) {
	r.positions, r.values, r.text, r.exhausted = map[string]Position{}, maxValues, maxText, false
	at := r.at(root)
	r.positions[""] = at
	if root.Kind != yaml.MappingNode {
		r.report(at, Error, "wrong-type", "a document is a map with apiVersion and kind, this is %s", kindOf(root))
		return
	}
	version, kind := child(root, "apiVersion"), child(root, "kind")
	if !isText(version) || !isText(kind) {
		r.report(at, Error, "missing-field", "the document has no apiVersion and kind; a blueprint begins with apiVersion: %s and kind: Blueprint", APIVersion)
		return
	}
	group, _, _ := strings.Cut(version.Value, "/")
	switch {
	case group != "cr.kanister.io":
		r.report(at, Note, "other-kind", "left out: %q of %q is neither a Blueprint nor an ActionSet", kind.Value, version.Value)
	case version.Value != APIVersion:
		r.report(r.at(version), Error, "unknown-api-version", "apiVersion %q is not known; it is %s", version.Value, APIVersion)
	case kind.Value == "Blueprint":
		bp := r.blueprint(root)
		r.twice(bp)
		r.out.Blueprints = append(r.out.Blueprints, bp)
	case kind.Value == "ActionSet":
		r.out.ActionSets = append(r.out.ActionSets, r.actionSet(root))
	case kind.Value == "Profile", kind.Value == "RepositoryServer":
		r.report(at, Note, "other-kind", "left out: a %s is neither a Blueprint nor an ActionSet", kind.Value)
	default:
		r.report(r.at(kind), Error, "unknown-kind", "kind %q is not known%s", kind.Value, suggest(kind.Value, []string{"Blueprint", "ActionSet", "Profile"}))
	}
}

// twice reports a blueprint with the name of one before it: of the two a run finds one.
func (r *reader) twice(bp *Blueprint) {
	at := bp.Source.Find("metadata.name")
	key := [2]string{bp.Namespace, bp.Name}
	if first, ok := r.names[key]; ok && bp.Name != "" {
		r.report(at, Warning, "duplicate-document", "blueprint %q stands twice in this file, first in line %d", bp.Name, first)
		return
	}
	r.names[key] = at.Line
}

// child is the value of a plain key, aliases followed.
func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return follow(n.Content[i+1])
		}
	}
	return nil
}

func isText(n *yaml.Node) bool { return n != nil && n.Kind == yaml.ScalarNode && n.Value != "" }

func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// report adds a finding, up to the limit.
func (r *reader) report(at Position, severity Severity, code, format string, args ...any) {
	switch n := len(r.diags); {
	case n == maxDiagnostics-1 && code != "too-many":
		r.report(at, Error, "too-many", "more faults than are worth listing; mend these first")
		return
	case n >= maxDiagnostics:
		return
	}
	r.diags = append(r.diags, Diagnostic{File: r.file, Line: at.Line, Column: at.Column, Severity: severity, Code: code,
		Message: fmt.Sprintf(format, args...)})
}
