package kubecluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
)

// requestTime bounds one request that must not be given up half-way.
const requestTime = 15 * time.Second

// passes tells whether a request that failed may succeed when it is repeated: the connection failed, the server is busy, starting or at fault, or
// somebody else was quicker.
func passes(err error) bool {
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		return true
	}
	code := int(status.Status().Code)
	return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError || apierrors.IsConflict(err)
}

// insist repeats a request while it fails for reasons that pass. It returns ctx's cause when ctx ends first.
func (r *podRun) insist(ctx context.Context, what string, passes func(error) bool, request func() error) error {
	for pause, times := 100*time.Millisecond, 0; ; times++ {
		err := request()
		if err == nil || !passes(err) {
			return err
		}
		if times%20 == 0 {
			r.log.WarnContext(ctx, "a request is repeated", "request", what, "error", err)
		}
		if sleep(ctx, pause, nil) != nil {
			return fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), err)
		}
		pause = min(2*pause, logPause)
	}
}

// admit creates the pod, or finds the one that an earlier call has created. Each request is seen to its end: one that is broken off may have created
// the pod all the same.
func (r *podRun) admit(ctx context.Context) (created bool, err error) {
	pods := r.c.clients.Kube.CoreV1().Pods(r.w.pod.Namespace)
	start, cancel := context.WithTimeoutCause(ctx, r.c.opts.StartTimeout, fmt.Errorf("%s could not be created in %v", r.w, r.c.opts.StartTimeout))
	defer cancel()
	begun := time.Now()
	mayPass := func(err error) bool { return passes(err) || isEarly(err) && time.Since(begun) < r.c.opts.ConfigGrace }
	err = r.insist(start, "create "+r.w.String(), mayPass, func() error {
		whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTime)
		defer cancel()
		pod, err := pods.Create(whole, r.w.pod, metav1.CreateOptions{})
		if err == nil {
			r.live, created = pod, true
		}
		return err
	})
	switch {
	case err == nil:
		return created, nil
	case apierrors.IsAlreadyExists(err):
		return false, r.adopt(start)
	case start.Err() != nil:
		return false, err
	}
	return false, explainRefusal(apiError("create", r.w.ref(), err))
}

// isEarly tells whether a pod was refused because its namespace is so new that its service account is not there yet, or the server so new that it
// does not admit anything.
func isEarly(err error) bool {
	return apierrors.IsForbidden(err) && (strings.Contains(err.Error(), "error looking up service account") || strings.Contains(err.Error(), "not yet ready"))
}

// explainRefusal adds what can be done.
func explainRefusal(err error) error {
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "violates PodSecurity"):
		return fmt.Errorf("%w; the namespace asks for more than the pod has: take it out of podOverride, or the host must not set Policy.RunAsImage", err)
	case strings.Contains(err.Error(), "exceeded quota"):
		return fmt.Errorf("%w; try again when other pods have ended, or widen the quota", err)
	}
	return err
}

// adopt finds the pod that has the name.
func (r *podRun) adopt(ctx context.Context) error {
	pods := r.c.clients.Kube.CoreV1().Pods(r.w.pod.Namespace)
	var found *corev1.Pod
	err := r.insist(ctx, "get "+r.w.String(), passes, func() (err error) {
		found, err = pods.Get(ctx, r.w.pod.Name, metav1.GetOptions{})
		return err
	})
	switch {
	case apierrors.IsNotFound(err): // it was there a moment ago, and may have been an earlier call's
		return fmt.Errorf("%s: %w: somebody removed it", r.w, cluster.ErrLost)
	case err != nil:
		return requestError(ctx, "get", r.w.ref(), err)
	case !r.w.owns(found):
		return fmt.Errorf("%w: %s %w and is not ours: its labels are %v, not %v; remove it or choose another name",
			cluster.ErrInvalid, r.w, cluster.ErrExists, found.Labels, r.w.pod.Labels)
	}
	r.live = found
	r.log.InfoContext(ctx, "the pod of an earlier call goes on", "phase", found.Status.Phase)
	return nil
}

// giveProfile creates the secret that the pod waits for. It belongs to the pod and goes with it. The pod comes first because only then there is
// something to belong to; a host that dies in between leaves a pod that waits, and whoever adopts it creates the secret.
func (r *podRun) giveProfile(ctx context.Context, created bool) error {
	name := profileSecret(r.live)
	if len(r.w.profile) == 0 || name == "" || r.live.DeletionTimestamp != nil || !created && r.live.Status.Phase != corev1.PodPending {
		return nil // a pod that runs has had it
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: r.live.Namespace, Labels: r.w.pod.Labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: r.live.Name, UID: r.live.UID}},
		},
		Immutable: new(true),
		Data:      map[string][]byte{profileFile: r.w.profile},
	}
	start, cancel := context.WithTimeoutCause(ctx, r.c.opts.StartTimeout, fmt.Errorf("the secret of %s could not be created in %v", r.w, r.c.opts.StartTimeout))
	defer cancel()
	first := true
	err := r.insist(start, "create secret "+secret.Namespace+"/"+name, passes, func() error {
		_, err := r.c.clients.Kube.CoreV1().Secrets(secret.Namespace).Create(start, secret, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) && (!created || !first) {
			return nil // an earlier attempt's: the name is known to who created the pod or adopted it
		}
		first = false
		return err
	})
	ref := cluster.Ref{APIVersion: "v1", Resource: "secrets", Namespace: secret.Namespace, Name: name}
	switch {
	case err == nil:
		return nil
	case start.Err() != nil:
		return err
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("%w: %s: the secret of its profile is somebody else's: %w", cluster.ErrInvalid, r.w, apiError("create", ref, err))
	}
	return fmt.Errorf("%s: the secret of its profile: %w", r.w, apiError("create", ref, err))
}
