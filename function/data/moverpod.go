package data

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
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
	where := fmt.Sprintf("pod %s/%s", pod.Namespace, pod.Name)
	heard := newHearing(ctx, call, slog.String("pod", pod.Name))
	var left bytes.Buffer
	pod.Log, pod.Results = heard.follower, &left
	err = d.Pods.RunPod(ctx, pod)
	if !errors.Is(err, cluster.ErrInvalid) && !errors.Is(err, cluster.ErrExists) { // then a pod of this name, if there is one, is somebody else's
		call.AfterRecord(ctx, where, func(ctx context.Context) error { return d.Pods.RemovePod(ctx, pod.Namespace, pod.Name) })
	}
	_, _ = heard.follower.Write(left.Bytes()) // the reply once more: the log may have lost it
	_ = heard.follower.Close()
	return heard.outcome(where, err)
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

// tailLines and lineShown bound what an error shows of what a far end wrote.
const (
	tailLines = 10
	lineShown = 400
)

// hearing is what the near end hears of a far end.
type hearing struct {
	follower *mover.Follower
	mask     func(string) string

	mu    sync.Mutex
	reply *mover.Reply
	tail  []string
}

func newHearing(ctx context.Context, call *function.Call, where slog.Attr) *hearing {
	h := &hearing{mask: call.Mask}
	h.follower = &mover.Follower{
		Reply:    h.replied,
		Progress: func(p mover.Progress) { call.Report(ctx, progressOf(p)) },
		Other: func(line []byte) {
			h.keep(string(line[:min(len(line), lineShown)]))
			call.Log.LogAttrs(ctx, slog.LevelInfo, string(line), where)
		},
	}
	return h
}

func (h *hearing) replied(r mover.Reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reply = &r
}

// succeeded tells whether the far end has said that all is well.
func (h *hearing) succeeded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reply != nil && h.reply.Fault == nil
}

func (h *hearing) keep(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tail = append(h.tail, line)
	h.tail = h.tail[max(0, len(h.tail)-tailLines):]
}

// outcome is what the far end has said, or that it has said nothing. Err is what running it returned.
func (h *hearing) outcome(where string, err error) (mover.Result, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	exit := (*cluster.ExitError)(nil)
	exited := errors.As(err, &exit)
	switch {
	case err != nil && !exited:
		return mover.Result{}, forGood(fmt.Errorf("%s: %w", where, err))
	case h.reply != nil && h.reply.Fault != nil:
		return mover.Result{}, forGood(fmt.Errorf("%s: %w", where, h.reply.Fault))
	case exited:
		told := &cluster.ExitError{What: where, Code: exit.Code}
		for _, line := range h.tail {
			told.Tail += h.mask(line) + "\n"
		}
		return mover.Result{}, told
	case h.reply == nil:
		return mover.Result{}, fmt.Errorf("%s: ended without a word of what it has done, so nothing is known to be done", where)
	default:
		return h.reply.Result, nil
	}
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
