package kubecluster

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/davit-project/davit/cluster"
)

// mainAnnotation names the main container of a pod of RunPod. It tells such pods from others: RemovePod removes no other.
const mainAnnotation = "davit.io/container"

// shownContainer is what kubectl logs shows when no container is named.
const shownContainer = "kubectl.kubernetes.io/default-container"

// stopGrace is terminationGracePeriodSeconds of a pod whose override says nothing: time for an agent to abort its upload. Kubernetes' own 30 s would
// hold up every cancel by as much, because a shell that is the first process of its container ignores the signal.
const stopGrace = 10

// wanted is a pod as RunPod was asked for it.
type wanted struct {
	pod *corev1.Pod
	// main is the name of the main container.
	main string
	// containers are the names of those whose end is awaited: all but what admission may put beside them.
	containers []string
	// profile is what goes into the pod's secret; nil for none.
	profile []byte
}

func (w *wanted) String() string { return "pod " + w.pod.Namespace + "/" + w.pod.Name }

// ref names the pod in errors.
func (w *wanted) ref() cluster.Ref {
	return cluster.Ref{APIVersion: "v1", Resource: "pods", Namespace: w.pod.Namespace, Name: w.pod.Name}
}

// wanted makes the pod of a request and checks it: nothing that the policy refuses reaches the server. Every fault is reported, and all are
// cluster.ErrInvalid.
func (c *Cluster) wanted(pod cluster.Pod) (*wanted, error) {
	w := &wanted{main: cmp.Or(pod.Container, cluster.MainContainer), profile: pod.Profile}
	w.pod = &corev1.Pod{ObjectMeta: c.podMeta(pod, w.main), Spec: c.baseSpec(pod, w.main)}
	err := errors.Join(checkMeta(&w.pod.ObjectMeta), share(&w.pod.Spec, pod.Shared))
	if err == nil {
		err = c.complete(w, pod)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", cluster.ErrInvalid, w, err)
	}
	for _, ct := range w.pod.Spec.Containers {
		w.containers = append(w.containers, ct.Name)
	}
	return w, nil
}

// complete merges the override over the pod, holds the result against the policy and adds what no override may change.
func (c *Cluster) complete(w *wanted, pod cluster.Pod) error {
	spec, err := mergeOverride(w.pod.Spec, pod.Override)
	if err != nil {
		return err
	}
	w.pod.Spec = spec
	if err := mainFirst(w.pod.Spec.Containers, w.main); err != nil {
		return err
	}
	rules := c.rules(pod)
	if err := rules.checkOwn(&w.pod.Spec); err != nil {
		return err
	}
	c.setDefaults(&w.pod.Spec, rules)
	if err := rules.checkStandard(w.pod); err != nil {
		return err
	}
	fix(w, pod)
	return nil
}

func (c *Cluster) podMeta(pod cluster.Pod, main string) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, Labels: maps.Clone(pod.Labels), Annotations: map[string]string{shownContainer: main}}
	maps.Copy(meta.Annotations, pod.Annotations)
	meta.Annotations[mainAnnotation] = main
	if o := c.opts.Owner; o != nil && o.Namespace == pod.Namespace {
		meta.OwnerReferences = []metav1.OwnerReference{o.OwnerReference}
	}
	return meta
}

// checkMeta refuses names, labels and annotations that the server would refuse, and a pod that could not be found again.
func checkMeta(meta *metav1.ObjectMeta) error {
	var errs []error
	if faults := utilvalidation.IsDNS1123Subdomain(meta.Name); len(faults) > 0 {
		errs = append(errs, fmt.Errorf("name %q: %s", meta.Name, faults[0]))
	}
	if len(meta.Name) > maxPodName {
		errs = append(errs, fmt.Errorf("name: %d bytes, at most %d are allowed", len(meta.Name), maxPodName))
	}
	if faults := utilvalidation.IsDNS1123Label(meta.Namespace); len(faults) > 0 {
		errs = append(errs, fmt.Errorf("namespace %q: %s", meta.Namespace, faults[0]))
	}
	if len(meta.Labels) == 0 {
		errs = append(errs, errors.New("labels that identify the run are required"))
	}
	for _, fault := range metavalidation.ValidateLabels(meta.Labels, field.NewPath("labels")) {
		errs = append(errs, fault)
	}
	for _, fault := range validation.ValidateAnnotations(meta.Annotations, field.NewPath("annotations")) {
		errs = append(errs, fault)
	}
	return errors.Join(errs...)
}

// baseSpec is the pod without its override. Claims are mounted for reading and writing whatever their access modes, which only a look at
// the claim would tell; an override can set readOnly on the mount, by its mountPath.
func (c *Cluster) baseSpec(pod cluster.Pod, main string) corev1.PodSpec {
	s := corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		ActiveDeadlineSeconds:         c.deadline(),
		TerminationGracePeriodSeconds: new(int64(stopGrace)),
		EnableServiceLinks:            new(false),
		ServiceAccountName:            pod.ServiceAccount,
		InitContainers:                containersOf(pod.Init),
		Containers:                    append(containersOf([]cluster.Container{{Name: main, Image: pod.Image, Command: pod.Command}}), containersOf(pod.Others)...),
	}
	for _, claim := range slices.Sorted(maps.Keys(pod.Claims)) {
		sum := sha256.Sum256([]byte(claim)) // a claim's name may be longer than a volume's
		name := "claim-" + hex.EncodeToString(sum[:5])
		s.Volumes = append(s.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}})
		s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: pod.Claims[claim]})
	}
	return s
}

// deadline is Options.PodDeadline in whole seconds, at least one.
func (c *Cluster) deadline() *int64 { return new(max(1, int64(c.opts.PodDeadline.Seconds()))) }

func containersOf(list []cluster.Container) []corev1.Container {
	var all []corev1.Container
	for _, ct := range list {
		all = append(all, corev1.Container{Name: ct.Name, Image: ct.Image, Command: ct.Command, ImagePullPolicy: corev1.PullIfNotPresent})
	}
	return all
}

// share mounts an empty volume in all containers.
func share(s *corev1.PodSpec, shared *cluster.SharedVolume) error {
	if shared == nil {
		return nil
	}
	source := &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMedium(shared.Medium)}
	if source.Medium != corev1.StorageMediumDefault && source.Medium != corev1.StorageMediumMemory {
		return fmt.Errorf("shared volume: medium %q: want none or Memory", shared.Medium)
	}
	if shared.SizeLimit != "" {
		limit, err := quantity.ParseQuantity(shared.SizeLimit)
		if err != nil {
			return fmt.Errorf("shared volume: size limit %q: %w", shared.SizeLimit, err)
		}
		source.SizeLimit = &limit
	}
	const name = "shared"
	s.Volumes = append(s.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: source}})
	for ct := range everyContainer(s) {
		ct.VolumeMounts = append(ct.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: shared.Path})
	}
	return nil
}

// everyContainer goes through init containers and regular ones.
func everyContainer(s *corev1.PodSpec) func(yield func(*corev1.Container) bool) {
	return func(yield func(*corev1.Container) bool) {
		for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}
	}
}

// owns tells whether a pod that exists is the one that is wanted: it carries the labels. Admission may have added others.
func (w *wanted) owns(pod *corev1.Pod) bool {
	for k, v := range w.pod.Labels {
		if got, ok := pod.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
