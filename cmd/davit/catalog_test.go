package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/catalog"
	"github.com/davit-project/davit/template"
)

func storedManifest() *catalog.Manifest {
	return &catalog.Manifest{
		Run: "first", Action: "backup", Started: time.Unix(0, 0), Subject: catalog.Object{Kind: "Namespace", Name: "a", Namespace: "a"},
		Options:   map[string]string{"kept": "1"},
		Artifacts: map[string]catalog.Artifact{"dump": {KeyValue: map[string]string{"path": "a/b"}}},
		Withheld:  []string{"artifacts.dump.login", "options.token"},
		Blueprint: catalog.Blueprint{Name: "bp", Document: json.RawMessage(
			`{"apiVersion":"cr.kanister.io/v1alpha1","kind":"Blueprint","metadata":{"name":"bp"},"actions":{"restore":{}}}`)},
	}
}

// What the manifest withholds has to be given; what it has stays.
func TestWithheldHasToBeGiven(t *testing.T) {
	s := &session{flags: &runFlags{}, manifest: storedManifest()}
	o := &order{request: &request{}}
	err := o.takeManifest(s, nil)
	require.ErrorContains(t, err, `lacks ["artifacts.dump.login" "options.token"], which contain secrets: give them with --option KEY=VALUE or --artifact NAME.KEY=VALUE`)
	o = &order{request: &request{
		action:    "restore",
		options:   map[string]string{"token": "t"},
		artifacts: map[string]template.Artifact{"dump": {KeyValue: map[string]string{"login": "l"}}},
	}}
	require.NoError(t, o.takeManifest(s, nil))
	specs, err := o.request.apply(o.base)
	require.NoError(t, err)
	require.Len(t, specs, 1)
	require.Equal(t, map[string]string{"kept": "1", "token": "t"}, specs[0].Options)
	require.Equal(t, map[string]string{"path": "a/b", "login": "l"}, specs[0].Artifacts["dump"].KeyValue)
	require.Equal(t, "a", specs[0].Object.Name)
}

// A manifest whose blueprint is another one, or none, is refused.
func TestManifestOfAnotherBlueprint(t *testing.T) {
	for _, document := range []string{
		`{"apiVersion":"cr.kanister.io/v1alpha1","kind":"Blueprint","metadata":{"name":"other"},"actions":{"restore":{}}}`,
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"bp"}}`, `[]`, `{}`,
	} {
		m := storedManifest()
		m.Withheld, m.Blueprint.Document = nil, json.RawMessage(document)
		require.Error(t, (&order{request: &request{}}).takeManifest(&session{flags: &runFlags{}, manifest: m}, nil), document)
	}
}

func TestProfileOfALocation(t *testing.T) {
	env := map[string]string{}
	p := &program{getenv: func(name string) string { return env[name] }}
	loc, err := location.ParseURL("s3://bucket/below?region=eu-1")
	require.NoError(t, err)
	profile, err := p.profileOf(loc)
	require.NoError(t, err)
	require.Equal(t, template.Location{Type: "s3Compliant", Bucket: "bucket", Prefix: "below", Region: "eu-1"}, profile.Location)
	require.Empty(t, profile.Credential.Type)

	env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = "id", "key"
	profile, err = p.profileOf(loc)
	require.NoError(t, err)
	require.Equal(t, &template.KeyPair{ID: "id", Secret: "key"}, profile.Credential.KeyPair)

	env["AWS_SESSION_TOKEN"] = "token"
	profile, err = p.profileOf(loc)
	require.NoError(t, err)
	require.Equal(t, "token", string(profile.Credential.Secret.Data["aws_session_token"]))
	require.True(t, loc.Credential.IsZero(), "what was given is left as it is")
}
