package function_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

func TestConversions(t *testing.T) {
	five := 5
	tests := map[string]struct {
		arg   string
		value any
		got   func(everything) any
		want  any
	}{
		"number to text":              {"text", int64(5), func(e everything) any { return e.Text }, "5"},
		"fraction to text":            {"text", 1.5, func(e everything) any { return e.Text }, "1.5"},
		"large number to text":        {"text", int64(math.MaxInt64), func(e everything) any { return e.Text }, "9223372036854775807"},
		"large float to text":         {"text", 1e15, func(e everything) any { return e.Text }, "1000000000000000"},
		"boolean to text":             {"text", true, func(e everything) any { return e.Text }, "1"},
		"false to text":               {"text", false, func(e everything) any { return e.Text }, "0"},
		"text to number":              {"whole", "-12", func(e everything) any { return e.Whole }, -12},
		"leading zero is decimal":     {"whole", "010", func(e everything) any { return e.Whole }, 10},
		"float to number":             {"whole", 3.0, func(e everything) any { return e.Whole }, 3},
		"unsigned to number":          {"whole", uint8(3), func(e everything) any { return e.Whole }, 3},
		"smallest":                    {"small", "-128", func(e everything) any { return e.Small }, int8(-128)},
		"largest unsigned":            {"count", 65535, func(e everything) any { return e.Count }, uint16(65535)},
		"text to fraction":            {"ratio", "1e-3", func(e everything) any { return e.Ratio }, 0.001},
		"number to fraction":          {"ratio", 2, func(e everything) any { return e.Ratio }, 2.0},
		"text to boolean":             {"wait", "False", func(e everything) any { return e.Wait }, false},
		"no to boolean":               {"wait", "no", func(e everything) any { return e.Wait }, false},
		"zero to boolean":             {"wait", int64(0), func(e everything) any { return e.Wait }, false},
		"text to duration":            {"timeout", "1h30m", func(e everything) any { return e.Timeout }, 90 * time.Minute},
		"number to secret":            {"password", 1234, func(e everything) any { return e.Password.Reveal() }, "1234"},
		"words":                       {"pods", " a\n b\tc ", func(e everything) any { return e.Pods }, []string{"a", "b", "c"}},
		"no words":                    {"pods", "", func(e everything) any { return e.Pods }, []string{}},
		"list of words":               {"pods", []any{"a", "b"}, func(e everything) any { return e.Pods }, []string{"a", "b"}},
		"scalar to list":              {"command", "ls -l", func(e everything) any { return e.Command }, []string{"ls -l"}},
		"numbers in a list":           {"command", []any{"sleep", int64(5)}, func(e everything) any { return e.Command }, []string{"sleep", "5"}},
		"list of Go":                  {"command", []string{"a"}, func(e everything) any { return e.Command }, []string{"a"}},
		"text that is no list":        {"command", "- a", func(e everything) any { return e.Command }, []string{"- a"}},
		"YAML list":                   {"groups", "- sg-1\n- sg-2\n", func(e everything) any { return e.Groups }, []string{"sg-1", "sg-2"}},
		"YAML list in brackets":       {"groups", "[sg-1]", func(e everything) any { return e.Groups }, []string{"sg-1"}},
		"blank YAML list":             {"groups", "\n", func(e everything) any { return e.Groups }, []string{}},
		"text where YAML is possible": {"groups", "sg-1", func(e everything) any { return e.Groups }, []string{"sg-1"}},
		"enum in a list":              {"modes", "ONCE", func(e everything) any { return e.Modes }, []string{"Once"}},
		"map":                         {"labels", map[any]any{"a": 1}, func(e everything) any { return e.Labels }, map[string]string{"a": "1"}},
		"map of Go":                   {"labels", map[string]string{"a": "b"}, func(e everything) any { return e.Labels }, map[string]string{"a": "b"}},
		"override": {"override", map[any]any{"a": []any{map[any]any{"b": nil}}}, func(e everything) any { return e.Override },
			map[string]any{"a": []any{map[string]any{"b": nil}}}},
		"anything":       {"extra", uint16(7), func(e everything) any { return e.Extra }, int64(7)},
		"pointer":        {"maybe", "5", func(e everything) any { return e.Maybe }, &five},
		"null":           {"maybe", nil, func(e everything) any { return e.Maybe }, (*int)(nil)},
		"null default":   {"timeout", nil, func(e everything) any { return e.Timeout }, 90 * time.Second},
		"object":         {"ref", map[string]any{"name": 1}, func(e everything) any { return e.Ref }, &nested{Name: "1"}},
		"object as null": {"ref", nil, func(e everything) any { return e.Ref }, (*nested)(nil)},
		"objects": {"refs", []any{map[string]any{"name": "a", "test": "{{ .x }}"}}, func(e everything) any { return e.Refs },
			[]nested{{Name: "a", Test: "{{ .x }}"}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			args := map[string]any{"text": "x"}
			args[tc.arg] = tc.value
			got, err := decode(t, args)
			require.NoError(t, err)
			require.Equal(t, tc.want, tc.got(got))
		})
	}
}

