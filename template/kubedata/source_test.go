package kubedata

import (
	"context"
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/template"
)

// objects is a cluster of maps.
type objects map[string]map[string]any

func (o objects) Get(_ context.Context, ref cluster.Ref) (map[string]any, error) {
	obj, ok := o[ref.Resource+"."+ref.Group+"/"+ref.Namespace+"/"+ref.Name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", ref, cluster.ErrNotFound)
	}
	return obj, nil
}

func (o objects) WorkloadPods(context.Context, cluster.Workload) ([]cluster.PodInfo, error) {
	return []cluster.PodInfo{
		{Name: "db-1", Containers: []string{"server", "side"}},
		{Name: "db-0", Containers: []string{"server"}, Claims: map[string]string{"data-db-0": "/data"}},
	}, nil
}

func secret(kind string, data map[string]string) map[string]any {
	encoded := map[string]any{}
	for k, v := range data {
		encoded[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	return map[string]any{"metadata": map[string]any{"name": "s", "namespace": "app"}, "type": kind, "data": encoded}
}

func TestSubjects(t *testing.T) {
	o := objects{
		"statefulsets.apps/app/db": {"kind": "StatefulSet"}, "deployments.apps/app/db": {"kind": "Deployment"},
		"deploymentconfigs.apps.openshift.io/app/db": {"kind": "DeploymentConfig"}, "persistentvolumeclaims./app/c": {"kind": "PersistentVolumeClaim"},
		"namespaces.//app": {"kind": "Namespace"}, "databases.example.org/app/db": {"kind": "Database"},
	}
	s := New(o, o)
	want := &template.Workload{Name: "db", Namespace: "app", Pods: []string{"db-0", "db-1"}, Containers: [][]string{{"server"}, {"server", "side"}},
		PersistentVolumeClaims: map[string]map[string]string{"db-0": {"data-db-0": "/data"}}}
	for kind, get := range map[string]func(*template.Params) any{
		"StatefulSet": func(p *template.Params) any { return p.StatefulSet }, "deployment": func(p *template.Params) any { return p.Deployment },
		"DEPLOYMENTCONFIG": func(p *template.Params) any { return p.DeploymentConfig },
	} {
		p := &template.Params{}
		require.NoError(t, s.Subject(t.Context(), template.ObjectReference{Kind: kind, Namespace: "app", Name: "db"}, p))
		require.Equal(t, want, get(p))
		require.NotEmpty(t, p.Object)
	}
	p := &template.Params{}
	require.NoError(t, s.Subject(t.Context(), template.ObjectReference{Kind: "pvc", Namespace: "app", Name: "c"}, p))
	require.Equal(t, &template.PVC{Name: "c", Namespace: "app"}, p.PVC)
	for _, ref := range []template.ObjectReference{{Kind: "Namespace", Name: "app"}, {Kind: "namespace", Name: "app", Namespace: "app"}, {Kind: "namespace", Namespace: "app"}} {
		p := &template.Params{}
		require.NoError(t, s.Subject(t.Context(), ref, p))
		require.Equal(t, &template.Namespace{Name: "app", Namespace: "app"}, p.Namespace)
	}
	p = &template.Params{}
	require.NoError(t, s.Subject(t.Context(), template.ObjectReference{APIVersion: "v1", Group: "example.org", Resource: "databases", Namespace: "app", Name: "db"}, p))
	require.Equal(t, map[string]any{"kind": "Database"}, p.Object)

	require.ErrorIs(t, s.Subject(t.Context(), template.ObjectReference{}, p), ErrInvalid)
	require.ErrorIs(t, s.Subject(t.Context(), template.ObjectReference{Kind: "StatefulSet"}, p), ErrInvalid)
	require.ErrorIs(t, s.Subject(t.Context(), template.ObjectReference{Kind: "StatefulSet", Namespace: "app", Name: "x"}, p), cluster.ErrNotFound)
}

func TestProfiles(t *testing.T) {
	ref := map[string]any{"name": "s", "namespace": "app"}
	profile := func(location, credential map[string]any) objects {
		return objects{
			"profiles.cr.kanister.io/app/p": {"location": location, "credential": credential, "skipSSLVerify": true},
			"secrets./app/s":                secret("Opaque", map[string]string{"id": "canary-id", "key": "canary-key", "cert": "nonsense-canary"}),
			"secrets./app/aws":              secret("secrets.kanister.io/aws", map[string]string{"aws_access_key_id": "canary-id"}),
			"secrets./app/odd":              secret("secrets.kanister.io/aws", map[string]string{"canary": "x"}),
		}
	}
	s3 := map[string]any{"type": "s3Compliant", "bucket": "b", "prefix": "p"}
	pair := map[string]any{"type": "keyPair", "keyPair": map[string]any{"idField": "id", "secretField": "key", "secret": ref}}

	o := profile(s3, pair)
	got, err := New(o, o).Profile(t.Context(), "app", "p")
	require.NoError(t, err)
	require.Equal(t, &template.Profile{Location: template.Location{Type: "s3Compliant", Bucket: "b", Prefix: "p"}, SkipSSLVerify: true,
		Credential: template.Credential{Type: "keyPair", KeyPair: &template.KeyPair{ID: "canary-id", Secret: "canary-key"}}}, got)
	o = profile(s3, map[string]any{"type": "secret", "secret": map[string]any{"name": "aws", "namespace": "app"}})
	got, err = New(o, o).Profile(t.Context(), "app", "p")
	require.NoError(t, err)
	require.Equal(t, "canary-id", string(got.Credential.Secret.Data["aws_access_key_id"]))
	o = profile(map[string]any{"type": "s3Compliant", "bucket": "b", "proxy": "http://p", "caBundle": "PEM", "virtualHost": true}, pair)
	got, err = New(o, o).Profile(t.Context(), "app", "p")
	require.NoError(t, err)
	require.Equal(t, template.Location{Type: "s3Compliant", Bucket: "b", Proxy: "http://p", CABundle: "PEM", VirtualHost: true}, got.Location)
	o = profile(map[string]any{"type": "file", "bucket": "/backups"}, nil)
	got, err = New(o, o).Profile(t.Context(), "app", "p")
	require.NoError(t, err)
	require.Equal(t, "/backups", got.Location.Bucket)

	for name, o := range map[string]objects{
		"no type":        profile(map[string]any{"bucket": "b"}, pair),
		"no bucket":      profile(map[string]any{"type": "gcs"}, pair),
		"no credential":  profile(s3, nil),
		"empty pair":     profile(s3, map[string]any{"type": "keyPair"}),
		"no fields":      profile(s3, map[string]any{"type": "keyPair", "keyPair": map[string]any{"secret": ref}}),
		"absent field":   profile(s3, map[string]any{"type": "keyPair", "keyPair": map[string]any{"idField": "id", "secretField": "nope", "secret": ref}}),
		"wrong secret":   profile(s3, map[string]any{"type": "secret", "secret": ref}),
		"odd key":        profile(s3, map[string]any{"type": "secret", "secret": map[string]any{"name": "odd", "namespace": "app"}}),
		"kopia, no keys": profile(map[string]any{"type": "kopia"}, map[string]any{"type": "kopia", "kopiaServerSecret": map[string]any{}}),
		"kopia, no cert": profile(map[string]any{"type": "kopia"}, map[string]any{"type": "kopia", "kopiaServerSecret": map[string]any{"userPassphrase": map[string]any{"key": "key", "secret": ref}, "tlsCert": map[string]any{"key": "cert", "secret": ref}}}),
		"unknown":        profile(s3, map[string]any{"type": "magic"}),
		"wrong types":    profile(map[string]any{"type": 7}, pair),
	} {
		_, err := New(o, o).Profile(t.Context(), "app", "p")
		require.ErrorIs(t, err, ErrInvalid, name)
		require.NotContains(t, err.Error(), "canary-", name)
	}
	_, err = New(o, o).Profile(t.Context(), "app", "other")
	require.ErrorIs(t, err, cluster.ErrNotFound)
	_, err = New(o, o).Secret(t.Context(), "app", "")
	require.ErrorIs(t, err, ErrInvalid)
}
