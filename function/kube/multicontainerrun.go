package kube

import "github.com/davit-project/davit/function"

type multiContainerRunArgs struct {
	Namespace         string   `arg:"namespace,optional" doc:"Namespace of the pod; that of the host program if unset."`
	BackgroundImage   string   `arg:"backgroundImage" doc:"Image of the container that runs in the background."`
	BackgroundCommand []string `arg:"backgroundCommand,command" doc:"Command of the container that runs in the background."`
	OutputImage       string   `arg:"outputImage" doc:"Image of the container whose outputs are read."`
	OutputCommand     []string `arg:"outputCommand,command" doc:"Command of the container whose outputs are read."`
	InitImage         string   `arg:"initImage,optional" doc:"Image of a container that runs before the others."`
	InitCommand       []string `arg:"initCommand,command,optional" doc:"Command of the container that runs before the others."`
	SharedMedium      string   `arg:"sharedVolumeMedium,optional" doc:"Medium of the shared volume: empty for the node's disk, or Memory."`
	SharedSizeLimit   string   `arg:"sharedVolumeSizeLimit,optional" doc:"Size limit of the shared volume, such as 1Gi."`
	SharedDir         string   `arg:"sharedVolumeDir" default:"/tmp/" doc:"Path the shared volume is mounted at in all containers."`
	podArgs
}

func multiContainerRun() function.Func {
	return function.Declare[multiContainerRunArgs, function.Outputs]("MultiContainerRun",
		"Runs a pod with two containers that share a volume, and removes the pod.",
		&function.Options{Replay: function.Adopt, Check: checkPod, Example: `func: MultiContainerRun
name: dump
args:
  namespace: "{{ .StatefulSet.Namespace }}"
  backgroundImage: postgres:18
  backgroundCommand: [sh, -c, "pg_dump > /tmp/pipe"]
  outputImage: backup-tools:1
  outputCommand: [sh, -c, "kando location push --profile '{{ toJson .Profile }}' --path dump.sql - < /tmp/pipe"]
  initImage: busybox:1.37
  initCommand: [mkfifo, /tmp/pipe]
`})
}
