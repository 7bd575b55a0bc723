package blueprint_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/template"
	"github.com/stretchr/testify/require"
)

const header = "apiVersion: cr.kanister.io/v1alpha1\nkind: Blueprint\nmetadata: {name: bp}\n"

func TestParse(t *testing.T) {
	f := blueprint.Parse("bp.yaml", []byte(`
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: db, namespace: backup, annotations: {any: [thing]}}
actions:
  restore: {}
  backup:
    kind: StatefulSet
    configMapNames: [location]
    secretNames: [aws]
    inputArtifactNames: [last]
    outputArtifacts:
      dump: {keyValue: {path: /x}, kopiaSnapshot: s}
    phases:
    - name: dump
      func: KubeTask
      objects:
        creds: {kind: Secret, name: x, namespace: y}
      args:
        text: "1"
        yes: yes
        "on": on
        int: 3
        octal: 0o17
        float: 1.0
        bool: true
        none:
        list: [a, {b: c}]
        empty: {}
        day: 2024-01-01
      timeout: 1h30m
      retry: {attempts: 3, backoff: 2s}
      if: '{{ true }}'
    deferPhase: {func: Quiet, if: false}
`))
	require.Empty(t, f.Diagnostics)
	require.Len(t, f.Blueprints, 1)
	bp := f.Blueprints[0]
	require.Equal(t, "db", bp.Name)
	require.Equal(t, "backup", bp.Namespace)
	require.Equal(t, []string{"restore", "backup"}, bp.ActionNames)
	require.Equal(t, &blueprint.Action{
		Name: "backup", Kind: "StatefulSet", ConfigMapNames: []string{"location"}, SecretNames: []string{"aws"},
		InputArtifactNames: []string{"last"},
		OutputArtifacts:    map[string]template.Artifact{"dump": {KeyValue: map[string]string{"path": "/x"}, KopiaSnapshot: "s"}},
		Phases: []*blueprint.Phase{{
			Name: "dump", Func: "KubeTask", Objects: map[string]template.ObjectReference{"creds": {Kind: "Secret", Name: "x", Namespace: "y"}},
			Args: map[string]any{"text": "1", "yes": "yes", "on": "on", "int": int64(3), "octal": int64(15), "float": 1.0, "bool": true, "none": nil,
				"list": []any{"a", map[string]any{"b": "c"}}, "empty": map[string]any{}, "day": "2024-01-01"},
			Timeout: 90 * time.Minute, Retry: &blueprint.Retry{Attempts: 3, Backoff: 2 * time.Second, MaxBackoff: 5 * time.Minute}, If: "{{ true }}",
		}},
		DeferPhase: &blueprint.Phase{Func: "Quiet", If: "false"},
	}, bp.Actions["backup"])
	at := bp.Source.Positions
	require.Equal(t, blueprint.Position{Line: 28, Column: 23}, at["actions.backup.phases[0].args.list[1].b"])
	require.Equal(t, blueprint.Position{Line: 7, Column: 3}, at["actions.backup[key]"])
}

func TestParseActionSet(t *testing.T) {
	f := blueprint.Parse("as.yaml", []byte(`
apiVersion: cr.kanister.io/v1alpha1
kind: ActionSet
metadata: {generateName: x-, namespace: n, labels: {a: b}}
spec:
  actions:
  - name: backup
    blueprint: bp
    object: {kind: statefulset, name: db, namespace: app}
    artifacts: {a: {keyValue: {k: v}}}
    configMaps: {c: {name: c, namespace: n}}
    secrets: {s: {name: s, namespace: n}}
    profile: {name: p, namespace: n}
    podOverride: {nodeSelector: {a: b}, n: 1}
    options: {x: y}
    preferredVersion: v1.0.0
    podLabels: {l: v}
    podAnnotations: null
status: {state: complete}
`))
	require.Empty(t, f.Diagnostics)
	require.Len(t, f.ActionSets, 1)
	as := f.ActionSets[0]
	require.Equal(t, "x-", as.GenerateName)
	require.Equal(t, map[string]string{"a": "b"}, as.Labels)
	require.Equal(t, []blueprint.ActionSpec{{
		Name: "backup", Blueprint: "bp", Object: template.ObjectReference{Kind: "statefulset", Name: "db", Namespace: "app"},
		Artifacts:   map[string]template.Artifact{"a": {KeyValue: map[string]string{"k": "v"}}},
		ConfigMaps:  map[string]template.ObjectReference{"c": {Name: "c", Namespace: "n"}},
		Secrets:     map[string]template.ObjectReference{"s": {Name: "s", Namespace: "n"}},
		Profile:     &template.ObjectReference{Name: "p", Namespace: "n"},
		PodOverride: map[string]any{"nodeSelector": map[string]any{"a": "b"}, "n": int64(1)},
		Options:     map[string]string{"x": "y"}, PreferredVersion: "v1.0.0", PodLabels: map[string]string{"l": "v"},
	}}, as.Actions)
}

