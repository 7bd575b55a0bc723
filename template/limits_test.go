package template

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostile are templates that would take time or memory without end.
var hostile = []string{
	`{{ repeat 1000000000 "x" }}`,
	`{{ repeat 9223372036854775807 "xx" }}`,
	`{{ range until 1000000000 }}{{ end }}`,
	`{{ range untilStep -9223372036854775807 9223372036854775807 1 }}{{ end }}`,
	`{{ range 1000000000 }}{{ end }}`,
	`{{ range 1000000000 }}x{{ end }}`,
	`{{ regexFindAll "" (repeat 1000000 "x") -1 }}`,
	`{{ regexSplit "" (repeat 1000000 "x") -1 }}`,
	`{{ range until 300 }}{{ $_ := semverCompare (repeat 250000 "1||") "1.2.3" }}{{ end }}`,
	`{{ $l := list }}{{ range $i := until 500 }}{{ $l = append $l (list (until 50) $i) }}{{ end }}{{ range until 100 }}{{ $_ := uniq $l }}{{ end }}`,
	`{{ seq 1 1000000000 }}`,
	`{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`,
	`{{ define "x" }}{{ template "x" . }}{{ template "x" . }}{{ end }}{{ template "x" 1 }}`,
	`{{ $d := dict }}{{ $_ := set $d "a" $d }}{{ $d }}`,
	`{{ $d := dict }}{{ $e := dict "d" $d }}{{ $_ := set $d "e" $e }}{{ toJson $d }}`,
	`{{ $l := list 1 }}{{ range until 100 }}{{ $l = list $l $l }}{{ end }}{{ $l }}`,
	`{{ $l := list 1 }}{{ range until 1000 }}{{ $l = list $l }}{{ end }}{{ $l }}`,
	`{{ $s := "x" }}{{ range until 60 }}{{ $s = print $s $s }}{{ end }}{{ $s }}`,
	`{{ $s := "x" }}{{ range until 60 }}{{ $s = cat $s $s }}{{ end }}`,
	`{{ $s := "x" }}{{ range until 60 }}{{ $s = quote $s $s }}{{ end }}`,
	`{{ $s := "x" }}{{ range until 60 }}{{ $s = replace "x" "xx" $s }}{{ end }}`,
	`{{ $s := "x" }}{{ range until 60 }}{{ $s = toJson $s }}{{ end }}`,
	`{{ $s := "<" }}{{ range until 60 }}{{ $s = html $s $s }}{{ end }}`,
	`{{ $s := "<" }}{{ range until 60 }}{{ $s = js $s $s }}{{ end }}`,
	`{{ $s := "<" }}{{ range until 60 }}{{ $s = urlquery $s $s }}{{ end }}`,
	`{{ $l := list 1 }}{{ range until 60 }}{{ $l = concat $l $l }}{{ end }}`,
	`{{ printf "%1000000d %1000000d %1000000d %1000000d %1000000d" 1 1 1 1 1 }}`,
	`{{ printf "%*d%[1]*[2]d%[1]*[2]d%[1]*[2]d%[1]*[2]d" 1000000 1 }}`,
	`{{ printf "%500000d" (until 1000) }}`,
	`{{ printf (repeat 100000 "%[1]s") (repeat 100000 "x") }}`,
	`{{ indent 1000000000 "x" }}`,
	`{{ nindent 100000 (repeat 1000 "\n") }}`,
	`{{ join (repeat 100000 ",") (until 10000) }}`,
	`{{ wrapWith 1 (repeat 100000 ",") (repeat 100000 "x ") }}`,
	`{{ replace "" (repeat 100000 "x") (repeat 100000 "x") }}`,
	`{{ regexReplaceAll "" (repeat 100000 "x") (repeat 100000 "y") }}`,
	`{{ regexReplaceAllLiteral "" (repeat 100000 "x") (repeat 100000 "y") }}`,
	`{{ regexReplaceAll ".*" (repeat 100000 "x") (repeat 10000 "$0") }}`,
	`{{ regexMatch (repeat 2000 "a") "x" }}`,
	`{{ $p := repeat 100 "x{1000}" }}{{ $s := repeat 1000000 "x" }}{{ range until 1000 }}{{ $_ := regexMatch $p $s }}{{ end }}`,
	`{{ $s := repeat 1000000 "x" }}{{ range until 99999 }}{{ $_ := upper $s }}{{ end }}`,
	`{{ $s := repeat 1000000 "x" }}{{ range until 30000 }}{{ $_ := eq $s $s }}{{ end }}`,
	`{{ $a := "" }}{{ range until 40000 }}{{ $a = list $a (repeat 1000 "x") }}{{ end }}`,
	`{{ $l := until 40000 }}{{ uniq $l }}`,
	`{{ split "" (repeat 1000000 "x") }}`,
	`{{ chunk 1 (until 43000) | toPrettyJson }}{{ range until 99 }}{{ chunk 1 (until 40000) | toPrettyJson }}{{ end }}`,
	`{{ fromJson (repeat 9000 "[" | print) }}{{ fromJson (print (repeat 9000 "[") (repeat 9000 "]")) }}`,
	`{{ range until 40000 }}{{ repeat 100 "x" }}{{ end }}`,
	`{{ range until 1000 }}{{ range until 1000 }}{{ end }}{{ end }}`,
}

// TestHostile also keeps the promise about memory: see BenchmarkPromiseHostileMemory.
func TestHostile(t *testing.T) {
	for _, text := range hostile {
		start := time.Now()
		_, err := render(t, text, fullParams())
		if text == `{{ fromJson (repeat 9000 "[" | print) }}{{ fromJson (print (repeat 9000 "[") (repeat 9000 "]")) }}` {
			require.Error(t, err)
		} else {
			require.ErrorIs(t, err, ErrLimit, text)
		}
		require.Less(t, time.Since(start), time.Minute, text)
	}
}

