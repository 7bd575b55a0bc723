package data

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

// application is the pod whose volumes are moved, or what is known of one that has ended.
type application struct {
	spec corev1.PodSpec
	// node it runs on; empty when it does not.
	node string
}

// runningPod looks up a pod.
func (d Deps) runningPod(ctx context.Context, namespace, name string) (*application, error) {
	if d.Objects == nil {
		return nil, errNothing("cluster.Getter")
	}
	object, err := d.Objects.Get(ctx, cluster.Ref{APIVersion: "v1", Resource: "pods", Namespace: namespace, Name: name})
	if err != nil {
		return nil, fmt.Errorf("look up pod %s/%s: %w", namespace, name, err)
	}
	var pod corev1.Pod
	if err := decode(object, &pod); err != nil {
		return nil, fmt.Errorf("pod %s/%s: %w", namespace, name, err)
	}
	a := &application{spec: pod.Spec}
	if pod.Status.Phase == corev1.PodPending || pod.Status.Phase == corev1.PodRunning {
		a.node = pod.Spec.NodeName
	}
	return a, nil
}

// application finds a pod, or the template of the subject's pods when it has ended. What is not found is empty.
func (d Deps) application(ctx context.Context, subject function.Subject, namespace, pod string) (*application, error) {
	if pod != "" {
		a, err := d.runningPod(ctx, namespace, pod)
		if err == nil || !errors.Is(err, cluster.ErrNotFound) {
			return a, err
		}
	}
	ref := cluster.Ref{APIVersion: "v1", Group: "apps", Kind: subject.Kind, Namespace: subject.Namespace, Name: subject.Name}
	switch subject.Kind {
	case "":
		return &application{}, nil
	case "DeploymentConfig":
		ref.Group = "apps.openshift.io"
	}
	if d.Objects == nil {
		return nil, errNothing("cluster.Getter")
	}
	object, err := d.Objects.Get(ctx, ref)
	if errors.Is(err, cluster.ErrNotFound) {
		return &application{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s %s/%s: %w", subject.Kind, subject.Namespace, subject.Name, err)
	}
	var workload struct {
		Spec struct{ Template corev1.PodTemplateSpec }
	}
	if err := decode(object, &workload); err != nil {
		return nil, fmt.Errorf("%s %s/%s: %w", subject.Kind, subject.Namespace, subject.Name, err)
	}
	return &application{spec: workload.Spec.Template.Spec}, nil
}

func decode(object map[string]any, into any) error {
	text, err := json.Marshal(object)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// container returns the container that is named, the only one, or nil.
func (a *application) container(name string) *corev1.Container {
	for i, ct := range a.spec.Containers {
		if ct.Name == name || name == "" && len(a.spec.Containers) == 1 {
			return &a.spec.Containers[i]
		}
	}
	return nil
}

// mounting returns a container that mounts the claim, or nil.
func (a *application) mounting(claim string) *corev1.Container {
	for i, ct := range a.spec.Containers {
		for _, m := range ct.VolumeMounts {
			if a.claim(m.Name) == claim {
				return &a.spec.Containers[i]
			}
		}
	}
	return nil
}

// claim is the claim of a volume; empty when it has none.
func (a *application) claim(volume string) string {
	for _, v := range a.spec.Volumes {
		if v.Name == volume && v.PersistentVolumeClaim != nil {
			return v.PersistentVolumeClaim.ClaimName
		}
	}
	return ""
}

// claimOf finds the claim that a folder of a container is on as a whole. Where there is none, it is errUnsuitable.
func (a *application) claimOf(ct *corev1.Container, folder string) (claim, mount string, err error) {
	folder = path.Clean(folder)
	var found *corev1.VolumeMount
	for i, m := range ct.VolumeMounts {
		at := path.Clean(m.MountPath)
		switch {
		case within(folder, at):
			if found == nil || len(path.Clean(found.MountPath)) < len(at) {
				found = &ct.VolumeMounts[i]
			}
		case within(at, folder):
			return "", "", fmt.Errorf("%w: volume %q is mounted below the folder, at %q", errUnsuitable, m.Name, m.MountPath)
		}
	}
	if found == nil {
		return "", "", fmt.Errorf("%w: the folder is on no volume", errUnsuitable)
	}
	claim = a.claim(found.Name)
	if claim == "" || found.SubPath != "" || found.SubPathExpr != "" {
		return "", "", fmt.Errorf("%w: the folder is on volume %q, which is not a whole claim", errUnsuitable, found.Name)
	}
	return claim, path.Clean(found.MountPath), nil
}

// within tells whether a path is at a folder or below it. Both are clean.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, strings.TrimRight(folder, "/")+"/")
}

// moverCapabilities are what root needs to read and write the files of others. The baseline Pod Security Standard allows them.
func moverCapabilities() []corev1.Capability {
	return []corev1.Capability{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP"}
}

// fit is the fragment of a PodSpec that makes a pod fit the application's: it runs as the same user, or else as root, and on the node where the application runs, if it does.
// Mounts in readOnly are read only.
func (a *application) fit(ct *corev1.Container, readOnly ...string) (map[string]any, error) {
	spec := corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{}, Tolerations: a.spec.Tolerations}
	main := corev1.Container{Name: cluster.MainContainer}
	pod, own := a.spec.SecurityContext, &corev1.SecurityContext{}
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	if ct != nil && ct.SecurityContext != nil {
		own = ct.SecurityContext
	}
	to := spec.SecurityContext
	to.FSGroup, to.FSGroupChangePolicy, to.SupplementalGroups = pod.FSGroup, pod.FSGroupChangePolicy, pod.SupplementalGroups
	to.SELinuxOptions = cmp.Or(own.SELinuxOptions, pod.SELinuxOptions)
	to.RunAsUser, to.RunAsGroup = cmp.Or(own.RunAsUser, pod.RunAsUser), cmp.Or(own.RunAsGroup, pod.RunAsGroup)
	if to.RunAsUser == nil {
		to.RunAsUser = new(int64(0))
	}
	if *to.RunAsUser == 0 {
		main.SecurityContext = &corev1.SecurityContext{
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: moverCapabilities()},
		}
	}
	for _, at := range slices.Sorted(slices.Values(readOnly)) {
		main.VolumeMounts = append(main.VolumeMounts, corev1.VolumeMount{MountPath: at, ReadOnly: true})
	}
	spec.Containers = []corev1.Container{main}
	if a.node != "" {
		spec.Affinity = onNode(a.node)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var fragment map[string]any
	if err := json.Unmarshal(text, &fragment); err != nil {
		return nil, err
	}
	tidy(fragment)
	return fragment, nil
}

// onNode is the affinity to one node. It goes through the scheduler, so that taints and resources count.
func onNode(name string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{name}}},
		}}},
	}}
}

// tidy takes out what the types write without being told: empty values that would be merged over the pod's.
func tidy(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, e := range v {
			if text, ok := e.(string); e == nil || ok && text == "" {
				delete(v, name)
				continue
			}
			tidy(e)
			if m, ok := e.(map[string]any); ok && len(m) == 0 {
				delete(v, name)
			}
		}
	case []any:
		for _, e := range v {
			tidy(e)
		}
	}
}
