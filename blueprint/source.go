package blueprint

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Source remembers where things stand in a document.
type Source struct {
	File string
	// Positions by path: "actions.backup.phases[0].args.command[2]"; the position of a map's value; "…[key]" that of its key.
	Positions map[string]Position
	// lines are those of the file, without their ends.
	lines []string
}

// Position is a place in a file, from 1. Columns count characters.
type Position struct {
	Line, Column int
	// TextLine is the line where the text of a block scalar begins, and Indent its indentation; zero for other values.
	TextLine, Indent int
}

// Find returns the position of the path, or of the nearest thing around it that has one; of the file's start if
// nothing has.
func (s Source) Find(path string) Position {
	for path != "" {
		if p, ok := s.Positions[path]; ok {
			return p
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	if p, ok := s.Positions[""]; ok {
		return p
	}
	return Position{Line: 1, Column: 1}
}

// At returns where in the file a character of a text stands: text is the value at path, and line and column, from 1,
// count its lines and characters. Where that cannot be told, it is the position of the value.
func (s Source) At(path, text string, line, column int) Position {
	pos, ok := s.Positions[path]
	if !ok || line < 1 || column < 1 {
		return s.Find(path)
	}
	if pos.TextLine > 0 && s.char(pos.Line, pos.Column) == '|' {
		return Position{Line: pos.TextLine + line - 1, Column: pos.Indent + column}
	}
	lead, ok := textBefore(text, line, column)
	if !ok {
		return Position{Line: pos.Line, Column: pos.Column}
	}
	return s.follow(pos, lead)
}

// textBefore is the part of text before line and column.
func textBefore(text string, line, column int) (string, bool) {
	at := 0
	for ; line > 1; line-- {
		n := strings.IndexByte(text[at:], '\n')
		if n < 0 {
			return "", false
		}
		at += n + 1
	}
	for ; column > 1; column-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		if size == 0 {
			return "", false
		}
		at += size
	}
	return text[:at], true
}

// follow walks along the source of a scalar as long as it yields the characters of lead, white space apart: the reader
// folds it.
func (s Source) follow(pos Position, lead string) Position {
	start := Position{Line: pos.Line, Column: pos.Column}
	c := cursor{lines: s.lines, line: pos.Line, column: pos.Column}
	quote := c.peek()
	switch {
	case pos.TextLine > 0:
		c.line, c.column, quote = pos.TextLine, 1, 0
	case quote == '"' || quote == '\'':
		c.column++
	default:
		quote = 0
	}
	for _, want := range lead {
		if unicode.IsSpace(want) {
			continue
		}
		got, ok := c.next(quote)
		for ok && unicode.IsSpace(got) {
			got, ok = c.next(quote)
		}
		if !ok || got != want {
			return start
		}
	}
	if trimmed := strings.TrimRightFunc(lead, unicode.IsSpace); len(trimmed) < len(lead) || lead == "" {
		c.skipSpace(quote)
	}
	return Position{Line: c.line, Column: c.column}
}

func (s Source) char(line, column int) rune {
	c := cursor{lines: s.lines, line: line, column: column}
	return c.peek()
}

// cursor reads a scalar's source.
type cursor struct {
	lines        []string
	line, column int
	// rest of the current line, once loaded for restLine.
	rest     []rune
	restLine int
}

func (c *cursor) load() bool {
	if c.line < 1 || c.line > len(c.lines) {
		return false
	}
	if c.restLine != c.line {
		c.rest, c.restLine = []rune(c.lines[c.line-1]), c.line
	}
	return true
}

func (c *cursor) peek() rune {
	if !c.load() || c.column < 1 || c.column > len(c.rest) {
		return 0
	}
	return c.rest[c.column-1]
}

// skipSpace goes on to the next character that is not white space, escaped or not.
func (c *cursor) skipSpace(quote rune) {
	for {
		ahead := *c
		if r, ok := ahead.next(quote); !ok || !unicode.IsSpace(r) {
			return
		}
		*c = ahead
	}
}

// next returns the next character of the value, escapes decoded. An end of line is a blank.
func (c *cursor) next(quote rune) (rune, bool) {
	if !c.load() {
		return 0, false
	}
	if c.column > len(c.rest) {
		c.line, c.column = c.line+1, 1
		return ' ', true
	}
	r := c.peek()
	c.column++
	switch {
	case quote == '\'' && r == '\'':
		if c.peek() != '\'' {
			return 0, false
		}
		c.column++
	case quote == '"' && r == '"':
		return 0, false
	case quote == '"' && r == '\\':
		return c.escape(), true
	}
	return r, true
}

// escapes of YAML's double-quoted scalars that stand for one character; the blank ones need no exact value.
var escapes = map[rune]rune{'0': 0, 'a': 7, 'b': 8, 't': ' ', 'n': ' ', 'v': ' ', 'f': ' ', 'r': ' ', 'e': 27, 'N': ' ', '_': ' ',
	'L': ' ', 'P': ' '}

func (c *cursor) escape() rune {
	r := c.peek()
	c.column++
	width := map[rune]int{'x': 2, 'u': 4, 'U': 8}[r]
	if width == 0 {
		if e, ok := escapes[r]; ok {
			return e
		}
		if r == 0 {
			return ' ' // an escaped end of line
		}
		return r
	}
	v := c.hex(width)
	if v >= 0xD800 && v < 0xDC00 && c.peek() == '\\' { // JSON writes characters beyond the basic plane as a pair
		c.column += 2
		v = 0x10000 + (v-0xD800)<<10 + (c.hex(4) - 0xDC00)
	}
	return v
}

func (c *cursor) hex(width int) rune {
	if c.column-1+width > len(c.rest) {
		return 0
	}
	v, err := strconv.ParseUint(string(c.rest[c.column-1:c.column-1+width]), 16, 32)
	if err != nil {
		return 0
	}
	c.column += width
	return rune(v)
}
