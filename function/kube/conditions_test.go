package kube

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &o))
	return o
}

const pod = `{
	"metadata": {"name": "p", "labels": {"app": "x"}},
	"spec": {"replicas": 3, "big": 1000000, "half": 0.5, "odd": "a\"b` + "`" + `c}}{{ 1 }}"},
	"status": {
		"health": "green", "finishTime": "today", "finished": ["dc1", "dc2"], "none": [], "ready": true, "encoded": "aGVsbG8=", "null": null,
		"conditions": [{"type": "Ready", "status": "False", "n": 1}, {"type": "ContainersReady", "status": "True", "n": 2}]
	}
}`

// TestPathConditions has the idioms of Wait: want is the result, or the beginning of the error after "error: ".
func TestPathConditions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{$.status.ready}`:   "true",
		`{ $.status.ready }`: "true",
		`true`:               "true",
		`{{ if "{$.status.finishTime}" }}{{ if "{$.status.finished[]}" }}true{{ end }}{{ else }}false{{ end }}`:          "true",
		`{{ if "{$.status.none[]}" }}true{{ end }}`:                                                                      "error: {$.status.none[]}: ",
		`{{ if "{$.status.absent}" }}true{{ end }}`:                                                                      "error: {$.status.absent}: absent is not found",
		`{{ if "$.status.absent" }}true{{ end }}`:                                                                        "true",
		`{{ if  or (eq "{ $.status.health }" "green") (eq "{ $.status.health }" "yellow")}}true{{ else }}false{{ end }}`: "true",
		`{{ eq "{$.status.conditions[?(@.type=="ContainersReady")].status}" "True" }}`:                                   "true",
		`{{ eq "{$.status.conditions[?(@.n==2)].type}" "ContainersReady" }}`:                                             "true",
		`{{ eq {$.spec.replicas} 3 }}`:                                                                                   "true",
		`{{ eq {$.spec.replicas} {$.status.conditions[0].n}}}`:                                                           "false",
		`{{eq {$.spec.big} 1000000}}`:                                                                                    "true",
		`{{{$.spec.half}}}`:                                                                                              "0.5",
		`{$.spec.big}`:                                                                                                   "1000000",
		`{{ if {$.status.ready} }}true{{ end }}`:                                                                         "true",
		`{{ if {$.status.health} }}true{{ end }}`:                                                                        "error: {$.status.health}: the value is neither a number nor true or false",
		`{{ $x := "{$.status.health}" }}{{ eq $x "green" }}`:                                                             "true",
		`{{ $x := 1 }}{{- $y := 2 -}}{{ lt $x $y }}`:                                                                     "true",
		`{$.spec.odd}`:                      "a\"b`c}}{{ 1 }}",
		`{{ "{$.spec.odd}" }}`:              "a\"b`c}}{{ 1 }}",
		"{{ `{$.spec.odd}` }}":              "error: {$.spec.odd}: the value has a backquote",
		"{{ `{$.status.health}` }}":         "green",
		`{{/* {$.absent} */}}true`:          "true",
		`{{ "}} {$.status.health} {{" }}`:   "}} green {{",
		`{{ "\" {$.status.health}" }}`:      `" green`,
		`{{ "{$.status.health}" | upper }}`: "GREEN",
		`{$.status.finished[*]}`:            "dc1 dc2",
		`{$.status.health}{$.status.ready}`: "greentrue",
		`{ "json": true }`:                  `{ "json": true }`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			checkRender(t, compilePathCondition, text, want)
		})
	}
}

