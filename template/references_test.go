package template

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// describe writes references as "path flags", joined by "; ": + printed, ~ not exact, ? optional.
func describe(refs []Reference) string {
	var out []string
	for _, ref := range refs {
		text := "." + strings.Join(ref.Path, ".")
		if ref.Printed {
			text += "+"
		}
		if !ref.Exact {
			text += "~"
		}
		if ref.Optional {
			text += "?"
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

func TestReferences(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`no template`, ""},
		{`{{ 1 }}{{ "x" }}{{ now }}`, ""},
		{`{{ .Phases.dump.Output.path }}`, ".Phases.dump.Output.path+"},
		{`{{ .Secrets.a.Data.k | toString | quote }}`, ".Secrets.a.Data.k+"},
		{`{{ index .Phases.a.Secrets.s.Data "k" | toString }}`, ".Phases.a.Secrets.s.Data.k+"},
		{`{{ index .StatefulSet.Pods 0 }}`, ".StatefulSet.Pods.0+"},
		{`{{ (index .Object.spec.nodeSets 0).name }}`, ".Object.spec.nodeSets.0.name+"},
		{`{{ index .Options "x" }}`, ".Options.x+?"},
		{`{{ index .Object.metadata.labels "a/b" }}`, ".Object.metadata.labels.a/b+?"},
		{`{{ $p := .Phases.a }}{{ $p.Output.b }}`, ".Phases.a; .Phases.a.Output.b+"},
		{`{{ $x := .Time }}{{ $x }}`, ".Time+"},
		{`{{ $x := .Time }}`, ".Time"},
		{`{{ $.Time }}{{ with .Profile }}{{ $.Time }}{{ .Location.Bucket }}{{ end }}`, ".Time+; .Profile; .Time+; .Profile.Location.Bucket+?"},
		{`{{ with .Phases.a.Output }}{{ .x }}{{ else }}{{ .Time }}{{ end }}`, ".Phases.a.Output; .Phases.a.Output.x+?; .Time+"},
		{`{{ if .Options.x }}{{ .Options.x }}{{ else }}{{ .Options.y }}{{ end }}`, ".Options.x; .Options.x+?; .Options.y+"},
		{`{{ if index .Options "x" }}{{ .Options.x }}{{ end }}`, ".Options.x?; .Options.x+?"},
		{`{{ if hasKey .Object "x" }}{{ .Object.x }}{{ end }}`, ".Object; .Object.x+?"},
		{`{{ if not .Profile }}{{ .Time }}{{ else }}{{ .Profile.Location.Type }}{{ end }}`, ".Profile; .Time+; .Profile.Location.Type+?"},
		{`{{ if and .Profile (eq .Profile.Location.Type "x") }}{{ .Profile.Location.Bucket }}{{ end }}`, ".Profile; .Profile.Location.Type; .Profile.Location.Bucket+?"},
		{`{{ if or .PVC .Namespace }}{{ .PVC.Name }}{{ end }}`, ".PVC; .Namespace; .PVC.Name+"},
		{`{{ if eq .Time "x" }}y{{ end }}{{ eq .Time "y" }}`, ".Time; .Time"},
		{`{{ or .Options.a .Options.b }}`, ".Options.a+; .Options.b+"},
		{`{{ toJson .Profile }}`, ".Profile+~"},
		{`{{ toJson .Profile.Location.Region }}`, ".Profile.Location.Region+"},
		{`{{ toJson . }}`, ".+~"},
		{`{{ . }}`, ".+~"},
		{`{{ len .StatefulSet.Pods }}`, ".StatefulSet.Pods"},
		{`{{ range .StatefulSet.Pods }}{{ . }}{{ end }}`, ".StatefulSet.Pods+~"},
		{`{{ range .StatefulSet.Pods }}x{{ end }}`, ".StatefulSet.Pods~"},
		{`{{ range $k, $_ := index .StatefulSet.PersistentVolumeClaims (index .StatefulSet.Pods 0) }}{{ $k }}{{ end }}`,
			".StatefulSet.PersistentVolumeClaims+~; .StatefulSet.Pods.0+"},
		{`{{ $k := "a" }}{{ index .Secrets $k }}`, ".Secrets+~"},
		{`{{ range $c := $.status.conditions }}{{ if eq .type "x" }}{{ $c.reason }}{{ end }}{{ end }}`, ".status.conditions+~"},
		{`{{ define "t" }}{{ .Name }}{{ end }}{{ template "t" .StatefulSet }}`, ".StatefulSet.Name+; .StatefulSet"},
		{`{{ $a := "" }}{{ range until 2 }}{{ $a }}{{ $a = .Time }}{{ end }}`, ""},
		{`{{ $a := "" }}{{ range until 2 }}{{ $a }}{{ $a = $.Time }}{{ end }}`, ".Time+"},
		{`{{ $a := .Time }}{{ if .Profile }}{{ $a = .Profile.Location.Bucket }}{{ end }}{{ $a }}`, ".Time+; .Profile; .Profile.Location.Bucket+?"},
		{`{{ printf "%s-%s" .StatefulSet.Name .Time }}`, ".StatefulSet.Name+; .Time+"},
		{`{{ ternary .Options.a .Options.b (eq .Time "x") }}`, ".Options.a+; .Options.b+; .Time"},
		{`{{ index .Deployment.Name }}`, ".Deployment.Name+"},
	} {
		tmpl, err := (*Env)(nil).Compile("x", c.text)
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, describe(tmpl.References()), c.text)
	}
}

