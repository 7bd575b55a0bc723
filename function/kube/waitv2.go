package kube

import (
	"context"

	"github.com/davit-project/davit/function"
)

func waitV2(d Deps) function.Func {
	return function.Define("WaitV2", "Waits until conditions on objects hold; each is a template whose root is the object.",
		func(ctx context.Context, call *function.Call, in waitArgs) (struct{}, error) {
			return struct{}{}, await(ctx, call, d.Objects, in, compileObjectCondition)
		},
		&function.Options{
			Replay: function.Idempotent, Check: checkWait(compileObjectCondition), Rules: waitRules,
			Example: `func: WaitV2
name: podReady
args:
  timeout: 5m
  conditions:
    anyOf:
    - condition: '{{ range .status.conditions }}{{ if eq .type "Ready" }}{{ eq .status "True" }}{{ end }}{{ end }}'
      objectReference:
        apiVersion: v1
        resource: pods
        name: "{{ index .StatefulSet.Pods 0 }}"
        namespace: "{{ .StatefulSet.Namespace }}"
`})
}
