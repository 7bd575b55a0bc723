package kube

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/client-go/util/jsonpath"

	"github.com/davit-project/davit/template"
)

// Bounds of a condition, in bytes, and of each path in it. A path may descend everywhere once, because each such step multiplies
// the work.
const (
	maxCondition = 16 << 10
	maxPath      = 1 << 10
	maxUnions    = 16
	maxResult    = 64 << 10
)

// pathCondition is a condition of Wait: paths in braces are replaced by what they find in the object, and the result is
// executed as a template without data. What stands in the object never becomes part of the template's code: in a string it is
// escaped, elsewhere in an action only a number, true or false is taken.
type pathCondition struct {
	parts []part
}

// part is a piece of a condition: literal text followed by a path, if there is one.
type part struct {
	text, path string
	in         site
}

// site is where in a template something stands.
type site int

const (
	inText site = iota
	inAction
	inString
	inRawString
	inChar
)

var numberOrBool = regexp.MustCompile(`^([-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?|true|false)$`)

func compilePathCondition(text string) (condition, error) {
	if len(text) > maxCondition {
		return nil, fmt.Errorf("a condition of %d bytes, at most %d are allowed", len(text), maxCondition)
	}
	parts, err := splitPaths(text)
	if err != nil {
		return nil, err
	}
	c := pathCondition{parts}
	for _, p := range parts {
		if err := checkPath(p); err != nil {
			return nil, err
		}
	}
	sample, err := c.fill(func(p part) (string, error) { return "0", nil })
	if err != nil {
		return nil, err
	}
	t, err := conditionEnv().Compile("", sample)
	if err != nil {
		return nil, err
	}
	for _, ref := range t.References() {
		if template.CheckPath(ref.Path) != nil {
			path := strings.Join(ref.Path, ".")
			return nil, fmt.Errorf("a condition of Wait reads the object through paths in braces: write \"{$.%s}\" for .%s, or use WaitV2", path, path)
		}
	}
	return c, nil
}

func conditionEnv() *template.Env { return &template.Env{MaxOutput: maxResult} }

// checkPath reports what can be said of a path without an object.
func checkPath(p part) error {
	switch {
	case p.path == "":
		return nil
	case p.in == inChar:
		return fmt.Errorf(`%s stands between single quotes: use double ones`, p.path)
	case len(p.path) > maxPath:
		return fmt.Errorf("a path of %d bytes, at most %d are allowed", len(p.path), maxPath)
	case strings.Count(p.path, "..") > 1:
		return fmt.Errorf("%s has more than one \"..\"", p.path)
	case strings.Count(p.path, ",") > maxUnions:
		return fmt.Errorf("%s has more than %d commas", p.path, maxUnions)
	}
	if err := jsonpath.New("").Parse(p.path); err != nil {
		return fmt.Errorf("%s is no JSONPath: %w", p.path, err)
	}
	return nil
}

// fill makes the text of the template: value returns what a path is replaced by.
func (c pathCondition) fill(value func(part) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range c.parts {
		b.WriteString(p.text)
		if p.path == "" {
			continue
		}
		v, err := value(p)
		if err == nil {
			v, err = p.escape(v)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", p.path, err)
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// escape makes a value fit for the place where it is put.
func (p part) escape(value string) (string, error) {
	quoted := strconv.Quote(value)
	switch p.in {
	case inText:
		return "{{" + quoted + "}}", nil
	case inString:
		return quoted[1 : len(quoted)-1], nil
	case inRawString:
		if strings.Contains(value, "`") {
			return "", errors.New("the value has a backquote: put the path between double quotes")
		}
		return value, nil
	default:
		if !numberOrBool.MatchString(value) {
			return "", errors.New("the value is neither a number nor true or false: put the path between double quotes")
		}
		return value, nil
	}
}

func (c pathCondition) render(object map[string]any) (string, error) {
	object, _ = wholeNumbers(object).(map[string]any)
	text, err := c.fill(func(p part) (string, error) { return findPath(p.path, object) })
	if err != nil {
		return "", err
	}
	t, err := conditionEnv().Compile("", text)
	if err != nil {
		return "", err
	}
	return t.Render(nil)
}

// findPath evaluates a path as kubectl does. What is not there is an error.
func findPath(path string, object map[string]any) (string, error) {
	j := jsonpath.New("") // evaluating changes it
	if err := j.Parse(path); err != nil {
		return "", err
	}
	var b limitedBuilder
	if err := j.Execute(&b, object); err != nil {
		return "", err
	}
	return b.String(), nil
}

// limitedBuilder is a strings.Builder with a bound.
type limitedBuilder struct{ strings.Builder }

// Write fails when the text would become too long.
func (b *limitedBuilder) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxResult {
		return 0, fmt.Errorf("finds more than %d bytes", maxResult)
	}
	return b.Builder.Write(p)
}

// wholeNumbers returns a copy in which numbers without a fraction are integers, as in an object that kubectl reads: 1000000 prints
// as such and compares with the numbers of a filter.
func wholeNumbers(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, e := range v {
			out[key] = wholeNumbers(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = wholeNumbers(e)
		}
		return out
	}
	return v
}