// TestParseForms reads one blueprint in all the forms files come in.
func TestParseForms(t *testing.T) {
	plain := header + "actions:\n  backup:\n    phases:\n    - name: a\n      func: Quiet\n      args:\n        script: |\n          one\n          two {{ .Time }}\n"
	want := blueprint.Parse("x", []byte(plain)).Blueprints[0]
	forms := map[string]string{
		"byte order mark": "\uFEFF" + plain,
		"CRLF":            strings.ReplaceAll(plain, "\n", "\r\n"),
		"CR":              strings.ReplaceAll(plain, "\n", "\r"),
		"marked document": "%YAML 1.1\n---\n" + plain + "...\n",
		"JSON":            string(must(want.JSON())),
		"JSON with tabs":  strings.ReplaceAll(string(must(want.JSON())), ",", ",\n\t"),
	}
	for name, text := range forms {
		t.Run(name, func(t *testing.T) {
			f := blueprint.Parse("x", []byte(text))
			require.Empty(t, f.Diagnostics)
			require.Len(t, f.Blueprints, 1)
			require.Equal(t, want.Actions, f.Blueprints[0].Actions)
			require.Equal(t, want.Digest(), f.Blueprints[0].Digest())
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestParseJunk gives Parse what no text file can hold or what is large.
func TestParseJunk(t *testing.T) {
	deep := header + "actions:\n  backup:\n    phases:\n    - func: Quiet\n      name: a\n      args:\n        x: " + strings.Repeat("[", 120) + strings.Repeat("]", 120)
	many := header + "actions:\n" + strings.Repeat("  ? [a]\n  : b\n", 300)
	wide := header + "actions:\n  backup:\n    phases:\n    - func: Quiet\n      name: a\n      args:\n        " + strings.Repeat("k", 1000) + ": [" + strings.Repeat("1,", 90_000) + "]"
	for _, c := range []struct{ name, data, want string }{
		{"UTF-16", "\xff\xfek\x00i\x00", "x:1:1: error encoding: byte 0xff is not UTF-8; save the file as UTF-8 text"},
		{"Latin-1", "a: é\nb: \xe9", "x:2:4: error encoding: byte 0xe9 is not UTF-8; save the file as UTF-8 text"},
		{"binary", "\x7fELF\x02\x01\x01\x00\x00", "x:1:1: error syntax: control characters are not allowed"},
		{"zeros", strings.Repeat("\x00", 1000), "x:1:1: error syntax: control characters are not allowed"},
		{"large", strings.Repeat(" ", 2<<20+1), "x:1:1: error too-large: the file has 2097153 bytes, at most 2097152 can be read"},
		{"deep", deep, "x:10:113: error too-deep: the document nests more than 100 levels deep"},
		{"very deep", strings.Repeat("[", 20_000), "x:1:1: error syntax: exceeded max depth of 10000"},
		{"very deep JSON", strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000), "x:1:1: error missing-field"},
		{"long paths", wide, "x:10:33356: error too-large: the document is too large once its aliases are expanded"},
		{"unknown anchor", "a: *b", "x:1:1: error syntax: unknown anchor 'b' referenced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := blueprint.Parse("x", []byte(c.data))
			require.NotEmpty(t, f.Diagnostics)
			require.Contains(t, f.Diagnostics[0].String(), c.want)
		})
	}
	t.Run("many syntax errors", func(t *testing.T) {
		f := blueprint.Parse("x", []byte(strings.Repeat("---\n[\n", 100)))
		require.Len(t, f.Diagnostics, 21)
		require.Equal(t, "x:41:1: error too-many: the documents from here on are not read: too many before them are no YAML", f.Diagnostics[20].String())
	})
	t.Run("many", func(t *testing.T) {
		f := blueprint.Parse("x", []byte(many))
		require.Len(t, f.Diagnostics, 100)
		require.Equal(t, "too-many", f.Diagnostics[99].Code)
	})
}

// TestParseTime bounds the time of files that are made to take long.
func TestParseTime(t *testing.T) {
	for name, unit := range map[string]string{
		"sequences": "- ", "keys": "? ", "brackets": "[", "braces": "{", "comments": "#\n", "documents": "---\n", "anchors": "&a ", "colons": "a: ",
		"quotes": `"`, "errors": "---\n[\n", "lines": "a\n", "spaces": " ", "tabs": "\t", "tags": "!a ", "folded": ">\n", "flow": "[a,", "pairs": "{a: b}\n", "map": "a: 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(header + "actions: " + strings.Repeat(unit, 200_000/len(unit)))
			start := time.Now()
			blueprint.Parse("x", data)
			require.Less(t, time.Since(start), time.Minute)
			t.Log(time.Since(start))
		})
	}
}

