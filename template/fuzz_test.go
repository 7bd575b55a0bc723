package template

import (
	"strings"
	"testing"
	text "text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
	"github.com/stretchr/testify/require"
)

// seeds are texts of every construct, and what is hostile.
func seeds() []string {
	return append([]string{
		"", "{{", "}}", "{{ . }}", "{{ .Time }}", "{{ $ }}", "{{ index .Options \"x\" }}", "{{ (index .Object.spec.nodeSets 0).name }}",
		"{{ range $i, $p := .StatefulSet.Pods }}{{ $i }}{{ $p }}{{ else }}x{{ end }}", "{{ range .Object }}{{ . }}{{ end }}",
		"{{ with $x := .Profile }}{{ $x.Location }}{{ end }}", "{{ if and .Profile (eq .Time \"x\") }}a{{ else if .PVC }}b{{ end }}",
		"{{ define \"a\" }}{{ .Name }}{{ end }}{{ template \"a\" .StatefulSet }}", "{{ block \"b\" . }}{{ .Time }}{{ end }}", "{{- /* c */ -}} x {{- 1 -}} y",
		"{{ $a := 1 }}{{ range 3 }}{{ $a = . }}{{ end }}{{ $a }}", "{{ range 5 }}{{ if eq . 3 }}{{ break }}{{ end }}{{ continue }}{{ end }}",
		"{{ 1.5 }}{{ 0x1p4 }}{{ 'x' }}{{ 1i }}{{ true }}{{ nil }}", "{{ print 1 \"a\" .Time | html | js }}", "{{ .Time | len | eq 3 | not }}", "{{ slice \"abc\" 1 2 }}",
		"{{ le 1 2 }}{{ lt \"a\" \"b\" }}{{ ne 1.0 2.0 }}{{ ge 1 1 }}", "{{ and }}", "{{ or 0 nil }}", "{{ index 1 2 }}", "{{ .Secrets.aws.Data.key | toString }}",
	}, hostile...)
}

func FuzzCompileRender(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	env := &Env{MaxOutput: 4096, MaxSteps: 2000, Now: func() time.Time { return time.Unix(0, 0) }}
	f.Fuzz(func(t *testing.T, s string) {
		tmpl, err := env.Compile("x", s)
		if err != nil {
			var e *Error
			require.ErrorAs(t, err, &e)
			return
		}
		for _, ref := range tmpl.References() {
			require.Positive(t, ref.Line)
			require.Positive(t, ref.Column)
			require.LessOrEqual(t, ref.Line, strings.Count(s, "\n")+1)
		}
		data := fullParams()
		start := time.Now()
		out, err := tmpl.Render(data)
		require.Less(t, time.Since(start), time.Minute)
		require.Equal(t, fullParams(), data, "the data is only read")
		if err != nil {
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Empty(t, out)
			return
		}
		require.LessOrEqual(t, len(out), 4096)
		again, err := tmpl.Render(data)
		require.NoError(t, err)
		require.Equal(t, out, again)
	})
}

// FuzzSameAsTextTemplate compares with text/template and sprig. What both render is the same.
func FuzzSameAsTextTemplate(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	std := text.FuncMap{}
	for name, impl := range sprig.TxtFuncMap() {
		if f := builtins()[name]; f != nil && !slicesContainsAny(name, "keys", "values", "now", "ago", "date", "typeOf", "typeIs", "typeIsLike", "kindOf", "kindIs", "slice", "must") {
			std[name] = impl
		}
	}
	env := &Env{MaxOutput: 4096, MaxSteps: 500}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "printf") {
			return // %p and %T tell of pointers and types of ours
		}
		theirs, err := text.New(treeName).Option("missingkey=error").Funcs(std).Parse(s)
		if err != nil {
			return
		}
		ours, err := env.Compile("x", s)
		require.NoError(t, err)
		got, err := ours.Render(fullParams())
		if err != nil {
			return // ours is stricter
		}
		var want strings.Builder
		if err := theirs.Execute(&want, fullParams()); err != nil {
			return
		}
		require.Equal(t, want.String(), got)
	})
}

func slicesContainsAny(name string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(strings.ToLower(name), strings.ToLower(part)) {
			return true
		}
	}
	return false
}

func FuzzCompileValue(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s, s, 3)
	}
	env := &Env{MaxOutput: 4096, MaxSteps: 500}
	f.Fuzz(func(t *testing.T, key, value string, n int) {
		in := map[string]any{key: value, "m": map[string]any{key: []any{value, nil, n, true, []byte(value)}}, "raw": value}
		v, err := env.CompileValue("args", in, func(path string) bool { return path == "raw" })
		if err != nil {
			return
		}
		count := 0
		v.Walk(func(string, *Template) { count++ })
		require.Positive(t, count)
		out, err := v.Render(fullParams())
		if err != nil {
			return
		}
		m := out.(map[string]any)
		require.Contains(t, m, key)
		require.Equal(t, value, m["raw"])
		for _, list := range m["m"].(map[string]any) {
			require.Equal(t, []any{nil, n, true, []byte(value)}, list.([]any)[1:])
		}
	})
}
