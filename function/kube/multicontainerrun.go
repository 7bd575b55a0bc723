package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

// Names of the containers, as in Kanister: podOverrides in the field name them.
const (
	initContainer       = "init"
	backgroundContainer = "background"
	outputContainer     = "output"
)

// defaultContainer is the annotation that tells kubectl which container is meant when none is named, see
// https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-default-container.
const defaultContainer = "kubectl.kubernetes.io/default-container"

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

func multiContainerRun(d Deps) function.Func {
	return function.Define("MultiContainerRun", "Runs a pod with two containers that share a volume, and removes the pod.",
		func(ctx context.Context, call *function.Call, in multiContainerRunArgs) (function.Outputs, error) {
			return runContainers(ctx, call, d, in)
		},
		&function.Options{Replay: function.Adopt, Check: checkContainers, Rules: d.podRules, Example: `func: MultiContainerRun
name: dump
args:
  namespace: "{{ .StatefulSet.Namespace }}"
  backgroundImage: postgres:18
  backgroundCommand: [sh, -c, "pg_dump > /tmp/pipe"]
  outputImage: backup-tools:1
  outputCommand: [sh, -c, "kando location push --path dump.sql - < /tmp/pipe"]
  initImage: busybox:1.37
  initCommand: [mkfifo, /tmp/pipe]
`})
}

// runContainers runs the pod, whose result is that of all its containers. One in the background that never ends keeps the phase from ending.
func runContainers(ctx context.Context, call *function.Call, d Deps, in multiContainerRunArgs) (function.Outputs, error) {
	if d.Pods == nil {
		return nil, errNoCluster("cluster.PodRunner")
	}
	if err := in.validate(); err != nil {
		return nil, function.Permanent(err)
	}
	pod, err := in.pod(call, cmp.Or(in.Namespace, d.Namespace))
	if err != nil {
		return nil, function.Permanent(err)
	}
	if pod.Annotations[defaultContainer] == "" {
		pod.Annotations[defaultContainer] = outputContainer
	}
	pod.Container, pod.Image, pod.Command = outputContainer, in.OutputImage, in.OutputCommand
	pod.Others = []cluster.Container{{Name: backgroundContainer, Image: in.BackgroundImage, Command: in.BackgroundCommand}}
	pod.Shared = &cluster.SharedVolume{Path: cmp.Or(in.SharedDir, "/tmp/"), Medium: in.SharedMedium, SizeLimit: in.SharedSizeLimit}
	if in.InitImage != "" {
		pod.Init = []cluster.Container{{Name: initContainer, Image: in.InitImage, Command: in.InitCommand}}
	}
	spreadOverride(pod.Override, in.InitImage != "")
	return succeed(runPod(ctx, call, d.Pods, pod))
}

var errInitWithoutImage = errors.New("argument initCommand needs initImage")

// validate reports what decoding cannot find.
func (in multiContainerRunArgs) validate() error {
	if in.InitImage == "" && len(in.InitCommand) > 0 {
		return errInitWithoutImage
	}
	return checkSize(in.SharedSizeLimit)
}

func checkSize(limit string) error {
	if limit == "" {
		return nil
	}
	if size, err := resource.ParseQuantity(limit); err != nil || size.Sign() <= 0 {
		return fmt.Errorf("argument sharedVolumeSizeLimit must be a quantity such as 1Gi, is %q", limit)
	}
	return nil
}

// checkContainers reports what no rendering can mend.
func checkContainers(args map[string]any) []function.Problem {
	problems := checkPod(args)
	commanded := false
	switch command := args["initCommand"].(type) {
	case []any:
		commanded = len(command) > 0
	case string:
		commanded = command != "" && !hasTemplate(command)
	}
	problems = append(problems, function.RequireWith(args, commanded, "with initCommand", "initImage")...)
	if limit, ok := args["sharedVolumeSizeLimit"].(string); ok && !hasTemplate(limit) {
		if err := checkSize(limit); err != nil {
			problems = append(problems, function.Problem{Path: "sharedVolumeSizeLimit", Fault: function.FaultValue, Message: "must be a quantity such as 1Gi"})
		}
	}
	return problems
}

// notForInit lists the fields that Kubernetes refuses in an init container.
var notForInit = []string{"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"}

// spreadOverride makes an override of the container named container one of each container of the pod that has none of its own. The override is
// the caller's to change.
func spreadOverride(override map[string]any, hasInit bool) {
	list, _ := override["containers"].([]any)
	kept, common, names := splitOverrides(list)
	if common == nil {
		return
	}
	for _, name := range []string{outputContainer, backgroundContainer} {
		if !names[name] {
			kept = append(kept, renamed(common, name))
		}
	}
	override["containers"] = kept
	if !hasInit {
		return
	}
	inits, _ := override["initContainers"].([]any)
	if _, _, names := splitOverrides(inits); !names[initContainer] {
		override["initContainers"] = append(inits, renamed(common, initContainer, notForInit...))
	}
}

// splitOverrides takes the one of the container named container out of a list and tells which others are named in it.
func splitOverrides(list []any) (rest []any, common map[string]any, names map[string]bool) {
	names = map[string]bool{}
	for _, element := range list {
		fields, _ := element.(map[string]any)
		name, _ := fields["name"].(string)
		if name == cluster.MainContainer {
			common = fields
			continue
		}
		names[name] = true
		rest = append(rest, element)
	}
	return rest, common, names
}

// renamed copies the override of a container, for another one.
func renamed(fields map[string]any, name string, without ...string) map[string]any {
	copied := make(map[string]any, len(fields))
	for field, v := range fields {
		copied[field] = v
	}
	for _, field := range without {
		delete(copied, field)
	}
	copied["name"] = name
	return copied
}