// TestObjectConditions has those of WaitV2.
func TestObjectConditions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{{ $available := false }}{{ range $condition := $.status.conditions }}{{ if and (eq .type "ContainersReady") (eq .status "True") }}{{ $available = true }}{{ end }}{{ end }}{{ $available }}`: "true",
		`{{ .status.ready }}`:                                                  "true",
		`{{ .status.absent }}`:                                                 "<no value>",
		`{{ .absent.of.all }}`:                                                 "<no value>",
		`{{ .status.null }}`:                                                   "<no value>",
		`{{ if .status.absent }}yes{{ else }}no{{ end }}`:                      "no",
		`{{ if not .metadata.deletionTimestamp }}true{{ end }}`:                "true",
		`{{ range .absent }}x{{ else }}none{{ end }}`:                          "none",
		`{{ with .status }}{{ .health }}{{ end }}`:                             "green",
		`{{ with $.absent.of }}x{{ else }}y{{ end }}`:                          "y",
		`{{ (index .status.conditions 1).type }}`:                              "ContainersReady",
		`{{ index .metadata.labels "app" }}`:                                   "x",
		`{{ exists . "status" "conditions" 1 "type" }}`:                        "true",
		`{{ exists .status "absent" }}`:                                        "false",
		`{{ exists .status.conditions 7 }}`:                                    "false",
		`{{ exists .status.health "x" }}`:                                      "false",
		`{{ .status.encoded | base64decode }}`:                                 "hello",
		`{{ base64decode "?" }}`:                                               "error: not base64",
		`{{ eq .spec.replicas 3.0 }}`:                                          "true",
		`{{ .spec.replicas }}`:                                                 "3",
		`{{ .spec.big }}`:                                                      "1e+06",
		`{{ len .status.finished }}`:                                           "2",
		`{{ .status.health.deep }}`:                                            `error: field: a string has no field "deep"`,
		`{{ define "x" }}{{ .health }}{{ end }}{{ template "x" .status }}`:     "green",
		"{{- /* note */ -}}\n  true  \n":                                       "true",
		`{{ range .status.finished }}{{ . }}{{ break }}{{ end }}`:              "dc1",
		`{{ range $i, $e := .status.conditions }}{{ $i }}{{ $e.n }} {{ end }}`: "01 12",
		`{{ printf "%s-%v" .status.health .status.ready }}`:                    "green-true",
		`{{ range 1000000000 }}{{ end }}`:                                      "error: over the limit",
		`{{ printf "%0999999999d" 1 }}`:                                        "error: ",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			checkRender(t, compileObjectCondition, text, want)
		})
	}
}

func checkRender(t *testing.T, compile compiler, text, want string) {
	t.Helper()
	c, err := compile(text)
	require.NoError(t, err)
	o := object(t, pod)
	got, err := c.render(o)
	require.Equal(t, object(t, pod), o, "the object is only read")
	if fault, ok := strings.CutPrefix(want, "error: "); ok {
		require.ErrorContains(t, err, fault)
		return
	}
	require.NoError(t, err)
	require.Equal(t, want, strings.TrimSpace(got))
}

func TestConditionsThatCannotBe(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxCondition+1)
	for text, want := range map[string]string{
		`{{ if }}`:                        "missing value for if",
		`{{ nosuch 1 }}`:                  "nosuch",
		`{{ if "{$.a}" }}true`:            "unexpected EOF",
		`{{ if "{$.a" }}true{{ end }}`:    "unterminated quoted string",
		`{$.a`:                            `"{$.a" is not closed`,
		`{{ if .status.x }}true{{ end }}`: `write "{$.status.x}" for .status.x`,
		`{$.a[}`:                          "{$.a[} is no JSONPath",
		`{{ printf "%c" '{$.a}' }}`:       "{$.a} stands between single quotes",
		`{$..a..b}`:                       `{$..a..b} has more than one ".."`,
		`{$.a[` + strings.Repeat("0,", 20) + `0]}`: "has more than 16 commas",
		`{$.` + strings.Repeat("a", 2000) + `}`:    "a path of 2004 bytes",
		long:                                       "a condition of 16385 bytes, at most 16384 are allowed",
	} {
		_, err := compilePathCondition(text)
		require.ErrorContains(t, err, want, text)
	}
	for text, want := range map[string]string{
		`{{ if }}`:       "missing value for if",
		`{{ nosuch 1 }}`: "nosuch",
		`{{ if .a }}`:    "unexpected EOF",
		long:             "a condition of 16385 bytes, at most 16384 are allowed",
	} {
		_, err := compileObjectCondition(text)
		require.ErrorContains(t, err, want, text)
	}
}

// FuzzConditions wants no panic, and a path's value never to become code: the canary is a call that no template can survive.
func FuzzConditions(f *testing.F) {
	for _, text := range []string{
		`{{ if eq "{$.a}" "b" }}true{{ end }}`, `{$.a}`, "{{ `{$.a}` }}", `{{ if .a }}{{ .b.c }}{{ end }}`, `{{/* {$.a} */}}`, `{{{$.n}}}`,
		`{{ range $i, $x := $.list }}{{ $x.y }}{{ else }}{{ break }}{{ end }}`, `{$.list[?(@.y=="z")].y}`, `{{define "x"}}{{.}}{{end}}{{template "x" .a}}`,
	} {
		f.Add(text)
	}
	o := map[string]any{
		"a": "\"}}{{ nosuch }}`'", "b": map[string]any{"c": true}, "n": 1.0, "list": []any{map[string]any{"y": "z"}},
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := compilePathCondition(text); err == nil {
			if _, err := c.render(o); err != nil {
				require.NotContains(t, err.Error(), `"nosuch" not defined`, text)
			}
		}
		if c, err := compileObjectCondition(text); err == nil {
			_, _ = c.render(o)
		}
	})
}
