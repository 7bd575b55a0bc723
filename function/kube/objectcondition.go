package kube

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"

	"github.com/davit-project/davit/template"
)

// The names of functions that a compiled condition calls.
const (
	fieldFunc = "field"
	printFunc = "shown"
)

// objectCondition is a condition of WaitV2: a template of kubectl (-o go-template) whose root is the object. In that
// dialect a key that is absent is nothing, prints as "<no value>" and is no error, so reading fields becomes calls of a function.
type objectCondition struct{ t *template.Template }

func compileObjectCondition(text string) (condition, error) {
	if len(text) > maxCondition {
		return nil, fmt.Errorf("a condition of %d bytes, at most %d are allowed", len(text), maxCondition)
	}
	env := conditionEnv()
	env.Funcs = map[string]any{"exists": exists, "base64decode": base64decode, fieldFunc: readField, printFunc: printable}
	// Faults are told in terms of the text as it is written.
	if _, err := env.Compile("", text); err != nil {
		return nil, err
	}
	trees := map[string]*parse.Tree{}
	root := parse.New("")
	root.Mode = parse.SkipFuncCheck
	if _, err := root.Parse(text, "", "", trees); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		if trees[name] == root || trees[name].Root == nil {
			continue
		}
		lenientList(trees[name].Root)
		fmt.Fprintf(&b, "{{define %q}}%s{{end}}", name, trees[name].Root)
	}
	if root.Root != nil {
		lenientList(root.Root)
		b.WriteString(root.Root.String())
	}
	t, err := env.Compile("", b.String())
	return objectCondition{t}, err
}

func (c objectCondition) render(object map[string]any) (string, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return "", err
	}
	// As in kubectl, all numbers are floats.
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		return "", err
	}
	return c.t.Render(root)
}

// lenientList makes the fields that a list of nodes reads lenient.
func lenientList(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			lenientPipe(n.Pipe)
			if len(n.Pipe.Decl) == 0 {
				n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Args: []parse.Node{parse.NewIdentifier(printFunc)}})
			}
		case *parse.IfNode:
			lenientBranch(&n.BranchNode)
		case *parse.WithNode:
			lenientBranch(&n.BranchNode)
		case *parse.RangeNode:
			lenientBranch(&n.BranchNode)
		case *parse.TemplateNode:
			lenientPipe(n.Pipe)
		}
	}
}

func lenientBranch(n *parse.BranchNode) {
	lenientPipe(n.Pipe)
	lenientList(n.List)
	lenientList(n.ElseList)
}

func lenientPipe(n *parse.PipeNode) {
	if n == nil {
		return
	}
	for _, cmd := range n.Cmds {
		for i, arg := range cmd.Args {
			cmd.Args[i] = lenientNode(arg)
		}
	}
}

// lenientNode replaces a chain of fields by a call.
func lenientNode(n parse.Node) parse.Node {
	switch n := n.(type) {
	case *parse.PipeNode:
		lenientPipe(n)
	case *parse.FieldNode:
		return fieldCall(&parse.DotNode{NodeType: parse.NodeDot}, n.Ident)
	case *parse.ChainNode:
		return fieldCall(lenientNode(n.Node), n.Field)
	case *parse.VariableNode:
		if len(n.Ident) > 1 {
			return fieldCall(&parse.VariableNode{NodeType: parse.NodeVariable, Ident: n.Ident[:1]}, n.Ident[1:])
		}
	}
	return n
}

func fieldCall(from parse.Node, names []string) parse.Node {
	args := []parse.Node{parse.NewIdentifier(fieldFunc), from}
	for _, name := range names {
		args = append(args, &parse.StringNode{NodeType: parse.NodeString, Quoted: strconv.Quote(name), Text: name})
	}
	return &parse.PipeNode{NodeType: parse.NodePipe, Cmds: []*parse.CommandNode{{NodeType: parse.NodeCommand, Args: args}}}
}

// readField follows fields through maps; what is absent is nil.
func readField(v any, names ...string) (any, error) {
	for _, name := range names {
		switch m := v.(type) {
		case nil:
			return nil, nil
		case map[string]any:
			v = m[name]
		default:
			return nil, fmt.Errorf("a %s has no field %q", reflect.TypeOf(v).Kind(), name)
		}
	}
	return v, nil
}

// printable is what a value prints as: kubectl shows what is absent.
func printable(v any) any {
	if v == nil {
		return "<no value>"
	}
	return v
}

// exists tells whether index would find something.
func exists(v any, keys ...any) bool {
	for _, key := range keys {
		switch c := v.(type) {
		case map[string]any:
			name, ok := key.(string)
			if !ok {
				return false
			}
			if v, ok = c[name]; !ok {
				return false
			}
		case []any:
			i := reflect.ValueOf(key)
			if !i.IsValid() || !i.CanInt() || i.Int() < 0 || i.Int() >= int64(len(c)) {
				return false
			}
			v = c[i.Int()]
		default:
			return false
		}
	}
	return true
}

func base64decode(text string) (string, error) {
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("not base64: %w", err)
	}
	return string(plain), nil
}
