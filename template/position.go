package template

import (
	"slices"
	"text/template/parse"
	"unicode/utf8"
)

// position is the line and column where a node begins, from 1.
func (t *Template) position(n parse.Node) (line, column int) {
	l := locator{text: t.text, marks: []mark{{0, 1, 1}}}
	return l.at(offset(t.text, n))
}

// offset is where a node begins. The parser notes where the second name of .a.b begins.
func offset(text string, n parse.Node) int {
	pos := min(int(n.Position()), len(text))
	first := ""
	switch n := n.(type) {
	case *parse.FieldNode:
		if len(n.Ident) > 1 {
			first = "." + n.Ident[0]
		}
	case *parse.VariableNode:
		if len(n.Ident) > 1 {
			first = n.Ident[0]
		}
	case *parse.ChainNode:
		return offset(text, n.Node)
	case *parse.CommandNode:
		return offset(text, n.Args[0])
	case *parse.PipeNode:
		if len(n.Decl) == 0 && len(n.Cmds) > 0 {
			return offset(text, n.Cmds[0])
		}
	}
	if first != "" && pos >= len(first) && text[pos-len(first):pos] == first {
		pos -= len(first)
	}
	return pos
}

// locator turns offsets of a text into lines and columns. It counts from the nearest mark before.
type locator struct {
	text  string
	marks []mark
}

type mark struct{ offset, line, column int }

// markEvery is the distance of marks, in bytes.
const markEvery = 1024

func newLocator(text string) *locator {
	l := &locator{text: text, marks: []mark{{0, 1, 1}}}
	for next := markEvery; next < len(text); next += markEvery {
		for back := 1; back < utf8.UTFMax && !utf8.RuneStart(text[next]); back++ {
			next--
		}
		line, column := l.at(next)
		l.marks = append(l.marks, mark{next, line, column})
	}
	return l
}

func (l *locator) at(pos int) (line, column int) {
	i, found := slices.BinarySearchFunc(l.marks, pos, func(m mark, pos int) int { return m.offset - pos })
	if !found {
		i--
	}
	m := l.marks[i]
	for _, c := range l.text[m.offset:pos] {
		if c == '\n' {
			m.line, m.column = m.line+1, 1
		} else {
			m.column++
		}
	}
	return m.line, m.column
}
