//go:build unix

package localcluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
)

// scaledBy is the annotation that remembers who scaled a workload and from how many replicas: "token=original".
const scaledBy = "davit.io/scaled-by"

// maxReplicas bounds what a slip in a manifest can do to this machine.
const maxReplicas = 100

func isWorkload(k key) bool {
	return k.group == "apps" && (k.resource == "statefulsets" || k.resource == "deployments")
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// workload is a StatefulSet or a Deployment.
type workload struct {
	key      key
	uid      string
	replicas int
	template corev1.PodTemplateSpec
	claims   []corev1.PersistentVolumeClaim
}

func (c *Cluster) workloadOf(k key, obj map[string]any) (*workload, error) {
	w := &workload{key: k, replicas: 1}
	var replicas *int32
	if k.resource == "statefulsets" {
		var s appsv1.StatefulSet
		if err := convert(obj, &s); err != nil {
			return nil, err
		}
		w.uid, w.template, w.claims, replicas = string(s.UID), s.Spec.Template, s.Spec.VolumeClaimTemplates, s.Spec.Replicas
	} else {
		var d appsv1.Deployment
		if err := convert(obj, &d); err != nil {
			return nil, err
		}
		w.uid, w.template, replicas = string(d.UID), d.Spec.Template, d.Spec.Replicas
	}
	if replicas != nil {
		w.replicas = int(*replicas)
	}
	if w.replicas < 0 || w.replicas > maxReplicas {
		return nil, fmt.Errorf("%w: %s: %d replicas, want 0 to %d on one machine", cluster.ErrInvalid, k, w.replicas, maxReplicas)
	}
	return w, nil
}

// podName is deterministic, so that a reopened folder finds its pods.
func (w *workload) podName(i int) string {
	if w.key.resource == "statefulsets" {
		return fmt.Sprintf("%s-%d", w.key.name, i)
	}
	return fmt.Sprintf("%s-%s-%d", w.key.name, digest([]byte(w.key.namespace + "/" + w.key.name))[:8], i)
}

// podOfWorkload makes the pod of that name.
func podOfWorkload(w *workload, name string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: *w.template.ObjectMeta.DeepCopy(), Spec: *w.template.Spec.DeepCopy()}
	p.Name, p.Namespace = name, w.key.namespace
	kind := "Deployment"
	if w.key.resource == "statefulsets" {
		kind = "StatefulSet"
	}
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: w.key.name}}
	for _, t := range w.claims {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: t.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: t.Name + "-" + name}}})
	}
	return p
}

func owns(w *workload, p *podDir) bool {
	return p.pod.Namespace == w.key.namespace && len(p.pod.OwnerReferences) == 1 && p.pod.OwnerReferences[0].Name == w.key.name &&
		resourceOf(p.pod.OwnerReferences[0].Kind) == w.key.resource
}

