package template

import (
	"errors"
	"fmt"
	"reflect"
	"text/template/parse"
)

// maxCallDepth bounds how deep templates call each other.
const maxCallDepth = 500

// renderer is the state of one rendering.
type renderer struct {
	t    *Template
	out  []byte
	vars []variable
	// depth of template calls.
	depth int
	// steps, work and built are what is spent of the budgets: nodes executed, bytes that functions read, bytes they made.
	steps, work, built int
	// at is the node that is executed, for errors.
	at parse.Node
}

type variable struct {
	name  string
	value reflect.Value
}

func newRenderer(t *Template, data reflect.Value) *renderer {
	return &renderer{t: t, vars: []variable{{"$", data}}, out: make([]byte, 0, len(t.text))}
}

func (r *renderer) run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = r.fail(r.at, fmt.Errorf("cannot be executed: %s", panicText(p)))
		}
	}()
	_, err = r.list(r.vars[0].value, r.t.root.Root)
	return err
}

// panicText describes a panic without its value, which may hold what the template read.
func panicText(p any) string {
	var rt interface {
		error
		RuntimeError()
	}
	if err, ok := p.(error); ok && errors.As(err, &rt) {
		return rt.Error()
	}
	return "a function gave up"
}

// fail makes an *Error at the node, unless err is one.
func (r *renderer) fail(n parse.Node, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	e = &Error{Name: r.t.name, Err: err}
	if n != nil {
		e.Line, e.Column = r.t.position(n)
	}
	return e
}

// failPath is fail with the path that was read.
func (r *renderer) failPath(n parse.Node, path string, err error) error {
	e := &Error{Name: r.t.name, Path: path, Err: err}
	e.Line, e.Column = r.t.position(n)
	return e
}

func (r *renderer) step(n parse.Node) error {
	r.at = n
	if r.steps++; r.steps > r.t.maxSteps {
		return r.fail(n, fmt.Errorf("%w: more than %d steps", ErrLimit, r.t.maxSteps))
	}
	return nil
}

func (r *renderer) write(n parse.Node, text []byte) error {
	if len(r.out)+len(text) > r.t.maxOutput {
		return r.fail(n, fmt.Errorf("%w: the output has more than %d bytes", ErrLimit, r.t.maxOutput))
	}
	r.out = append(r.out, text...)
	return nil
}

// control says how a list ended.
type control int

const (
	goOn control = iota
	leaveLoop
	nextTurn
)

func (r *renderer) list(dot reflect.Value, list *parse.ListNode) (control, error) {
	if list == nil {
		return goOn, nil
	}
	for _, n := range list.Nodes {
		if c, err := r.node(dot, n); err != nil || c != goOn {
			return c, err
		}
	}
	return goOn, nil
}

func (r *renderer) node(dot reflect.Value, n parse.Node) (control, error) {
	if text, ok := n.(*parse.TextNode); ok {
		return goOn, r.write(n, text.Text)
	}
	if err := r.step(n); err != nil {
		return goOn, err
	}
	switch n := n.(type) {
	case *parse.ActionNode:
		v, err := r.pipe(dot, n.Pipe)
		if err == nil && len(n.Pipe.Decl) == 0 {
			err = r.print(n, v)
		}
		return goOn, err
	case *parse.IfNode:
		return r.branch(dot, &n.BranchNode, false)
	case *parse.WithNode:
		return r.branch(dot, &n.BranchNode, true)
	case *parse.RangeNode:
		return r.loop(dot, n)
	case *parse.TemplateNode:
		return goOn, r.call(dot, n)
	case *parse.BreakNode:
		return leaveLoop, nil
	case *parse.ContinueNode:
		return nextTurn, nil
	case *parse.CommentNode:
		return goOn, nil
	}
	return goOn, r.fail(n, fmt.Errorf("%w: cannot execute this", ErrSyntax))
}

func (r *renderer) branch(dot reflect.Value, n *parse.BranchNode, rebind bool) (control, error) {
	mark := len(r.vars)
	defer func() { r.vars = r.vars[:mark] }()
	v, err := r.pipe(dot, n.Pipe)
	if err != nil {
		return goOn, err
	}
	if !truth(v) {
		return r.list(dot, n.ElseList)
	}
	if rebind {
		dot = v
	}
	return r.list(dot, n.List)
}

func (r *renderer) call(dot reflect.Value, n *parse.TemplateNode) error {
	tree := r.t.trees[n.Name]
	if tree == nil || tree.Root == nil {
		return r.fail(n, fmt.Errorf("%w: no template %q is defined", ErrSyntax, n.Name))
	}
	if r.depth == maxCallDepth {
		return r.fail(n, fmt.Errorf("%w: templates call each other more than %d deep", ErrLimit, maxCallDepth))
	}
	arg := reflect.Value{}
	if n.Pipe != nil {
		var err error
		if arg, err = r.pipe(dot, n.Pipe); err != nil {
			return err
		}
	}
	vars := r.vars
	r.vars, r.depth = []variable{{"$", arg}}, r.depth+1
	_, err := r.list(arg, tree.Root)
	r.vars, r.depth = vars, r.depth-1
	return err
}

// print writes a value as text/template does. There must be one.
func (r *renderer) print(n *parse.ActionNode, v reflect.Value) error {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			v = reflect.Value{}
			break
		}
		v = v.Elem()
	}
	if !v.IsValid() {
		path := n.Pipe.String()
		return r.failPath(n.Pipe, path, fmt.Errorf("%w: it has no value to print", ErrMissing))
	}
	if v.Kind() == reflect.String && !isStringer(v.Type()) {
		return r.writeString(n, v.String())
	}
	switch v.Kind() {
	case reflect.Func, reflect.Chan:
		return r.fail(n, errors.New("cannot print a function"))
	}
	size, err := r.measure(v, r.t.maxOutput)
	if err == nil && size.addressed {
		err = errAddress
	}
	if err != nil {
		return r.fail(n, err)
	}
	return r.writeString(n, fmt.Sprint(v.Interface()))
}

func (r *renderer) writeString(n parse.Node, text string) error {
	if len(r.out)+len(text) > r.t.maxOutput {
		return r.write(n, []byte(text))
	}
	r.out = append(r.out, text...)
	return nil
}