func TestErr(t *testing.T) {
	f := blueprint.Parse("x.yaml", []byte(header+"actions: []\nmore: x\n"))
	require.EqualError(t, f.Err(), "x.yaml:4:10: wrong-type: actions must be a map, this is a list\nx.yaml:5:1: unknown-field: a blueprint has no field \"more\"")
	require.NoError(t, blueprint.Parse("x.yaml", []byte("apiVersion: v1\nkind: Pod\n")).Err(), "a note is no error")
}

// TestSourceAt marks a place in the source of every sort of scalar with an arrow, and finds it again from the value.
func TestSourceAt(t *testing.T) {
	for name, scalar := range map[string]string{
		"plain":              "text →here",
		"plain on two lines": "text\n           goes →on",
		"single":             `'it''s →here'`,
		"single, folded":     "'a\n\n           b →c'",
		"double":             `"a\tb\n\u00e9\U0001F600\x41\"\\ →c"`,
		"double, folded":     "\"a \\\n           b\\n →c\"",
		"literal":            "|\n          one\n            two\n\n          three é →here\n",
		"literal, header":    "|2- # comment\n\n             indented →here\n",
		"folded":             ">-\n          one\n          two →here\n\n          three\n",
		"folded, more":       ">\n\n          one\n            kept\n          two\n          →three\n",
	} {
		t.Run(name, func(t *testing.T) {
			text := header + "actions:\n  a:\n    phases:\n    - args:\n        k: " + scalar + "\n"
			f := blueprint.Parse("x", []byte(text))
			require.NoError(t, f.Err())
			value := f.Blueprints[0].Actions["a"].Phases[0].Args["k"].(string)
			line, column := find(t, value)
			wantLine, wantColumn := find(t, text)
			at := f.Blueprints[0].Source.At("actions.a.phases[0].args.k", value, line, column)
			require.Equal(t, fmt.Sprint(wantLine, ":", wantColumn), fmt.Sprint(at.Line, ":", at.Column))
		})
	}
}

// find is the line and column of the arrow.
func find(t *testing.T, text string) (int, int) {
	t.Helper()
	before, _, ok := strings.Cut(text, "→")
	require.True(t, ok)
	lines := strings.Split(before, "\n")
	return len(lines), len([]rune(lines[len(lines)-1])) + 1
}

// TestSourceAtJSON does the same in JSON, whose escapes come in pairs.
func TestSourceAtJSON(t *testing.T) {
	text := `{"apiVersion": "cr.kanister.io/v1alpha1", "kind": "Blueprint",
 "actions": {"a": {"phases": [{"args": {"k": "\ud83d\ude00\n\u0041 →here"}}]}}}`
	f := blueprint.Parse("x", []byte(text))
	require.NoError(t, f.Err())
	at := f.Blueprints[0].Source.At("actions.a.phases[0].args.k", "😀\nA →here", 2, 3)
	line, column := find(t, text)
	require.Equal(t, blueprint.Position{Line: line, Column: column}, at)
}

// TestSourceFind falls back to what is around a path.
func TestSourceFind(t *testing.T) {
	f := blueprint.Parse("x", []byte(header+"actions:\n  a: {}\n"))
	s := f.Blueprints[0].Source
	require.Equal(t, blueprint.Position{Line: 5, Column: 6}, s.Find("actions.a.phases[3].args"))
	require.Equal(t, blueprint.Position{Line: 1, Column: 1}, s.Find("nothing"))
	require.Equal(t, blueprint.Position{Line: 1, Column: 1}, blueprint.Source{}.Find("a.b"))
	require.Equal(t, blueprint.Position{Line: 5, Column: 6}, s.At("actions.a", "text", 7, 9), "beyond the text")
}
