package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/template"
)

func TestPlanOfACluster(t *testing.T) {
	p := &planned{
		Cluster: "https://cluster.example.com", Namespace: "shop",
		Actions: []plannedAction{{
			PreviewAction: engine.PreviewAction{Action: "backup[1]", Blueprint: "bp", Object: template.ObjectReference{Group: "example.com", Resource: "dbs", Namespace: "shop", Name: "x\x1b[2J"}},
			Permissions: []permission{
				{Verb: "get", Group: "example.com", Resource: "dbs", Namespace: "shop", Name: "x", Allowed: true},
				{Verb: "list", Resource: "pods", Namespace: "shop"},
				{Verb: "watch", Resource: "pods", Namespace: "shop"},
			},
			Unknown: []string{"which one"},
			Phases: []plannedPhase{{
				PreviewPhase: engine.PreviewPhase{Name: "make", Func: "KubeOps", Version: "v0.0.0", Replay: "adopt", Attempts: 1, Runs: engine.RunsAlways,
					Args: map[string]any{"spec": "a: 1\nb: {{ .Phases.x.Output.y }}\n", "list": []any{}, "n": 3, "none": nil}, Open: []string{"args.spec"}, Problems: []string{"it fails\nbadly"}},
				Permissions: []permission{{Verb: "create", Resource: "namespaces", Error: "who knows"}},
				Unknown:     []string{"what it makes"},
			}},
		}},
	}
	p.Problems = p.Actions[0].denials()
	assert.Equal(t, []string{`action "backup[1]": DENIED: list, watch pods in shop`}, p.Problems)
	var out bytes.Buffer
	require.NoError(t, p.print(&out))
	assert.Equal(t, `action backup[1] of blueprint bp
  on          dbs.example.com shop/x�[2J
  cluster     https://cluster.example.com
  to begin
    allowed  get dbs.example.com shop/x
    DENIED   list, watch pods in shop
    unknown  which one
  phase 1: make
    function    KubeOps v0.0.0
    crash       goes on when davit dies in it
    arguments
      list: []
      "n": 3
      none: null
      spec: | # not known yet
        a: 1
        b: {{ .Phases.x.Output.y }}
    permissions
      unknown  create namespaces: who knows
      unknown  what it makes
    PROBLEM: it fails
    badly

1 problem:
  action "backup[1]": DENIED: list, watch pods in shop
`, out.String())

	data, err := json.Marshal(p)
	require.NoError(t, err)
	var again map[string]any
	require.NoError(t, json.Unmarshal(data, &again))
	action := again["actions"].([]any)[0].(map[string]any)
	phases := action["phases"].([]any)
	require.Len(t, phases, 1)
	assert.Equal(t, []any{map[string]any{"verb": "create", "resource": "namespaces", "allowed": false, "error": "who knows"}}, phases[0].(map[string]any)["permissions"])
	assert.Equal(t, "KubeOps", phases[0].(map[string]any)["func"])
}
