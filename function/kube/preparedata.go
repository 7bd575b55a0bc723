package kube

import "github.com/davit-project/davit/function"

type prepareDataArgs struct {
	Namespace      string            `arg:"namespace" doc:"Namespace of the pod and of the claims."`
	Image          string            `arg:"image" doc:"Image of the container."`
	Command        []string          `arg:"command,command" doc:"Command and its arguments."`
	Volumes        map[string]string `arg:"volumes,optional" doc:"Names of claims and the paths they are mounted at; all of the action's subject, at /mnt/prepare_data/NAME, if unset."`
	ServiceAccount string            `arg:"serviceaccount,optional" doc:"Service account of the pod."`
	FailOnError    bool              `arg:"failOnError" default:"false" doc:"Fail when the command fails; if false, as in Kanister, its exit code is ignored."`
	podArgs
}

func prepareData() function.Func {
	return function.Declare[prepareDataArgs, function.Outputs]("PrepareData",
		"Runs a command in a pod of its own that mounts volumes, and removes the pod.",
		&function.Options{Replay: function.Adopt, Check: checkPod, Example: `func: PrepareData
name: mark
args:
  namespace: "{{ .Deployment.Namespace }}"
  image: busybox:1.37
  volumes:
    data: /data
  command: [touch, /data/restored]
  failOnError: true
`})
}