func TestFaults(t *testing.T) {
	deep := any("x")
	for range 300 {
		deep = []any{deep}
	}
	loop := map[string]any{}
	loop["loop"] = loop
	tests := map[string]struct {
		arg   string
		value any
		want  string
	}{
		"list for a text":          {"text", []any{"a"}, "text: must be a text, is a list of 1"},
		"null for a text":          {"text", nil, "text: argument is required but null"},
		"unknown":                  {"txet", "a", `txet: argument is not known; did you mean "text"?`},
		"unknown and null":         {"foo", nil, "foo: argument is not known"},
		"unknown with line breaks": {"a\nb", 1, `bad arguments: "a\nb": argument is not known`},
		"unknown by case":          {"Wait", "a", `Wait: argument is not known; did you mean "wait"?`},
		"fraction":                 {"whole", 1.5, "whole: must be a whole number, is 1.5"},
		"boolean for a number":     {"whole", true, "whole: must be a whole number, is true"},
		"empty number":             {"whole", "", `whole: must be a whole number, is ""`},
		"hexadecimal":              {"whole", "0x10", `whole: must be a whole number, is "0x10"`},
		"two signs":                {"whole", "+-1", `whole: must be a whole number, is "+-1"`},
		"overflow":                 {"small", 128, "small: must fit into 8 bits, is 128"},
		"overflow by text":         {"whole", "9223372036854775808", `whole: must fit into 64 bits, is "9223372036854775808"`},
		"overflow by float":        {"whole", 1e300, "whole: must fit into 64 bits"},
		"negative":                 {"count", -1, "count: must not be negative, is -1"},
		"not a number":             {"ratio", math.NaN(), "ratio: must be a number, is NaN"},
		"infinite text":            {"ratio", "Inf", `ratio: must be a number, is "Inf"`},
		"boolean":                  {"wait", "perhaps", `wait: must be true or false, is "perhaps"`},
		"duration":                 {"timeout", 5, "timeout: must be a duration with a unit, such as 1h30m, is 5"},
		"empty list":               {"command", []any{}, "command: must not be empty"},
		"null in a list":           {"command", []any{"a", nil}, "command[1]: must not be null"},
		"map for a list":           {"command", map[string]any{}, "command: must be a list, is a map of 0"},
		"bad YAML list":            {"groups", []any{[]any{}}, "groups[0]: must be a text, is a list of 0"},
		"enum":                     {"modes", []any{"Mony"}, `modes[0]: must be one of Once, Many, is "Mony"; did you mean "Many"?`},
		"null in a map":            {"labels", map[string]any{"a": nil}, "labels.a: must not be null"},
		"text for a map":           {"labels", "a: b", `labels: must be a map with texts as keys, is "a: b"`},
		"key that is no text":      {"labels", map[any]any{1: "a"}, "labels: must be a map with texts as keys, is a map of 1"},
		"function in an override":  {"override", map[string]any{"a": func() {}}, "override.a: is a func(); only texts"},
		"unknown field":            {"ref", map[string]any{"name": "a", "nam": "b"}, `ref.nam: field is not known; did you mean "name"?`},
		"missing field":            {"refs", []any{map[string]any{}}, "refs[0].name: field is required but missing"},
		"deep":                     {"extra", deep, "is nested more than 200 deep"},
		"endless":                  {"extra", loop, "is nested more than 200 deep"},
		"long text is not shown":   {"whole", string(make([]byte, 100)), "whole: must be a whole number, is a text of 100 bytes"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			args := map[string]any{"text": "x"}
			args[tc.arg] = tc.value
			_, err := decode(t, args)
			require.ErrorContains(t, err, tc.want)
			require.ErrorIs(t, err, function.ErrArguments)
			require.True(t, function.IsPermanent(err))
		})
	}
}