// reconcileAll starts what workloads lack.
func (c *Cluster) reconcileAll(ctx context.Context) error {
	var errs []error
	for _, resource := range []string{"statefulsets", "deployments"} {
		err := c.each("apps", resource, func(obj map[string]any) error {
			m := metadata(obj)
			ns, _ := m["namespace"].(string)
			name, _ := m["name"].(string)
			errs = append(errs, c.reconcile(ctx, key{"apps", resource, ns, name}))
			return nil
		})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// workloadLock is the lock of who starts and ends the pods of a workload.
func workloadLock(k key) string { return "workload-" + digest([]byte(k.String())) }

// reconcile starts and ends pods until the workload has those it asks for.
func (c *Cluster) reconcile(ctx context.Context, k key) error {
	return c.withLock(ctx, workloadLock(k), func() error {
		obj, err := c.load(k)
		if err != nil {
			return err
		}
		w, err := c.workloadOf(k, obj)
		if err != nil {
			return err
		}
		wanted := map[string]bool{}
		for i := range w.replicas {
			wanted[w.podName(i)] = true
		}
		pods, err := c.podsIn(k.namespace)
		if err != nil {
			return err
		}
		var errs []error
		slices.Reverse(pods) // the highest number ends first
		for _, p := range pods {
			if !owns(w, p) {
				continue
			}
			changed := !sameSpec(&p.pod.Spec, &podOfWorkload(w, p.pod.Name).Spec)
			if st := p.status(); changed || !wanted[p.pod.Name] || st.finished || st.lost || st.ended {
				errs = append(errs, c.remove(ctx, p))
			}
		}
		for i := range w.replicas {
			errs = append(errs, c.startOfWorkload(ctx, w, w.podName(i)))
		}
		return errors.Join(errs...)
	})
}

// sameSpec compares two specs as they are stored.
func sameSpec(a, b *corev1.PodSpec) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

func (c *Cluster) startOfWorkload(ctx context.Context, w *workload, name string) error {
	pod := podOfWorkload(w, name)
	for _, t := range w.claims {
		claim := map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim",
			"metadata": map[string]any{"name": t.Name + "-" + name, "namespace": w.key.namespace}, "status": map[string]any{"phase": "Bound"}}
		k := key{"", "persistentvolumeclaims", w.key.namespace, t.Name + "-" + name}
		if _, err := c.load(k); errors.Is(err, cluster.ErrNotFound) {
			stamp(claim)
			if err := c.save(k, claim); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	_, err := c.start(ctx, pod, nil)
	return err
}

// workloadKey finds the key of a workload.
func workloadKey(w cluster.Workload) (key, error) {
	k := key{"apps", resourceOf(w.Kind), w.Namespace, w.Name}
	if !isWorkload(k) {
		return k, fmt.Errorf("%w: %s: a StatefulSet or a Deployment can be scaled here", cluster.ErrInvalid, w)
	}
	return k, nil
}

// Scale sets the number of replicas and starts or ends pods.
func (c *Cluster) Scale(ctx context.Context, w cluster.Workload, replicas int32, token string) (int32, error) {
	k, err := workloadKey(w)
	if err != nil {
		return 0, err
	}
	if replicas < 0 || replicas > maxReplicas || token == "" || strings.Contains(token, "=") {
		return 0, fmt.Errorf("%w: %s: scale to %d with token %q", cluster.ErrInvalid, w, replicas, token)
	}
	var original int64
	err = c.withLock(ctx, "objects", func() error {
		obj, err := c.load(k)
		if err != nil {
			return err
		}
		now, err := c.workloadOf(k, obj)
		if err != nil {
			return err
		}
		original = int64(now.replicas)
		annotations, _ := metadata(obj)["annotations"].(map[string]any)
		mark, _ := annotations[scaledBy].(string)
		if by, n, ok := strings.Cut(mark, "="); ok && by == token {
			if original, err = strconv.ParseInt(n, 10, 32); err != nil {
				return fmt.Errorf("%s: annotation %s: %w", w, scaledBy, err)
			}
		}
		metadata(obj)["annotations"] = merge(annotations, map[string]any{scaledBy: fmt.Sprintf("%s=%d", token, original)})
		spec, _ := obj["spec"].(map[string]any)
		obj["spec"] = merge(spec, map[string]any{"replicas": replicas})
		return c.save(k, obj)
	})
	if err != nil {
		return 0, fmt.Errorf("scale %s to %d: %w", w, replicas, err)
	}
	return int32(original), c.reconcile(ctx, k)
}

// AwaitScaled waits until the workload has exactly this number of running pods.
func (c *Cluster) AwaitScaled(ctx context.Context, w cluster.Workload, replicas int32) error {
	for p := newPoll(); ; {
		pods, all, err := c.podsOf(w)
		if err != nil {
			return err
		}
		if len(pods) == int(replicas) && all == len(pods) {
			return nil
		}
		if err := p.wait(ctx); err != nil {
			return fmt.Errorf("wait for %s to have %d running pods, it has %d of %d: %w", w, replicas, len(pods), all, err)
		}
	}
}

// podsOf returns the running pods of a workload and the number of all of them.
func (c *Cluster) podsOf(w cluster.Workload) (running []*podDir, all int, err error) {
	k, err := workloadKey(w)
	if err != nil {
		return nil, 0, err
	}
	if _, err := c.load(k); err != nil {
		return nil, 0, err
	}
	pods, err := c.podsIn(w.Namespace)
	if err != nil {
		return nil, 0, err
	}
	for _, p := range pods {
		if !owns(&workload{key: k}, p) {
			continue
		}
		all++
		if p.status().running {
			running = append(running, p)
		}
	}
	return running, all, nil
}

// WorkloadPods lists the running pods of a workload by name.
func (c *Cluster) WorkloadPods(_ context.Context, w cluster.Workload) ([]cluster.PodInfo, error) {
	pods, _, err := c.podsOf(w)
	if err != nil {
		return nil, err
	}
	var list []cluster.PodInfo
	for _, p := range pods {
		info := cluster.PodInfo{Name: p.pod.Name, Claims: map[string]string{}, Started: p.started()}
		claims := map[string]string{}
		for _, v := range p.pod.Spec.Volumes {
			if v.PersistentVolumeClaim != nil {
				claims[v.Name] = v.PersistentVolumeClaim.ClaimName
			}
		}
		for _, ct := range p.pod.Spec.Containers {
			info.Containers = append(info.Containers, ct.Name)
			for _, m := range ct.VolumeMounts {
				if claim, ok := claims[m.Name]; ok {
					info.Claims[claim] = m.MountPath
				}
			}
		}
		list = append(list, info)
	}
	return list, nil
}

// fillStatus computes a workload's status.
func (c *Cluster) fillStatus(k key, obj map[string]any) error {
	running, all, err := c.podsOf(cluster.Workload{Kind: strings.TrimSuffix(k.resource, "s"), Namespace: k.namespace, Name: k.name})
	if err != nil {
		return err
	}
	n := float64(len(running))
	generation := metadata(obj)["generation"]
	if generation == nil {
		generation = float64(1)
		metadata(obj)["generation"] = generation
	}
	obj["status"] = map[string]any{"replicas": float64(all), "readyReplicas": n, "updatedReplicas": n, "availableReplicas": n,
		"currentReplicas": n, "observedGeneration": generation}
	return nil
}
