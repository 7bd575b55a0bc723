package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

// preparedDir is where claims of the action's subject are mounted, each in a folder of its name, as in Kanister.
const preparedDir = "/mnt/prepare_data/"

type prepareDataArgs struct {
	Namespace      string            `arg:"namespace" doc:"Namespace of the pod and of the claims."`
	Image          string            `arg:"image" doc:"Image of the container."`
	Command        []string          `arg:"command,command" doc:"Command and its arguments; empty for that of the image."`
	Volumes        map[string]string `arg:"volumes,optional" doc:"Names of claims and the paths they are mounted at; all of the action's subject, at /mnt/prepare_data/NAME, if unset."`
	ServiceAccount string            `arg:"serviceaccount,optional" doc:"Service account of the pod."`
	FailOnError    bool              `arg:"failOnError" default:"false" doc:"Fail when the command fails; if false, as in Kanister, its exit code is ignored. That it could not run, or that the cluster ended it, is an error all the same."`
	podArgs
}

func prepareData(d Deps) function.Func {
	return function.Define("PrepareData", "Runs a command in a pod of its own that mounts volumes, and removes the pod.",
		func(ctx context.Context, call *function.Call, in prepareDataArgs) (function.Outputs, error) {
			return runPrepare(ctx, call, d, in)
		},
		&function.Options{Replay: function.Adopt, Check: checkPod, Rules: d.prepareRules, Example: `func: PrepareData
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

func runPrepare(ctx context.Context, call *function.Call, d Deps, in prepareDataArgs) (function.Outputs, error) {
	switch {
	case d.Pods == nil:
		return nil, errNoCluster("cluster.PodRunner")
	case d.Objects == nil:
		return nil, errNoCluster("cluster.Objects")
	}
	namespace := cmp.Or(in.Namespace, d.Namespace)
	pod, err := in.pod(call, namespace)
	if err != nil {
		return nil, function.Permanent(err)
	}
	pod.Image, pod.Command, pod.ServiceAccount = in.Image, in.Command, in.ServiceAccount
	if pod.Claims, err = in.claims(call.Subject); err != nil {
		return nil, function.Permanent(err)
	}
	if err := findClaims(ctx, d.Objects, namespace, pod.Claims); err != nil {
		return nil, err
	}
	out, err := runPod(ctx, call, d.Pods, pod)
	if exit, failed := onlyFailed(err); failed && !in.FailOnError {
		call.Log.LogAttrs(ctx, slog.LevelWarn, "the command failed, which argument failOnError allows",
			slog.String("pod", pod.Name), slog.Int("code", exit.Code))
		call.Report(ctx, function.Progress{Note: fmt.Sprintf("the command failed with exit code %d, which is ignored", exit.Code)})
		err = nil
	}
	return succeed(out, err)
}

// onlyFailed tells whether all that went wrong is that a command ended with another code than zero. An exit code that the binding has more to say about is
// not that: the command may never have begun, its pod may have been evicted, or its log, and with it outputs, may be incomplete.
func onlyFailed(err error) (*cluster.ExitError, bool) {
	exit, ok := err.(*cluster.ExitError) //nolint:errorlint // whether anything is wrapped around it
	return exit, ok
}

// claims maps the names of the claims to their paths.
func (in prepareDataArgs) claims(subject function.Subject) (map[string]string, error) {
	if len(in.Volumes) > 0 {
		return in.Volumes, nil
	}
	if subject.Kind == "" {
		return nil, errors.New("no volumes: the action's subject is no workload, so argument volumes is required")
	}
	claims := map[string]string{}
	for _, ofPod := range subject.Claims {
		for name := range ofPod {
			claims[name] = preparedDir + name
		}
	}
	if len(claims) == 0 {
		return nil, fmt.Errorf("no volumes: no pod of %s %s/%s mounted a claim when the action began; name claims in argument volumes",
			subject.Kind, subject.Namespace, subject.Name)
	}
	return claims, nil
}

// findClaims reports the claims that do not exist or have lost their volume: a pod that mounts one of them would wait for ever.
func findClaims(ctx context.Context, objects cluster.Getter, namespace string, claims map[string]string) error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		ref := cluster.Ref{APIVersion: "v1", Resource: "persistentvolumeclaims", Namespace: namespace, Name: name}
		claim, err := objects.Get(ctx, ref)
		if err != nil {
			faults = append(faults, forGood(fmt.Errorf("look up claim %s/%s: %w", namespace, name, err)))
			continue
		}
		if status, _ := claim["status"].(map[string]any); status["phase"] == "Lost" {
			faults = append(faults, fmt.Errorf("claim %s/%s has lost its volume", namespace, name))
		}
	}
	return errors.Join(faults...)
}
