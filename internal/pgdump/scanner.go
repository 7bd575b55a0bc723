package pgdump

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

const (
	// scanBuffer is the scanner's window.
	scanBuffer = 64 << 10
	// maxStatement is how much of a statement is held until it is known what it does; a longer one is passed on in parts.
	maxStatement = 1 << 20
	// longestStatement bounds a statement, in bytes: no server takes a longer one, and psql holds it all.
	longestStatement = 1 << 30
	// maxCommand bounds a backslash command or comment, in bytes.
	maxCommand = 4 << 10
)

// Errors of streams.
var (
	errEarly   = errors.New("the dump ends in the middle of a statement or a table: it was cut")
	errCommand = errors.New("the dump has a backslash command where pg_dump writes none")
	errCopy    = errors.New("the dump has a COPY that pg_dump does not write")
	errNul     = errors.New("the dump holds a byte 0: it is no SQL")
	errLong    = errors.New("the dump has a statement that is longer than a server takes")
)

// taker takes what a scanner finds.
type taker interface {
	// statement is a whole statement, with its semicolon, from its first word on.
	statement(text []byte) error
	// part is a piece of a statement that is longer than maxStatement, or of a table's rows. It must not be kept.
	part(p []byte) error
	// command is a line that begins with a backslash.
	command(line string) error
	// comment is a line that begins with two hyphens.
	comment(line string)
}

// scanner cuts SQL as pg_dump writes it into statements, the rows of tables, commands and comments, as psql would. It holds maxStatement at most.
type scanner struct {
	in *bufio.Reader
	to taker
	// text is the statement so far; long tells that its beginning was passed on. All of it has size bytes, of at most longest.
	text          []byte
	long          bool
	size, longest int
	// prev is the byte before, 0 at the beginning of a line.
	prev byte
	// nest knows which semicolons are inside of a statement.
	nest nesting
}

func newScanner(r io.Reader, to taker) *scanner {
	return &scanner{in: bufio.NewReaderSize(&textReader{from: r}, scanBuffer), to: to, longest: longestStatement}
}

// textReader reads what has no byte 0. psql takes that for the end of a line, and a server never.
type textReader struct {
	from io.Reader
	err  error
}

func (t *textReader) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.from.Read(p)
	if at := bytes.IndexByte(p[:n], 0); at >= 0 {
		n, err = at, errNul
	}
	t.err = err
	return n, err
}

