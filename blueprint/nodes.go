package blueprint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// roots yields the root of every document. A file that is JSON throughout is read as JSON, for its escapes are not
// all YAML's; any other as YAML. After a syntax error reading goes on at the next document.
func (r *reader) roots(data []byte) iter.Seq[*yaml.Node] {
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		if nodes, ok := jsonNodes(data); ok {
			return func(yield func(*yaml.Node) bool) {
				for _, n := range nodes {
					if !yield(n) {
						return
					}
				}
			}
		}
	}
	return func(yield func(*yaml.Node) bool) { r.yamlRoots(data, yield) }
}

// maxSyntaxErrors bounds the work on a file that is no YAML at all.
const maxSyntaxErrors = 20

func (r *reader) yamlRoots(data []byte, yield func(*yaml.Node) bool) {
	for range maxSyntaxErrors {
		line, ok := r.yamlUntilError(data, yield)
		if ok {
			return
		}
		next := r.nextDocument(line)
		if next < 0 {
			return
		}
		data = []byte(strings.Join(r.lines[next:], "\n"))
		r.base = next
	}
	r.report(Position{Line: r.base + 1, Column: 1}, Error, "too-many", "the documents from here on are not read: too many before them are no YAML")
}

// yamlUntilError yields documents until the end, or until a syntax error, whose line it returns.
func (r *reader) yamlUntilError(data []byte, yield func(*yaml.Node) bool) (int, bool) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return 0, true
		}
		if err != nil {
			return r.syntaxError(err), false
		}
		if len(doc.Content) == 1 && !yield(doc.Content[0]) {
			return 0, true
		}
	}
}

// syntaxLine finds the line in an error of the YAML reader, which has no other form than text.
var syntaxLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntaxError reports an error of the YAML reader and returns its line.
func (r *reader) syntaxError(err error) int {
	text := err.Error()
	match := syntaxLine.FindStringSubmatch(text)
	line := r.base + 1
	if n, err := strconv.Atoi(match[1]); err == nil {
		line = min(r.base+n, len(r.lines))
	}
	content := r.lines[line-1]
	column := utf8.RuneCountInString(content) - utf8.RuneCountInString(strings.TrimLeft(content, " \t")) + 1
	r.report(Position{Line: line, Column: column}, Error, "syntax", "%s", strings.TrimPrefix(text, match[0]))
	return line
}

// nextDocument returns the index of the first line after line that begins a document, or -1.
func (r *reader) nextDocument(line int) int {
	for i := line; i < len(r.lines); i++ {
		if l := r.lines[i]; l == "---" || strings.HasPrefix(l, "--- ") || strings.HasPrefix(l, "---\t") {
			return i
		}
	}
	return -1
}

// jsonNodes reads a sequence of JSON documents into nodes, or returns false when it is not one.
func jsonNodes(data []byte) ([]*yaml.Node, bool) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	j := &jsonReader{dec: dec, data: data, line: 1, column: 1}
	var nodes []*yaml.Node
	for {
		n, err := j.node(0)
		if errors.Is(err, io.EOF) {
			return nodes, true
		}
		if err != nil {
			return nil, false
		}
		nodes = append(nodes, n)
	}
}

type jsonReader struct {
	dec  *json.Decoder
	data []byte
	// offset has been counted up to line and column.
	offset, line, column int
}

var errDepth = errors.New("nests too deep")

// token returns the next token as a node with its position; closing brackets as an empty node.
func (j *jsonReader) token() (json.Token, *yaml.Node, error) {
	j.skip(int(j.dec.InputOffset()), true)
	n := &yaml.Node{Line: j.line, Column: j.column}
	token, err := j.dec.Token()
	if err != nil {
		return nil, nil, err
	}
	j.skip(int(j.dec.InputOffset()), false)
	return token, n, nil
}

// skip counts up to offset, and then over what stands between tokens.
func (j *jsonReader) skip(offset int, between bool) {
	for j.offset < len(j.data) && (j.offset < offset || between && strings.IndexByte(" \t\r\n,:", j.data[j.offset]) >= 0) {
		_, size := utf8.DecodeRune(j.data[j.offset:])
		if j.column++; j.data[j.offset] == '\n' {
			j.line, j.column = j.line+1, 1
		}
		j.offset += size
	}
}

func (j *jsonReader) node(depth int) (*yaml.Node, error) {
	token, n, err := j.token()
	if err != nil {
		return nil, err
	}
	return n, j.fill(n, token, depth)
}

func (j *jsonReader) fill(n *yaml.Node, token json.Token, depth int) error {
	n.Kind = yaml.ScalarNode
	switch t := token.(type) {
	case json.Delim:
		if depth > maxDepth*2 {
			return errDepth
		}
		return j.container(n, t, depth)
	case string:
		n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!int", t.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(t)
	default:
		n.Tag, n.Value = "!!null", "null"
	}
	return nil
}

func (j *jsonReader) container(n *yaml.Node, open json.Delim, depth int) error {
	n.Kind, n.Tag = yaml.MappingNode, "!!map"
	if open == '[' {
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
	}
	for {
		token, child, err := j.token()
		if err != nil {
			return err
		}
		if d, ok := token.(json.Delim); ok && (d == '}' || d == ']') {
			return nil
		}
		if err := j.fill(child, token, depth+1); err != nil {
			return err
		}
		n.Content = append(n.Content, child)
	}
}
