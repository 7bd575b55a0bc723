package kubecluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-project/davit/cluster"
)

var _ cluster.PodLister = (*Cluster)(nil)

// Annotations in which the controllers of Kubernetes and OpenShift keep which revision is the current one.
const (
	deploymentRevision = "deployment.kubernetes.io/revision"
	configVersion      = "openshift.io/deployment-config.latest-version"
)

// workloadKinds are the kinds that can be scaled, in lower case.
var workloadKinds = map[string]schema.GroupVersionKind{
	"statefulset":      {Group: "apps", Version: "v1", Kind: "StatefulSet"},
	"deployment":       {Group: "apps", Version: "v1", Kind: "Deployment"},
	"deploymentconfig": {Group: "apps.openshift.io", Version: "v1", Kind: "DeploymentConfig"},
}

// workload is what is read of a StatefulSet, Deployment or DeploymentConfig; they share these fields.
type workload struct {
	ref cluster.Ref

	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Replicas *int32 `json:"replicas"`
		// Selector is a LabelSelector, or a map of labels for a DeploymentConfig.
		Selector json.RawMessage `json:"selector"`
		// UpdateStrategy is that of a StatefulSet.
		UpdateStrategy struct {
			Type          string `json:"type"`
			RollingUpdate struct {
				Partition int32 `json:"partition"`
			} `json:"rollingUpdate"`
		} `json:"updateStrategy"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration int64 `json:"observedGeneration"`
		Replicas           int32 `json:"replicas"`
		UpdatedReplicas    int32 `json:"updatedReplicas"`
		ReadyReplicas      int32 `json:"readyReplicas"`
		AvailableReplicas  int32 `json:"availableReplicas"`
		// LatestVersion is that of a DeploymentConfig.
		LatestVersion int64 `json:"latestVersion"`
	} `json:"status"`
}

// replicas is how many the workload shall have.
func (w *workload) replicas() int32 {
	if w.Spec.Replicas == nil {
		return 1 // the API's default
	}
	return *w.Spec.Replicas
}

func (w *workload) is(kind string) bool { return w.ref.Kind == kind }

// workloadRef names the object of a workload.
func workloadRef(w cluster.Workload) (cluster.Ref, error) {
	gvk, ok := workloadKinds[strings.ToLower(w.Kind)]
	if !ok {
		return cluster.Ref{}, fmt.Errorf("%w: %s: kind must be StatefulSet, Deployment or DeploymentConfig", cluster.ErrInvalid, w)
	}
	ref := cluster.Ref{APIVersion: gvk.Version, Group: gvk.Group, Kind: gvk.Kind, Resource: strings.ToLower(gvk.Kind) + "s", Namespace: w.Namespace, Name: w.Name}
	if w.Namespace == "" || w.Name == "" {
		return ref, fmt.Errorf("%w: %s: namespace and name are required", cluster.ErrInvalid, w)
	}
	return ref, checkRef(ref)
}

// workload reads a workload. The verb is get.
func (c *Cluster) workload(ctx context.Context, ref cluster.Ref) (*workload, error) {
	obj, err := c.client(ref).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return nil, requestError(ctx, "get", ref, err)
	}
	data, err := json.Marshal(obj.Object)
	if err != nil {
		return nil, err
	}
	w := &workload{ref: ref}
	if err := json.Unmarshal(data, w); err != nil {
		return nil, fmt.Errorf("%w: %s has fields of other types than a %s: %w", cluster.ErrInvalid, ref, ref.Kind, err)
	}
	return w, nil
}

// selector narrows lists down to what may belong to the workload; its owner references decide.
func (w *workload) selector() string {
	if w.is("DeploymentConfig") {
		var set map[string]string
		if json.Unmarshal(w.Spec.Selector, &set) != nil {
			return ""
		}
		return labels.SelectorFromSet(set).String()
	}
	var s metav1.LabelSelector
	if json.Unmarshal(w.Spec.Selector, &s) != nil {
		return ""
	}
	selector, err := metav1.LabelSelectorAsSelector(&s)
	if err != nil {
		return ""
	}
	return selector.String()
}

// owned holds the pods of a workload.
type owned struct {
	// all that any revision of the workload owns, by name.
	all []corev1.Pod
	// current is the UID of the direct owner of the pods of the current revision; empty when there is none.
	current types.UID
}

// isCurrent tells whether a pod is of the current revision.
func (o owned) isCurrent(p corev1.Pod) bool {
	ref := metav1.GetControllerOf(&p)
	return ref != nil && ref.UID == o.current
}

// pods lists the pods that a workload owns: itself, or through its replica sets or replication controllers. The verb is list on pods, and on replicasets or
// replicationcontrollers for a Deployment or a DeploymentConfig.
func (c *Cluster) pods(ctx context.Context, w *workload) (owned, error) {
	owners, current, err := c.owners(ctx, w)
	if err != nil {
		return owned{}, err
	}
	ns := w.ref.Namespace
	list, err := c.clients.Kube.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: w.selector()})
	if err != nil {
		return owned{}, requestError(ctx, "list", cluster.Ref{Resource: "pods", Namespace: ns, Name: "*"}, err)
	}
	o := owned{current: current}
	for _, p := range list.Items {
		if ref := metav1.GetControllerOf(&p); ref != nil && owners[ref.UID] {
			o.all = append(o.all, p)
		}
	}
	slices.SortFunc(o.all, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return o, nil
}

// owners finds what owns the pods of a workload directly, and which of it is current.
func (c *Cluster) owners(ctx context.Context, w *workload) (owners map[types.UID]bool, current types.UID, err error) {
	ns, uid := w.ref.Namespace, w.Metadata.UID
	owners = map[types.UID]bool{}
	add := func(m metav1.ObjectMeta, isCurrent bool) {
		if ref := metav1.GetControllerOf(&m); ref != nil && ref.UID == uid {
			owners[m.UID] = true
			if isCurrent {
				current = m.UID
			}
		}
	}
	switch w.ref.Kind {
	case "StatefulSet":
		return map[types.UID]bool{uid: true}, uid, nil
	case "Deployment":
		list, err := c.clients.Kube.AppsV1().ReplicaSets(ns).List(ctx, metav1.ListOptions{LabelSelector: w.selector()})
		if err != nil {
			return nil, "", requestError(ctx, "list", cluster.Ref{Resource: "replicasets", Group: "apps", Namespace: ns, Name: "*"}, err)
		}
		revision := w.Metadata.Annotations[deploymentRevision]
		for _, rs := range list.Items {
			add(rs.ObjectMeta, revision != "" && rs.Annotations[deploymentRevision] == revision)
		}
	case "DeploymentConfig":
		list, err := c.clients.Kube.CoreV1().ReplicationControllers(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, "", requestError(ctx, "list", cluster.Ref{Resource: "replicationcontrollers", Namespace: ns, Name: "*"}, err)
		}
		version := strconv.FormatInt(w.Status.LatestVersion, 10)
		for _, rc := range list.Items {
			add(rc.ObjectMeta, rc.Annotations[configVersion] == version)
		}
	}
	return owners, current, nil
}

// noCurrent says that a workload has no pods to speak of, because nothing of its current revision exists.
func (w *workload) noCurrent() error {
	if w.is("Deployment") {
		return fmt.Errorf("%s: ReplicaSet of revision %q: %w: its rollout has not begun, or the Deployment is paused", w.ref, w.Metadata.Annotations[deploymentRevision], cluster.ErrNotFound)
	}
	return fmt.Errorf("%s: ReplicationController of version %d: %w: nothing was deployed yet", w.ref, w.Status.LatestVersion, cluster.ErrNotFound)
}

// WorkloadPods returns the running pods of the workload's current revision: those of a StatefulSet, of the current ReplicaSet of a Deployment, of the latest
// ReplicationController of a DeploymentConfig. A pod that is being removed is none of them. A Deployment or DeploymentConfig without a current revision is
// ErrNotFound. Claims are those that a regular container mounts, under their real names; those that come and go with the pod (ephemeral volumes) are left
// out. Of several mounts of one claim the last counts. The verbs are get on the workload and list on pods, and on replicasets (Deployment)
// or replicationcontrollers (DeploymentConfig).
func (c *Cluster) WorkloadPods(ctx context.Context, w cluster.Workload) ([]cluster.PodInfo, error) {
	ref, err := workloadRef(w)
	if err != nil {
		return nil, err
	}
	at, err := c.workload(ctx, ref)
	if err != nil {
		return nil, err
	}
	o, err := c.pods(ctx, at)
	if err != nil {
		return nil, err
	}
	if o.current == "" {
		return nil, at.noCurrent()
	}
	var list []cluster.PodInfo
	for _, p := range o.all {
		if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil && o.isCurrent(p) {
			list = append(list, podInfo(&p))
		}
	}
	return list, nil
}

func podInfo(p *corev1.Pod) cluster.PodInfo {
	info := cluster.PodInfo{Name: p.Name, Claims: map[string]string{}, Started: p.CreationTimestamp.Time}
	if p.Status.StartTime != nil {
		info.Started = p.Status.StartTime.Time
	}
	claims := map[string]string{}
	for _, v := range p.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			claims[v.Name] = v.PersistentVolumeClaim.ClaimName
		}
	}
	for _, ct := range p.Spec.Containers {
		info.Containers = append(info.Containers, ct.Name)
		for _, m := range ct.VolumeMounts {
			if claim, ok := claims[m.Name]; ok {
				info.Claims[claim] = m.MountPath
			}
		}
	}
	return info
}
