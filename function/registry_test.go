package function_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

func versioned(name, version, doc string) function.Func {
	return function.Declare[struct{}, struct{}](name, doc, &function.Options{Version: version})
}

func TestLookup(t *testing.T) {
	reg, err := function.NewRegistry(
		versioned("KubeExec", "", "Default."),
		versioned("KubeExec", "v1.0.0-alpha", "Alpha."),
		versioned("KubeExec", "1.10.0", "Ten."),
		versioned("KubeExec", "v1.9.0", "Nine."),
		versioned("New", "v2.0.0", "Two."),
	)
	require.NoError(t, err)
	tests := map[string]struct {
		name, version string
		doc           string
		err           error
		message       string
	}{
		"default":               {name: "KubeExec", doc: "Default."},
		"default by name":       {name: "KubeExec", version: "v0.0.0", doc: "Default."},
		"default without v":     {name: "KubeExec", version: "0.0.0", doc: "Default."},
		"preferred":             {name: "KubeExec", version: "v1.0.0-alpha", doc: "Alpha."},
		"preferred without v":   {name: "KubeExec", version: "1.0.0-alpha", doc: "Alpha."},
		"preferred with v":      {name: "KubeExec", version: "v1.10.0", doc: "Ten."},
		"fallback":              {name: "KubeExec", version: "v7.0.0", doc: "Default."},
		"only":                  {name: "New", version: "v2.0.0", doc: "Two."},
		"unknown":               {name: "kubeexec", err: function.ErrUnknown, message: `unknown function "kubeexec"; did you mean "KubeExec"?`},
		"unknown and far":       {name: "Backup", err: function.ErrUnknown, message: `unknown function "Backup"`},
		"no version":            {name: "KubeExec", version: "new", err: function.ErrVersion, message: `unknown version of function "KubeExec": version "new": `},
		"neither nor":           {name: "New", version: "v1.0.0", err: function.ErrVersion, message: `unknown version of function "New": neither v1.0.0 nor v0.0.0 is registered, only v2.0.0`},
		"default is not there":  {name: "New", err: function.ErrVersion, message: `only v2.0.0`},
		"case matters in names": {name: "NEW", err: function.ErrUnknown, message: `did you mean "New"?`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := reg.Lookup(tc.name, tc.version)
			if tc.err != nil {
				require.ErrorIs(t, err, tc.err)
				require.ErrorContains(t, err, tc.message)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.doc, f.Schema().Doc)
		})
	}
	var got []string
	for _, s := range reg.Schemas() {
		got = append(got, s.Name+" "+s.Version)
	}
	require.Equal(t, []string{"KubeExec v0.0.0", "KubeExec v1.0.0-alpha", "KubeExec v1.9.0", "KubeExec 1.10.0", "New v2.0.0"}, got)
}

func TestWithReplacesInACopy(t *testing.T) {
	old, err := function.NewRegistry(versioned("A", "v1.0.0", "Old."), versioned("B", "", "Old."))
	require.NoError(t, err)
	changed, err := old.With(versioned("A", "1.0.0", "New."), versioned("C", "", "New."))
	require.NoError(t, err)
	require.Len(t, old.Schemas(), 2)
	require.Len(t, changed.Schemas(), 3)
	require.Equal(t, "Old.", old.Schemas()[0].Doc)
	require.Equal(t, "New.", changed.Schemas()[0].Doc)
}

func TestNoRegistry(t *testing.T) {
	var reg *function.Registry
	_, err := reg.Lookup("A", "")
	require.ErrorIs(t, err, function.ErrUnknown)
	require.Empty(t, reg.Schemas())
	_, err = (&function.Registry{}).Lookup("A", "")
	require.ErrorIs(t, err, function.ErrUnknown)
}

func TestRegistryReportsAllFaults(t *testing.T) {
	type loop struct {
		Self []*loop `arg:"self" doc:"Itself."`
	}
	type bad struct {
		hidden  int               //nolint:unused // a fault on purpose
		Untaged int               `doc:"No tag."`
		NoDoc   int               `arg:"noDoc"`
		Name    int               `arg:"no name" doc:"A bad name."`
		Twice   int               `arg:"noDoc" doc:"A name that is used."`
		Option  int               `arg:"option,often" doc:"A bad option."`
		Chan    chan int          `arg:"chan" doc:"A bad type."`
		Keys    map[int]string    `arg:"keys" doc:"A bad type."`
		Enum    int               `arg:"enum" enum:"a,b" doc:"An enum of numbers."`
		Default int               `arg:"default" default:"x" doc:"A bad default."`
		Choice  string            `arg:"choice" default:"c" enum:"a,b" doc:"A bad default."`
		Words   string            `arg:"words,words" doc:"Words that are none."`
		YAML    string            `arg:"yaml,yaml" doc:"YAML that is none."`
		Loop    loop              `arg:"loop" doc:"A loop."`
		Inner   struct{ X int }   `arg:"inner" doc:"A bad field."`
		Labels  map[string]func() `arg:"labels" doc:"A bad value."`
	}
	type badOut struct {
		Secret function.Secret `out:"secret" doc:"A secret."`
		Raw    string          `out:"raw,raw" doc:"An option of arguments."`
	}
	_, err := function.NewRegistry(
		function.Declare[bad, badOut]("bad name", " ", &function.Options{Version: "new"}),
		function.Declare[int, string]("Ints", "Takes no struct.", nil),
		function.Define[struct{}, struct{}]("Nil", "Has nothing to run.", nil, nil),
		function.Func{},
		versioned("A", "1.0.0", "First."), versioned("A", "v1.0.0", "Second."),
	)
	for _, want := range []string{
		`function "bad name": name is not a letter`, "no documentation", `version "new"`,
		"hidden: field is not exported", "Untaged: field has no tag arg", "noDoc: no doc", `Name: name "no name" is not`,
		"noDoc: name is used twice", `option: unknown option "often"`, "chan: type chan int is not supported",
		"keys: type map[int]string is not supported", "enum: enum needs a string", "default: default: must be a whole number",
		`choice: default: must be one of a, b, is "c"`, "words: option words needs a []string", "yaml: option yaml needs a list",
		"loop.self[]: type function_test.loop contains itself", "inner.X: field has no tag arg", "labels.*: type func() is not supported",
		"secret: type function.Secret is not supported", `raw: unknown option "raw"`,
		`function "Ints": arguments: type int is not a struct`, "outputs: type string is neither Outputs nor a struct",
		`function "Nil": nothing to run`, "function without a declaration", `function "A": version 1.0.0 is given twice`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.Error(t, function.Declare[bad, badOut]("bad", "Bad.", nil).Validate(nil))
}