func TestAllFaultsAtOnceSorted(t *testing.T) {
	_, err := decode(t, map[string]any{"wait": "?", "bogus": 1, "ref": map[string]any{"x": 1}})
	require.EqualError(t, err, `function "F": bad arguments: bogus: argument is not known; ref.name: field is required but missing; `+
		`ref.x: field is not known; text: argument is required but missing; wait: must be true or false, is "?"`)
}

func TestDecodedValuesAreCopies(t *testing.T) {
	override := map[string]any{"a": map[string]any{"b": "c"}}
	got, err := decode(t, map[string]any{"text": "", "override": override})
	require.NoError(t, err)
	got.Override["a"].(map[string]any)["b"] = "changed"
	require.Equal(t, map[string]any{"a": map[string]any{"b": "c"}}, override)
}

func TestCheckBeforeRendering(t *testing.T) {
	f := function.Declare[everything, struct{}]("F", "Takes everything.", &function.Options{
		Check: func(args map[string]any) []function.Problem {
			if args["extra"] == "boom" {
				panic(args)
			}
			return nil
		},
	})
	tests := map[string]struct {
		args map[string]any
		want []function.Problem
	}{
		"templates may become anything": {args: map[string]any{
			"text": "{{ .x }}", "whole": "{{ .x }}", "wait": "{{ .x }}", "timeout": "{{ .x }}", "pods": "{{ .x }}", "command": "{{ .x }}",
			"groups": "{{ .x }}", "modes": "{{ .x }}", "labels": map[string]any{"{{ .x }}": "{{ .x }}"}, "maybe": "{{ .x }}",
			"ref": map[string]any{"{{ .x }}": "a"}, "extra": "{{ .x }}",
		}},
		"but no map": {map[string]any{"text": "", "labels": "{{ .x }}"}, []function.Problem{
			{Path: "labels", Fault: function.FaultType, Message: `must be a map with texts as keys, is "{{ .x }}"`}}},
		"nor a list of maps": {map[string]any{"text": "", "refs": "{{ .x }}"}, []function.Problem{
			{Path: "refs[0]", Fault: function.FaultType, Message: `must be a map, is "{{ .x }}"`}}},
		"all faults": {map[string]any{"wait": "?", "bogus": "{{ .x }}", "modes": "never"}, []function.Problem{
			{Path: "bogus", Fault: function.FaultUnknown, Message: "argument is not known"},
			{Path: "modes[0]", Fault: function.FaultValue, Message: `must be one of Once, Many, is "never"`},
			{Path: "text", Fault: function.FaultMissing, Message: "argument is required but missing"},
			{Path: "wait", Fault: function.FaultType, Message: `must be true or false, is "?"`}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, tc.want, f.Check(tc.args)) })
	}
	problems := f.Check(map[string]any{"text": "", "extra": "boom"})
	require.Len(t, problems, 1)
	require.Contains(t, problems[0].Message, `function "F (check)" panicked with a map[string]interface {} at decode_test.go:`)
}

func TestRawPath(t *testing.T) {
	type inner struct {
		Name string            `arg:"name" doc:"A name."`
		Test string            `arg:"test,raw" doc:"A template."`
		More map[string]string `arg:"more,raw" doc:"Templates."`
	}
	type outer struct {
		Timeout string             `arg:"timeout,raw" doc:"Literal."`
		AnyOf   []inner            `arg:"anyOf" doc:"Objects."`
		Named   map[string][]inner `arg:"named" doc:"Objects."`
		One     *inner             `arg:"one" doc:"An object."`
		Plain   map[string]any     `arg:"plain" doc:"Anything."`
	}
	s := function.Declare[outer, struct{}]("F", "Tests.", nil).Schema()
	for path, want := range map[string]bool{
		"timeout": true, "timeout[key]": true, "timeouts": false, "": false,
		"anyOf": false, "anyOf[0]": false, "anyOf[0].test": true, "anyOf[12].test": true, "anyOf[0].name": false, "anyOf[0].more.x": true,
		"anyOf.test": false, "anyOf[0": false, "anyOf]": false, "anyOf[0]test": false,
		"one.test": true, "one.name": false, "onetest": false,
		"named.a.b[0].test": true, "named.a[0].b[1].test": true, "named.a.b[0].name": false, "named.": false,
		"plain.test": false, "bogus.test": false,
	} {
		require.Equal(t, want, s.RawPath(path), path)
	}
}
