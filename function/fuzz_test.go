package function_test

import (
	"encoding/json"
	"errors"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/davit-project/davit/function"
)

// FuzzDecode feeds arguments that a document can hold. Decoding must not panic, must say ErrArguments where it fails, and what
// Check finds certain to be wrong must not decode.
func FuzzDecode(f *testing.F) {
	f.Add("text: a\nwhole: 3\ntimeout: 1h\npods: a b\nlabels: {a: b}")
	f.Add("text: null\nref: {name: 1, x: 2}\nrefs: [{name: a}]\nmaybe: 1e3")
	f.Add("groups: '- a'\ncommand: [a, null]\nmodes: once\nextra: [[{a: .nan}]]")
	f.Add("text: [1]\nsmall: 300\ncount: -1\nratio: .inf\nwait: yep\noverride: {1: a}")
	fn := function.Declare[everything, struct{}]("F", "Takes everything.", nil)
	f.Fuzz(func(t *testing.T, document string) {
		var args map[string]any
		if yaml.Unmarshal([]byte(document), &args) != nil {
			return
		}
		err := fn.Validate(args)
		if err != nil && (!errors.Is(err, function.ErrArguments) || !function.IsPermanent(err)) {
			t.Fatalf("not an error of arguments: %v", err)
		}
		if problems := fn.Check(args); err == nil && len(problems) > 0 {
			t.Fatalf("arguments decode, but check finds %v", problems)
		}
		for _, p := range fn.Check(args) {
			fn.Schema().RawPath(p.Path)
		}
	})
}

// FuzzOutputs feeds outputs that a container can make up.
func FuzzOutputs(f *testing.F) {
	f.Add(`{"a": 1, "b": [null, {"c": 1.5}], "d": "x"}`)
	f.Fuzz(func(t *testing.T, document string) {
		var out function.Outputs
		if json.Unmarshal([]byte(document), &out) != nil {
			return
		}
		got, err := run(t, out)
		if err != nil {
			return
		}
		if _, err := json.Marshal(got); err != nil {
			t.Fatalf("outputs cannot be journalled: %v", err)
		}
	})
}
