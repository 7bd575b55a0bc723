package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/template"
)

func TestParseReferences(t *testing.T) {
	object := parseObject
	profile := func(text string) (template.ObjectReference, error) {
		ref, err := parseProfile(text)
		r := &request{profile: ref}
		if err == nil {
			r.inNamespace("apps")
		}
		return *r.profile, err
	}
	tests := map[string]struct {
		parse func(string) (template.ObjectReference, error)
		text  string
		want  template.ObjectReference
		fault string
	}{
		"deployment":          {parse: object, text: "deployment/ns/web", want: template.ObjectReference{Kind: "Deployment", Namespace: "ns", Name: "web"}},
		"kind in any case":    {parse: object, text: "StatefulSet/ns/db", want: template.ObjectReference{Kind: "StatefulSet", Namespace: "ns", Name: "db"}},
		"namespace":           {parse: object, text: "namespace/ns", want: template.ObjectReference{Kind: "Namespace", Namespace: "ns", Name: "ns"}},
		"unknown kind":        {parse: object, text: "pod/ns/x", fault: `object "pod/ns/x": unknown kind "pod": want deployment,`},
		"no namespace":        {parse: object, text: "pvc/x", fault: `pvc "x": want NAMESPACE/NAME`},
		"too many parts":      {parse: object, text: "pvc/a/b/c", fault: `pvc "a/b/c": want NAMESPACE/NAME`},
		"namespace of two":    {parse: object, text: "namespace/a/b", fault: `namespace "a/b": want NAME`},
		"core resource":       {parse: parseResource, text: "v1/configmaps/ns/x", want: template.ObjectReference{APIVersion: "v1", Resource: "configmaps", Namespace: "ns", Name: "x"}},
		"resource of a group": {parse: parseResource, text: "apps/v1/daemonsets/ns/x", want: template.ObjectReference{Group: "apps", APIVersion: "v1", Resource: "daemonsets", Namespace: "ns", Name: "x"}},
		"cluster's own":       {parse: parseResource, text: "v1/nodes//x", want: template.ObjectReference{APIVersion: "v1", Resource: "nodes", Name: "x"}},
		"short resource":      {parse: parseResource, text: "configmaps/ns/x", fault: `object "configmaps/ns/x": want GROUP/VERSION/RESOURCE/NAMESPACE/NAME`},
		"profile":             {parse: profile, text: "p", want: template.ObjectReference{Kind: "Profile", Namespace: "apps", Name: "p"}},
		"profile elsewhere":   {parse: profile, text: "ns/p", want: template.ObjectReference{Kind: "Profile", Namespace: "ns", Name: "p"}},
		"empty profile":       {parse: profile, text: "", fault: `profile "": want NAMESPACE/NAME`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tc.parse(tc.text)
			if tc.fault != "" {
				require.ErrorContains(t, err, tc.fault)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestParseMaps(t *testing.T) {
	pairs, err := parsePairs("option", []string{"a=1", "b=x=y,z", "c="})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "1", "b": "x=y,z", "c": ""}, pairs)
	_, err = parsePairs("option", []string{"a", "=b"})
	require.EqualError(t, err, "option \"a\": want KEY=VALUE\noption \"=b\": want KEY=VALUE")

	artifacts, err := parseArtifacts([]string{"dump.path=/a=b", "dump.size=3", "log.path=/c"})
	require.NoError(t, err)
	assert.Equal(t, map[string]template.Artifact{
		"dump": {KeyValue: map[string]string{"path": "/a=b", "size": "3"}},
		"log":  {KeyValue: map[string]string{"path": "/c"}},
	}, artifacts)
	_, err = parseArtifacts([]string{"dump=1", ".a=1", "dump.=1"})
	require.EqualError(t, err, "artifact \"dump=1\": want NAME.KEY=VALUE\nartifact \".a=1\": want NAME.KEY=VALUE\nartifact \"dump.=1\": want NAME.KEY=VALUE")

	refs, err := parseRefs("Secret", []string{"creds=ns/s"})
	require.NoError(t, err)
	assert.Equal(t, map[string]template.ObjectReference{"creds": {Kind: "Secret", Namespace: "ns", Name: "s"}}, refs)
	_, err = parseRefs("ConfigMap", []string{"creds", "=ns/s", "a=s"})
	require.EqualError(t, err, "configmap \"creds\": want REF=NAMESPACE/NAME\nconfigmap \"=ns/s\": want REF=NAMESPACE/NAME\nconfigmap \"a=s\": want REF=NAMESPACE/NAME")
}

func TestRequestChangesActions(t *testing.T) {
	web := template.ObjectReference{Kind: "Deployment", Namespace: "ns", Name: "web"}
	db := template.ObjectReference{Kind: "StatefulSet", Namespace: "ns", Name: "db"}
	parent := blueprint.ActionSpec{
		Name: "backup", Blueprint: "bp", Object: web,
		Options: map[string]string{"a": "1", "b": "2"},
		Secrets: map[string]template.ObjectReference{"s": {Name: "old"}},
	}
	r := &request{
		action: "restore", objects: []template.ObjectReference{web, db},
		options: map[string]string{"b": "3"},
		secrets: map[string]template.ObjectReference{"t": {Name: "new"}},
	}
	got, err := r.apply([]blueprint.ActionSpec{parent})
	require.NoError(t, err)
	require.Len(t, got, 2)
	assert.Equal(t, []template.ObjectReference{web, db}, []template.ObjectReference{got[0].Object, got[1].Object})
	for _, spec := range got {
		assert.Equal(t, "restore", spec.Name)
		assert.Equal(t, "bp", spec.Blueprint)
		assert.Equal(t, map[string]string{"a": "1", "b": "3"}, spec.Options)
		assert.Equal(t, map[string]template.ObjectReference{"s": {Name: "old"}, "t": {Name: "new"}}, spec.Secrets)
	}
	assert.Equal(t, map[string]string{"a": "1", "b": "2"}, parent.Options, "the parent stays as it is")
}

func TestRequestLacksSomething(t *testing.T) {
	tests := map[string]struct {
		request request
		fault   string
	}{
		"action":    {request{blueprint: "bp"}, "no action is named"},
		"blueprint": {request{action: "backup"}, "no blueprint is named"},
		"object":    {request{action: "backup", blueprint: "bp"}, `action "backup" has no object`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := tc.request.apply(nil)
			require.ErrorContains(t, err, tc.fault)
		})
	}
}
