package kube

import (
	"fmt"
	"strings"
)

// scanner splits the text of a condition at its paths. It follows the template just so far that it knows where each path stands.
type scanner struct {
	text  string
	at    int
	in    site
	parts []part
	// from is where the literal text begins that is not yet part of a part.
	from int
}

// splitPaths finds the paths: an opening brace, blanks and a dollar sign, up to the next closing brace. Two braces open an action of
// the template, so that {{ $x }} is a variable and no path.
func splitPaths(text string) ([]part, error) {
	s := scanner{text: text}
	for s.at < len(text) {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	return append(s.parts, part{text: text[s.from:]}), nil
}

// next moves over one character, a run of braces, a comment or a path.
func (s *scanner) next() error {
	rest := s.text[s.at:]
	switch {
	case rest[0] == '{':
		return s.braces(rest)
	case s.in == inText:
		s.at++
	case s.in == inAction:
		s.action(rest)
	case rest[0] == '\\' && s.in != inRawString:
		s.at = min(s.at+2, len(s.text))
	case rest[0] == closing(s.in):
		s.in = inAction
		s.at++
	default:
		s.at++
	}
	return nil
}

// closing is the character that ends a literal.
func closing(in site) byte {
	switch in {
	case inRawString:
		return '`'
	case inChar:
		return '\''
	default:
		return '"'
	}
}

func (s *scanner) action(rest string) {
	if strings.HasPrefix(rest, "}}") {
		s.in = inText
		s.at += 2
		return
	}
	switch rest[0] {
	case '"':
		s.in = inString
	case '`':
		s.in = inRawString
	case '\'':
		s.in = inChar
	}
	s.at++
}

// braces handles a run of opening braces.
func (s *scanner) braces(rest string) error {
	run := len(rest) - len(strings.TrimLeft(rest, "{"))
	if s.in == inText && run >= 2 {
		s.at += 2
		s.in = inAction
		body := strings.TrimLeft(strings.TrimPrefix(rest[2:], "-"), " \t\r\n")
		if strings.HasPrefix(body, "/*") {
			s.skipComment()
		}
		return nil
	}
	if run%2 == 0 || !strings.HasPrefix(strings.TrimLeft(rest[run:], " \t\r\n\v\f"), "$") {
		s.at += run
		return nil
	}
	start := s.at + run - 1
	length := strings.IndexByte(s.text[start:], '}')
	if length < 0 {
		shown, rest := cutAt(s.text[start:], shownResult)
		return fmt.Errorf("%q%s is not closed by a brace", shown, rest)
	}
	s.at = start + length + 1
	s.parts = append(s.parts, part{text: s.text[s.from:start], path: s.text[start:s.at], in: s.in})
	s.from = s.at
	return nil
}

func (s *scanner) skipComment() {
	end := strings.Index(s.text[s.at:], "*/")
	if end < 0 {
		s.at = len(s.text)
		return
	}
	s.at += end + len("*/")
}