func TestReferencePositions(t *testing.T) {
	tmpl, err := (*Env)(nil).Compile("x", "é {{ .Time }}\n  {{ $x := .Phases.a.Output }}{{ index $x.é \"b\" }} {{ (index .Object.a 0).b }}")
	require.NoError(t, err)
	var got [][2]int
	for _, ref := range tmpl.References() {
		got = append(got, [2]int{ref.Line, ref.Column})
	}
	require.Equal(t, [][2]int{{1, 6}, {2, 12}, {2, 40}, {2, 62}}, got)
}

func TestReferencesAreBounded(t *testing.T) {
	text := ""
	for i := range 20 {
		name, next := string(rune('a'+i)), string(rune('b'+i))
		text += `{{ define "` + name + `" }}{{ template "` + next + `" . }}{{ template "` + next + `" . }}{{ end }}`
	}
	tmpl, err := (*Env)(nil).Compile("x", text+`{{ define "u" }}{{ .Time }}{{ end }}{{ template "a" . }}`)
	require.NoError(t, err)
	refs := tmpl.References()
	last := refs[len(refs)-1]
	require.Empty(t, last.Path)
	require.False(t, last.Exact)
}

func TestCheckPath(t *testing.T) {
	for _, path := range []string{
		"Time", "StatefulSet.Pods.0", "Phases.x.Output.y.z", "Phases.x.Secrets.y.Data.z", "Phases.x.Secrets.y.Name", "Object.a.b.c", "Profile.Credential.KeyPair.ID",
		"Profile.Credential.Secret.Data.aws_access_key_id", "ArtifactsIn.a.KeyValue.b", "ArtifactsIn.a.KopiaSnapshot", "Options.a", "PodOverride.x",
		"StatefulSet.PersistentVolumeClaims.a.b", "Secrets.x.CreationTimestamp.Year", "",
	} {
		var parts []string
		if path != "" {
			parts = strings.Split(path, ".")
		}
		require.NoError(t, CheckPath(parts), path)
	}
	for path, want := range map[string]string{
		"Foo.x":                       `there is no .Foo (there are ArtifactsIn, ConfigMaps, CurrentPhase, DeferPhase, Deployment, DeploymentConfig, Namespace, Object, Options, PVC, Phases, PodAnnotations, PodLabels, PodOverride, Profile, Secrets, StatefulSet, Time)`,
		"Phases.x.Outputs.y":          `there is no .Phases.x.Outputs (did you mean .Phases.x.Output?)`,
		"Statefulset.Name":            `there is no .Statefulset (did you mean .StatefulSet?)`,
		"Time.x":                      `there is no .Time.x: .Time is a text and has no fields`,
		"StatefulSet.Pods.x":          `there is no .StatefulSet.Pods.x: .StatefulSet.Pods is a list and has no fields`,
		"Phases.x.Secrets.y.Data.z.a": `there is no .Phases.x.Secrets.y.Data.z.a: .Phases.x.Secrets.y.Data.z is bytes and has no fields`,
		"Options.a.b":                 `there is no .Options.a.b: .Options.a is a text and has no fields`,
		"RepositoryServer.Name":       `there is no .RepositoryServer; Kanister has it up to 0.119, Davit does not`,
		"PVC.a b\n":                   `there is no .PVC."a b\n" (there are Name, Namespace)`,
	} {
		err := CheckPath(strings.Split(path, "."))
		require.ErrorIs(t, err, ErrMissing)
		require.EqualError(t, err, want)
	}
}