// scan reads to the end.
func (s *scanner) scan() error {
	for {
		b, err := s.in.ReadByte()
		if err == io.EOF {
			if len(s.text) > 0 || s.long {
				return errEarly
			}
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.next(b); err != nil {
			if errors.Is(err, io.EOF) {
				return errEarly
			}
			return err
		}
	}
}

// next takes a byte that is outside of quotes, rows and comments.
func (s *scanner) next(b byte) error {
	idle := len(s.text) == 0 && !s.long
	prev := s.prev
	s.prev = b
	inWord := s.nest.inWord()
	ended := s.nest.byte(b)
	if b == '\n' || b == '\r' {
		s.prev = 0
	}
	switch {
	case idle && (b == ' ' || b == '\t' || b == '\n' || b == '\r' || b == '\f' || b == '\v'):
		return nil
	case b == '\\' && idle && prev == 0:
		line, err := s.line()
		if err != nil {
			return err
		}
		return s.to.command("\\" + line)
	case b == '\\':
		return errCommand
	case b == '-' && s.follows('-'):
		return s.lineComment(idle)
	case b == '/' && s.follows('*'):
		return s.blockComment(idle)
	case b == '\'':
		return s.quoted(b, ended == "e")
	case b == '"':
		return s.quoted(b, false)
	case b == '$' && !inWord:
		return s.dollar()
	}
	if err := s.keep(b); err != nil || b != ';' || s.nest.inside() {
		return err
	}
	return s.end()
}

// keep adds to the statement.
func (s *scanner) keep(p ...byte) error {
	s.text = append(s.text, p...)
	if s.size += len(p); s.size > s.longest {
		return errLong
	}
	if len(s.text) < maxStatement && (!s.long || len(s.text) < scanBuffer) {
		return nil
	}
	if !s.long && isCopy(s.text) { // rows may follow, of which nobody knows then
		return errCopy
	}
	s.long = true
	err := s.to.part(s.text)
	s.text = s.text[:0]
	return err
}

// end is after a semicolon.
func (s *scanner) end() error {
	text, long := s.text, s.long
	s.text, s.long, s.size, s.nest = s.text[:0], false, 0, nesting{}
	if long {
		return s.to.part(append(text, '\n'))
	}
	if err := s.to.statement(text); err != nil {
		return err
	}
	switch {
	case !isCopy(text):
		return nil
	case copyRows.Match(text[max(0, len(text)-longestEnd):]):
		return s.rows()
	default:
		return errCopy
	}
}

// follows tells whether the next byte is this one.
func (s *scanner) follows(b byte) bool {
	next, err := s.in.Peek(1)
	return err == nil && next[0] == b
}

func wordByte(b byte) bool {
	return b == '_' || b == '$' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80
}

// line reads to the end of the line, which must be short.
func (s *scanner) line() (string, error) {
	var line []byte
	for {
		b, err := s.in.ReadByte()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
		if b == '\n' {
			break
		}
		if line = append(line, b); len(line) > maxCommand {
			return "", errCommand
		}
	}
	s.prev = 0
	return strings.TrimRight(string(line), "\r"), nil
}

// lineComment takes a comment; one inside of a statement stays there.
func (s *scanner) lineComment(idle bool) error {
	text := []byte{'-'}
	if !idle {
		if err := s.keep('-'); err != nil {
			return err
		}
	}
	for {
		b, err := s.in.ReadByte()
		if err != nil && err != io.EOF {
			return err
		}
		if !idle && err == nil {
			if err := s.keep(b); err != nil {
				return err
			}
		}
		if err == io.EOF || b == '\n' {
			break
		}
		if len(text) < maxCommand {
			text = append(text, b)
		}
	}
	s.prev = 0
	if idle {
		s.to.comment(strings.TrimRight(string(text), "\r"))
	}
	return nil
}

// blockComment takes a comment that may hold others.
func (s *scanner) blockComment(idle bool) error {
	depth, last := 0, byte('/')
	if !idle {
		if err := s.keep(last); err != nil {
			return err
		}
	}
	for first := true; first || depth > 0; first = false {
		b, err := s.in.ReadByte()
		if err != nil {
			return err
		}
		if !idle {
			if err := s.keep(b); err != nil {
				return err
			}
		}
		switch {
		case last == '/' && b == '*':
			depth++
			b = 0 // */ must not begin with this star
		case last == '*' && b == '/':
			depth--
			b = 0
		}
		last = b
	}
	s.prev = ' '
	return nil
}

// quoted takes a literal or name up to its closing quote.
func (s *scanner) quoted(quote byte, escapes bool) error {
	b := quote
	for {
		if err := s.keep(b); err != nil {
			return err
		}
		var err error
		if b, err = s.in.ReadByte(); err != nil {
			return err
		}
		switch {
		case b == quote && s.follows(quote): // a doubled one is part of it
			if err := s.keep(b); err != nil {
				return err
			}
			if b, err = s.in.ReadByte(); err != nil {
				return err
			}
		case b == quote:
			s.prev = quote
			return s.keep(b)
		case b == '\\' && escapes:
			if err := s.keep(b); err != nil {
				return err
			}
			if b, err = s.in.ReadByte(); err != nil {
				return err
			}
		}
	}
}

// dollar takes a dollar-quoted text, or a lone dollar.
func (s *scanner) dollar() error {
	const longest = 256
	ahead, err := s.in.Peek(longest)
	if err != nil && err != io.EOF {
		return err
	}
	tag := tagOf(ahead)
	if tag == nil {
		return s.keep('$')
	}
	closing := append([]byte{'$'}, tag...)
	if err := s.keep(closing...); err != nil {
		return err
	}
	if _, err := s.in.Discard(len(tag)); err != nil {
		return err
	}
	for {
		b, err := s.in.ReadByte()
		if err != nil {
			return err
		}
		if err := s.keep(b); err != nil {
			return err
		}
		if b != '$' {
			continue
		}
		ahead, err := s.in.Peek(len(closing) - 1)
		if err != nil && err != io.EOF {
			return err
		}
		if bytes.Equal(ahead, closing[1:]) {
			_, err := s.in.Discard(len(ahead))
			s.prev = '$'
			return errors.Join(err, s.keep(ahead...))
		}
	}
}

// tagOf is the rest of a dollar quote's tag, with its dollar; nil for none.
func tagOf(ahead []byte) []byte {
	for i, b := range ahead {
		switch {
		case b == '$':
			return bytes.Clone(ahead[:i+1])
		case !wordByte(b) || i == 0 && b >= '0' && b <= '9':
			return nil
		}
	}
	return nil
}

// copyRows is the end of the one COPY that pg_dump writes; longestEnd is what of it is looked at, in bytes.
var copyRows = regexp.MustCompile(`(?is)\sFROM\s+stdin\s*;$`)

const longestEnd = 64

// isCopy tells whether a statement is COPY, in front of rows or not.
func isCopy(text []byte) bool {
	const word = "COPY"
	return len(text) > len(word) && bytes.EqualFold(text[:len(word)], []byte(word)) && !wordByte(text[len(word)])
}

// rows takes the rows of a table, up to the line that ends them.
func (s *scanner) rows() error {
	rest, err := s.line()
	if err != nil {
		return err
	}
	if strings.TrimSpace(rest) != "" {
		return errCopy
	}
	for begin := true; ; {
		line, err := s.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if err == io.EOF {
				return errEarly
			}
			return fmt.Errorf("rows of a table: %w", err)
		}
		if err := s.to.part(line); err != nil {
			return err
		}
		if begin && err == nil && (string(line) == "\\.\n" || string(line) == "\\.\r\n") {
			s.prev = 0
			return nil
		}
		begin = err == nil
	}
}
