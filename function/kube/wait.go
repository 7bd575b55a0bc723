package kube

import (
	"context"

	"github.com/davit-project/davit/function"
)

func wait(d Deps) function.Func {
	return function.Define("Wait", "Waits until conditions on objects hold; each is a template in which {$.path} stands for a value of the object.",
		func(ctx context.Context, call *function.Call, in waitArgs) (struct{}, error) {
			return struct{}{}, await(ctx, call, d.Objects, in, compilePathCondition)
		},
		&function.Options{
			Replay: function.Idempotent, Deprecated: "use WaitV2", Check: checkWait(compilePathCondition), Rules: waitRules,
			Example: `func: Wait
name: healthy
args:
  timeout: 6m
  conditions:
    anyOf:
    - condition: '{{ if eq "{$.status.health}" "green" }}true{{ end }}'
      objectReference:
        apiVersion: v1
        group: elasticsearch.k8s.elastic.co
        resource: elasticsearches
        name: "{{ .Object.metadata.name }}"
        namespace: "{{ .Object.metadata.namespace }}"
`})
}
