package kubecluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
)

// RemovePod ends and removes a pod of RunPod, within Options.RemoveTimeout; after half of it the pod is killed. Any other pod is cluster.ErrInvalid:
// whatever the name, somebody else's pod is never removed. The verbs are get and delete.
func (c *Cluster) RemovePod(ctx context.Context, namespace, name string) error {
	ref := cluster.Ref{APIVersion: "v1", Resource: "pods", Namespace: namespace, Name: name}
	if namespace == "" || name == "" {
		return fmt.Errorf("%w: remove %s: namespace and name are required", cluster.ErrInvalid, ref)
	}
	pod, err := c.find(ctx, ref)
	if err != nil || pod == nil {
		return err
	}
	if _, ok := pod.Annotations[mainAnnotation]; !ok {
		return fmt.Errorf("%w: pod %s/%s has no annotation %s, so it is no pod of a run and not ours to remove", cluster.ErrInvalid, namespace, name, mainAnnotation)
	}
	return c.remove(ctx, pod)
}

// find returns a pod; nil when there is none. It is asked for again while the server cannot answer, within Options.RemoveTimeout.
func (c *Cluster) find(ctx context.Context, ref cluster.Ref) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.RemoveTimeout)
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		pod, err := c.clients.Kube.CoreV1().Pods(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		switch {
		case err == nil:
			return pod, nil
		case apierrors.IsNotFound(err):
			return nil, nil
		case !passes(err) || sleep(ctx, pause, nil) != nil:
			return nil, apiError("get", ref, err)
		}
	}
}

// stop ends and removes a pod that is not to go on, also one that an earlier call has left, and returns why. What could not be removed is named.
func (c *Cluster) stop(ctx context.Context, w *wanted, cause error) error {
	ctx = context.WithoutCancel(ctx)
	pod, err := c.find(ctx, w.ref())
	if err != nil {
		return errors.Join(cause, fmt.Errorf("%s may be left: %w", w, err))
	}
	if pod == nil || !w.owns(pod) {
		return cause
	}
	if err := c.remove(ctx, pod); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// remove deletes a pod and returns when it is gone. After half of Options.RemoveTimeout it is not asked any more but killed; a pod on a node that
// does not answer is then forgotten by the server, whatever the node does. Another pod that has taken the name is left alone.
func (c *Cluster) remove(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.RemoveTimeout)
	defer cancel()
	begun, asked, killed := time.Now(), false, false
	var last error
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		kill := time.Since(begun) >= c.opts.RemoveTimeout/2
		if !asked || kill && !killed {
			err := c.askToEnd(ctx, pod, kill)
			switch {
			case apierrors.IsNotFound(err), apierrors.IsConflict(err): // gone, or another has its name
				return nil
			case err == nil:
				asked, killed = true, kill
			case !passes(err):
				return notRemoved(pod, apiError("delete", refOf(pod), err))
			}
			last = err
		}
		now, err := c.clients.Kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err), err == nil && now.UID != pod.UID:
			return nil
		case err == nil:
			last = stillThere(now)
		case !passes(err):
			return notRemoved(pod, apiError("get", refOf(pod), err))
		case ctx.Err() == nil:
			last = err
		}
		if err := sleep(ctx, pause, nil); err != nil {
			if last != nil {
				err = fmt.Errorf("%w; %w", err, last)
			}
			return notRemoved(pod, err)
		}
	}
}

// askToEnd deletes the pod, and no other of its name.
func (c *Cluster) askToEnd(ctx context.Context, pod *corev1.Pod, kill bool) error {
	o := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}
	if kill {
		o.GracePeriodSeconds = new(int64)
	}
	return c.clients.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, o)
}

func refOf(pod *corev1.Pod) cluster.Ref {
	return cluster.Ref{APIVersion: "v1", Resource: "pods", Namespace: pod.Namespace, Name: pod.Name}
}

// notRemoved names a pod that could not be removed.
func notRemoved(pod *corev1.Pod, why error) error {
	return fmt.Errorf("pod %s/%s could not be removed: %w", pod.Namespace, pod.Name, why)
}

func stillThere(pod *corev1.Pod) error {
	if len(pod.Finalizers) > 0 {
		return fmt.Errorf("it is held by its finalizers %s", strings.Join(pod.Finalizers, ", "))
	}
	return fmt.Errorf("it is still there, on node %q", pod.Spec.NodeName)
}