func TestLimits(t *testing.T) {
	env := &Env{MaxOutput: 10, MaxSteps: 5}
	for _, c := range []struct {
		text string
		err  error
	}{
		{"0123456789", nil},
		{"01234567890", ErrLimit},
		{"{{ . }}", nil},
		{"{{ . }}{{ . }}", nil},
		{"{{.}}{{.}}", nil},
	} {
		tmpl, err := env.Compile("x", c.text)
		if len(c.text) > 10 {
			require.ErrorIs(t, err, ErrLimit, c.text)
			continue
		}
		require.NoError(t, err)
		_, err = tmpl.Render("12345")
		require.ErrorIs(t, err, c.err)
	}
	tmpl, err := env.Compile("x", "{{.}}{{.}}")
	require.NoError(t, err)
	_, err = tmpl.Render("123456")
	require.ErrorIs(t, err, ErrLimit)
	require.EqualError(t, err, "x: over the limit: the output has more than 10 bytes")

	_, err = (*Env)(nil).Compile("x", strings.Repeat("{{if 1}}", maxActions+1))
	require.ErrorIs(t, err, ErrLimit)
	deep := strings.Repeat("{{if 1}}", 4000) + "x" + strings.Repeat("{{end}}", 4000)
	got, err := render(t, deep, nil)
	require.NoError(t, err)
	require.Equal(t, "x", got)
}

func TestTreeIsBounded(t *testing.T) {
	list := make([]any, 1000)
	for i := range list {
		list[i] = `{{ repeat 1000000 "x" }}`
	}
	v, err := (*Env)(nil).CompileValue("args", list, nil)
	require.NoError(t, err)
	_, err = v.Render(nil)
	require.ErrorIs(t, err, ErrLimit)
	require.EqualError(t, err, "args[16]: over the limit: the tree up to here takes more than 16 renderings may")
}

func TestVariablesAreBounded(t *testing.T) {
	_, err := render(t, strings.Repeat("{{ $x := 1 }}", maxVariables+1), nil)
	require.ErrorIs(t, err, ErrLimit)
}

// TestReferencesOfHostileTexts ends, and soon.
func TestReferencesOfHostileTexts(t *testing.T) {
	for _, text := range []string{
		"{{ $a := .x }}" + strings.Repeat("{{ $a := $a.b }}", 9000),
		"{{ $a := index . \"" + strings.Repeat("k", 500_000) + "\" }}" + strings.Repeat("{{ $a.b }}", 9000),
		"{{ list" + strings.Repeat(" .a", 300_000) + " }}",
		"{{ " + strings.Repeat("(", 9000) + ".a" + strings.Repeat(").b", 9000) + " }}",
		strings.Repeat("{{ if .a }}", 4000) + "{{ .a.b }}" + strings.Repeat("{{ end }}", 4000),
		strings.Repeat("{{ range .a }}", 4000) + "{{ . }}" + strings.Repeat("{{ end }}", 4000),
		"{{/* " + strings.Repeat("\x80", 100_000) + " */}}{{ .a }}", strings.Repeat("\x80", 100_000) + "{{ .a }}", strings.Repeat("é", 100_000) + "{{ .a }}",
		"{{ if " + strings.Repeat("(eq (", 2000) + ".a" + strings.Repeat(") 1)", 2000) + " }}{{ end }}",
	} {
		tmpl, err := (*Env)(nil).Compile("x", text)
		require.NoError(t, err)
		start := time.Now()
		require.NotEmpty(t, tmpl.References())
		require.Less(t, time.Since(start), time.Minute)
	}
}

// TestMutationStaysInside renders functions that change maps and lists, on the data of the run.
func TestMutationStaysInside(t *testing.T) {
	data, same := fullParams(), fullParams()
	data.StatefulSet.Pods, same.StatefulSet.Pods = []string{"b", "a"}, []string{"b", "a"}
	for _, c := range []struct{ text, want string }{
		{`{{ $_ := set .Object.metadata "name" "changed" }}{{ .Object.metadata.name }}`, "changed"},
		{`{{ $_ := set .Phases.dump.Output "size" 1 }}{{ .Phases.dump.Output.size }}`, "1"},
		{`{{ $_ := unset .Object "metadata" }}{{ hasKey .Object "metadata" }}`, "false"},
		{`{{ $m := merge (dict) .Object (dict "metadata" (dict "new" 1)) }}{{ hasKey $m.metadata "new" }}`, "true"},
		{`{{ $_ := mergeOverwrite .Object (dict "metadata" (dict "name" "y")) }}{{ .Object.metadata.name }}`, "y"},
		{`{{ $m := merge (dict) .Object }}{{ $_ := set $m.metadata "name" "z" }}{{ $m.metadata.name }}`, "z"},
		{`{{ sortAlpha .StatefulSet.Pods }}{{ .StatefulSet.Pods }}`, "[a b][b a]"},
		{`{{ toStrings .StatefulSet.Pods | sortAlpha }}{{ .StatefulSet.Pods }}`, "[a b][b a]"},
		{`{{ append (slice .StatefulSet.Pods 0 1) "c" }}{{ .StatefulSet.Pods }}`, "[b c][b a]"},
		{`{{ reverse .StatefulSet.Pods }}`, "[a b]"},
	} {
		got, err := render(t, c.text, data)
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, got, c.text)
		require.Equal(t, same, data, c.text)
	}
}
