package blueprint

import (
	"errors"
	"slices"
	"strings"
	"text/template/parse"
	"unicode/utf8"

	"github.com/davit-project/davit/template"
)

// text checks one text that is rendered.
func (l *linter) text(s scope, path, text string) {
	if !strings.Contains(text, "{{") {
		return
	}
	t, err := l.env.Compile(path, text)
	if err != nil {
		if errors.Is(err, template.ErrLimit) || !l.unknownFunctions(path, text) {
			l.syntax(path, text, err)
		}
		return
	}
	for _, ref := range t.References() {
		at := l.bp.Source.At(path, text, ref.Line, ref.Column)
		l.reference(s, finding{l, at, path}, ref)
	}
}

// finding reports at one place.
type finding struct {
	l    *linter
	at   Position
	path string
}

func (f finding) report(severity Severity, code, format string, args ...any) {
	f.l.reportAt(f.at, f.path, severity, code, format, args...)
}

func (l *linter) syntax(path, text string, err error) {
	line, column := 1, 1
	var te *template.Error
	if errors.As(err, &te) {
		line, column, err = max(te.Line, 1), max(te.Column, 1), te.Err
	}
	l.reportAt(l.bp.Source.At(path, text, line, column), path, Error, "template-syntax", "%s", err)
}

// leftOut says why template functions that Kanister has do not exist here.
var leftOut = map[string]string{
	"env":               "it would read the environment of the host program",
	"expandenv":         "it would read the environment of the host program",
	"getHostByName":     "it would ask the network",
	"buildCustomCert":   "templates make no certificates",
	"derivePassword":    "templates make no keys",
	"genCA":             "templates make no certificates",
	"genPrivateKey":     "templates make no keys",
	"genSelfSignedCert": "templates make no certificates",
	"genSignedCert":     "templates make no certificates",
}

// unknownFunctions reports the functions of a text that do not exist; false when it finds none.
func (l *linter) unknownFunctions(path, text string) bool {
	found := false
	for _, id := range calls(text) {
		if l.known(id.Ident) {
			continue
		}
		found = true
		reason := suggest(id.Ident, commonFunctions)
		if why, ok := leftOut[id.Ident]; ok {
			reason = "; Kanister has it, Davit does not: " + why
		}
		line, column := lineColumn(text, int(id.Pos))
		l.reportAt(l.bp.Source.At(path, text, line, column), path, Error, "template-function-unknown", "there is no template function %q%s", id.Ident, reason)
	}
	return found
}

// calls lists the functions a text calls, whether they exist or not; none when it is no template.
func calls(text string) []*parse.IdentifierNode {
	tree, trees := parse.New("text"), map[string]*parse.Tree{}
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(text, "", "", trees); err != nil {
		return nil
	}
	var out []*parse.IdentifierNode
	for _, t := range ordinary(trees) {
		out = append(out, identifiers(t.Root)...)
	}
	return out
}

// commonFunctions are suggested for those that do not exist.
var commonFunctions = []string{"b64dec", "b64enc", "contains", "date", "default", "hasPrefix", "hasSuffix", "indent", "index", "join", "lower",
	"nindent", "quote", "range", "replace", "splitList", "squote", "toDate", "toJson", "toString", "trim", "trimPrefix", "trimSuffix", "upper"}

// known asks the environment, by compiling a call, whether a function exists.
func (l *linter) known(name string) bool {
	if known, ok := l.functions[name]; ok {
		return known
	}
	_, err := l.env.Compile("function", "{{ "+name+" }}")
	l.functions[name] = err == nil
	return err == nil
}

// lineColumn of a byte offset, from 1, the column in characters.
func lineColumn(text string, offset int) (int, int) {
	before := text[:min(max(offset, 0), len(text))]
	line := strings.Count(before, "\n") + 1
	return line, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

// identifiers lists the functions called below a node, in order.
func identifiers(n parse.Node) []*parse.IdentifierNode {
	var out []*parse.IdentifierNode
	add := func(nodes ...parse.Node) {
		for _, c := range nodes {
			out = append(out, identifiers(c)...)
		}
	}
	branch := func(b *parse.BranchNode) {
		add(b.Pipe, b.List)
		if b.ElseList != nil {
			add(b.ElseList)
		}
	}
	switch n := n.(type) {
	case *parse.IdentifierNode:
		out = append(out, n)
	case *parse.ListNode:
		if n != nil {
			add(n.Nodes...)
		}
	case *parse.ActionNode:
		add(n.Pipe)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			add(n.Pipe)
		}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			add(c)
		}
	case *parse.CommandNode:
		add(n.Args...)
	case *parse.ChainNode:
		add(n.Node)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	}
	return slices.Clip(out)
}
