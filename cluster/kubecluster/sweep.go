package kubecluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/davit-project/davit/cluster"
)

var _ cluster.Sweeper = (*Cluster)(nil)

const (
	// sweepers is how many pods are removed at the same time.
	sweepers = 8
	// pageSize is how many pods are listed by one request.
	pageSize = 500
)

// Sweep removes the pods that carry all the labels, in all namespaces; where the host may not list those, in Options.Namespaces. A namespace whose
// pods could not be listed is in the list of what is left. The secrets of profiles belong to their pods, and the cluster removes them some time
// after. The verbs are list, get and delete on pods.
func (c *Cluster) Sweep(ctx context.Context, carried map[string]string) ([]string, error) {
	if len(carried) == 0 {
		return nil, fmt.Errorf("%w: sweep without labels", cluster.ErrInvalid)
	}
	selector, err := labels.ValidatedSelectorFromSet(carried)
	if err != nil {
		return nil, fmt.Errorf("%w: sweep: labels: %w", cluster.ErrInvalid, err)
	}
	pods, left := c.allWith(ctx, selector.String())
	var mu sync.Mutex
	var running sync.WaitGroup
	places := make(chan struct{}, sweepers)
	for _, pod := range pods {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			if err := c.remove(ctx, &pod); err != nil {
				mu.Lock()
				defer mu.Unlock()
				left = append(left, err.Error())
			}
		})
	}
	running.Wait()
	slices.Sort(left)
	return left, nil
}

// allWith lists pods, and says of which namespaces it could not.
func (c *Cluster) allWith(ctx context.Context, selector string) (pods []corev1.Pod, left []string) {
	pods, err := c.list(ctx, metav1.NamespaceAll, selector)
	if err == nil {
		return pods, nil
	}
	if !errors.Is(err, cluster.ErrDenied) || len(c.opts.Namespaces) == 0 {
		return pods, []string{fmt.Sprintf("pods of all namespaces: %v", err)}
	}
	for _, namespace := range slices.Compact(slices.Sorted(slices.Values(c.opts.Namespaces))) {
		some, err := c.list(ctx, namespace, selector)
		pods = append(pods, some...)
		if err != nil {
			left = append(left, fmt.Sprintf("pods of namespace %s: %v", namespace, err))
		}
	}
	return pods, left
}

// list lists the pods of a namespace page by page, and asks again while the server cannot answer, within Options.RemoveTimeout.
func (c *Cluster) list(ctx context.Context, namespace, selector string) (pods []corev1.Pod, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.RemoveTimeout)
	defer cancel()
	o := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	for pause := 100 * time.Millisecond; ; {
		page, err := c.clients.Kube.CoreV1().Pods(namespace).List(ctx, o)
		if apierrors.IsResourceExpired(err) { // the pages took too long: from the beginning
			pods, o.Continue = nil, ""
			continue
		}
		if err != nil {
			if !passes(err) || sleep(ctx, pause, nil) != nil {
				return pods, apiError("list", cluster.Ref{APIVersion: "v1", Resource: "pods", Namespace: namespace, Name: "*"}, err)
			}
			pause = min(2*pause, logPause)
			continue
		}
		pods = append(pods, page.Items...)
		if o.Continue = page.Continue; o.Continue == "" {
			return pods, nil
		}
	}
}
