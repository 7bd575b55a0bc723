//go:build e2e

package rds_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/rds"
	"github.com/davit-project/davit/template"
)

// names is a source whose subject is a config map that names the database, with a profile of a key pair and a secret with a role.
type names struct{ object map[string]any }

func (n names) Subject(_ context.Context, _ template.ObjectReference, into *template.Params) error {
	into.Object = n.object
	return nil
}

func (names) Secret(context.Context, string, string) (template.Secret, error) {
	return template.Secret{Type: "secrets.kanister.io/aws", Data: map[string][]byte{
		"aws_access_key_id": []byte("AKIASECRET"), "aws_secret_access_key": []byte("secret-of-the-secret"), "role": []byte("arn:aws:iam::123456789012:role/backup")}}, nil
}

func (names) ConfigMap(context.Context, string, string) (template.ConfigMap, error) {
	return template.ConfigMap{}, nil
}

func (names) Profile(context.Context, string, string) (*template.Profile, error) {
	var p template.Profile
	err := json.Unmarshal([]byte(`{"Location":{"type":"s3Compliant","bucket":"b","region":"`+region+`"},"Credential":{"Type":"keyPair","KeyPair":{"ID":"AKIAPROFILE","Secret":"secret-of-the-profile"}}}`), &p)
	return &p, err
}

// cycle runs backup, restore and delete of a blueprint.
type cycle struct {
	run    string
	deps   rds.Deps
	file   []byte
	object map[string]any
	// between is called after each action.
	between func(action string)
}

func (c cycle) test(t *testing.T) {
	t.Helper()
	reg, err := function.NewRegistry(rds.Functions(c.deps)...)
	require.NoError(t, err)
	parsed := blueprint.Parse("blueprint.yaml", c.file)
	require.Empty(t, parsed.Diagnostics)
	e := engine.New(reg, names{map[string]any{"data": c.object, "metadata": map[string]any{"name": "db", "namespace": "app"}}}, nil)
	var made map[string]template.Artifact
	for _, action := range []string{"backup", "restore", "delete"} {
		spec := &engine.Spec{ID: c.run + "-" + action, Blueprints: parsed.Blueprints, Actions: []blueprint.ActionSpec{{
			Name: action, Blueprint: parsed.Blueprints[0].Name, Object: template.ObjectReference{APIVersion: "v1", Resource: "configmaps", Name: "db", Namespace: "app"},
			Profile: &template.ObjectReference{Name: "p", Namespace: "app"}, Artifacts: made,
		}}}
		res, err := e.Run(t.Context(), spec, &engine.MemoryJournal{})
		require.NoError(t, err, action)
		require.Empty(t, res.Left)
		if action == "backup" {
			made, err = res.Artifacts(0)
			require.NoError(t, err)
		}
		c.between(action)
	}
}

// TestCorpus runs the two published blueprints unchanged, on moto as it is and on one that takes its time.
func TestCorpus(t *testing.T) {
	a := moto(t)
	for _, way := range []string{"direct", "slow"} {
		at := func(t *testing.T) string {
			if way == "direct" {
				return a.url
			}
			return a.slow(t).serve(t)
		}
		t.Run("instance "+way, func(t *testing.T) {
			t.Parallel()
			id := "db-" + way
			a.instance(t, id)
			cycle{id, deps(at(t)), corpus(t, "aws-rds-postgres/aws-rds-postgres-snap-blueprint.yaml"), map[string]any{"postgres.instanceid": id}, func(action string) {
				if action == "delete" {
					require.Empty(t, a.snapshots(t, id, false))
				} else {
					require.Len(t, a.snapshots(t, id, false), 1)
				}
				i := a.seeInstance(t, id)
				require.Equal(t, action != "backup", tagged(i.TagList), "the restored one has the tags of its run")
				require.Equal(t, "sg-11111111", *i.VpcSecurityGroups[0].VpcSecurityGroupId)
				require.Equal(t, a.subnet, *i.DBSubnetGroup.DBSubnetGroupName)
			}}.test(t)
		})
		t.Run("Aurora "+way, func(t *testing.T) {
			t.Parallel()
			id := "au-" + way
			a.cluster(t, id, id+"-one", id+"-two")
			cycle{id, deps(at(t)), corpus(t, "aws-rds-aurora-mysql/aws-rds-aurora-snap-blueprint.yaml"), map[string]any{"aurora.clusterID": id}, func(action string) {
				if action == "delete" {
					require.Empty(t, a.snapshots(t, id, true))
				} else {
					require.Len(t, a.snapshots(t, id, true), 1)
				}
				c := a.seeCluster(t, id)
				require.Equal(t, action != "backup", tagged(c.TagList))
				require.Equal(t, "sg-22222222", *c.VpcSecurityGroups[0].VpcSecurityGroupId)
				require.Len(t, c.DBClusterMembers, 2)
				for _, m := range c.DBClusterMembers {
					i := a.seeInstance(t, *m.DBInstanceIdentifier)
					require.Equal(t, "db.r6g.large", *i.DBInstanceClass)
					require.Equal(t, action != "backup", tagged(i.TagList))
				}
			}}.test(t)
		})
	}
}

// tagged tells of the tags that everything made by a run has.
func tagged[T any](tags []T) bool {
	text, _ := json.Marshal(tags)
	return jsonHas(text, "davit.io/owner") && jsonHas(text, engine.RunLabel)
}

func jsonHas(text []byte, key string) bool {
	var tags []struct{ Key string }
	_ = json.Unmarshal(text, &tags)
	for _, t := range tags {
		if t.Key == key {
			return true
		}
	}
	return false
}

const bySecret = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: by-secret}
actions:
  backup:
    phases:
    - func: CreateRDSSnapshot
      name: create
      objects: {aws: {kind: Secret, name: aws, namespace: app}}
      args: {instanceID: "{{ .Object.data.id }}", credentialsSource: secret, credentialsSecret: aws, region: ` + region + `}
`

// TestSecretWithRole signs in with a secret of the phase's objects whose role is assumed.
func TestSecretWithRole(t *testing.T) {
	a := moto(t)
	a.instance(t, "role")
	s := a.slow(t)
	reg, err := function.NewRegistry(rds.Functions(deps(s.serve(t)))...)
	require.NoError(t, err)
	e := engine.New(reg, names{map[string]any{"data": map[string]any{"id": "role"}}}, nil)
	_, err = e.Run(t.Context(), &engine.Spec{ID: "role", Blueprints: blueprint.Parse("b.yaml", []byte(bySecret)).Blueprints, Actions: []blueprint.ActionSpec{{
		Name: "backup", Blueprint: "by-secret", Object: template.ObjectReference{APIVersion: "v1", Resource: "configmaps", Name: "db", Namespace: "app"},
	}}}, &engine.MemoryJournal{})
	require.NoError(t, err)
	require.Len(t, a.snapshots(t, "role", false), 1)
	require.Equal(t, 1, s.actions["AssumeRole"])
}
