package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/internal/hearing"
	"github.com/davit-project/davit/function/internal/podspec"
	"github.com/davit-project/davit/internal/mover"
)

// podWork is one pod that moves data.
type podWork struct {
	// suffix tells the pods of a phase apart.
	suffix    string
	namespace string
	// image is the argument.
	image string
	// claims and their mount paths.
	claims map[string]string
	// base is the fragment of the PodSpec that makes the pod fit the application's.
	base     map[string]any
	settings podSettings
}

// runPod runs a pod of the mover to its end. The pod of an earlier attempt of this phase that a host has died over is found again.
func (d Deps) runPod(ctx context.Context, call *function.Call, w podWork, req *mover.Request) (mover.Result, error) {
	if d.Pods == nil {
		return mover.Result{}, errNothing("cluster.PodRunner")
	}
	pod, err := d.pod(call, w, req)
	if err != nil {
		return mover.Result{}, function.Permanent(err)
	}
	result, err := hearing.RunPod(ctx, call, d.Pods, pod, progressOf)
	return result, forGood(err)
}

// pod makes the pod of the mover.
func (d Deps) pod(call *function.Call, w podWork, req *mover.Request) (cluster.Pod, error) {
	image := cmp.Or(d.MoverImage, w.image)
	if image == "" {
		return cluster.Pod{}, errors.New("there is no image for the pod that moves the data: the host program names none (MoverImage; davit run --mover-image), nor does argument image")
	}
	labels, err := podspec.Labels(call, w.settings.PodLabels)
	if err != nil {
		return cluster.Pod{}, err
	}
	override, err := podspec.Merge(
		podspec.Fragment{Name: "what fits the application's pod", Spec: w.base},
		podspec.Fragment{Name: "the host program's MoverOverride", Spec: d.MoverOverride},
		podspec.Fragment{Name: "argument podOverride", Spec: w.settings.PodOverride},
		podspec.Fragment{Name: "the run's podOverride", Spec: call.Pod.Override},
	)
	if err != nil {
		return cluster.Pod{}, err
	}
	text, err := req.Text()
	if err != nil {
		return cluster.Pod{}, err
	}
	suffix := strconv.Itoa(call.Attempt)
	if w.suffix != "" {
		suffix = w.suffix + "-" + suffix
	}
	return cluster.Pod{
		Name: call.Name(suffix), Namespace: w.namespace, Image: image, Command: []string{"davit", "mover"},
		Labels: labels, Annotations: podspec.Annotations(call, w.settings.PodAnnotations), Override: override,
		Claims: w.claims, Profile: text,
	}, nil
}

// progressOf makes a line for people of what a far end tells.
func progressOf(p mover.Progress) function.Progress {
	out := function.Progress{Bytes: p.Bytes, TotalBytes: p.Total}
	if p.Files > 0 {
		out.Note = fmt.Sprintf("%d files", p.Files)
		if p.TotalFiles > 0 {
			out.Note = fmt.Sprintf("%d of %d files", p.Files, p.TotalFiles)
		}
	}
	if p.Rate > 0 {
		out.Note += fmt.Sprintf(", %s/s", sizeText(p.Rate))
	}
	if p.Left > 0 {
		out.Note += fmt.Sprintf(", %d s left", p.Left)
	}
	return out
}
