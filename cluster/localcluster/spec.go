//go:build unix

package localcluster

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/davit-project/davit/cluster"
)

var (
	dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	envName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// checkSpec refuses what cannot be run here and what a careful cluster would refuse.
func checkSpec(s *corev1.PodSpec) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.HostNetwork || s.HostPID || s.HostIPC {
		bad("hostNetwork, hostPID and hostIPC are not allowed")
	}
	if len(s.Containers) == 0 {
		bad("no containers")
	}
	volumes := map[string]bool{}
	for _, v := range s.Volumes {
		volumes[v.Name] = true
		if v.PersistentVolumeClaim == nil && v.EmptyDir == nil && v.Secret == nil && v.ConfigMap == nil {
			bad("volume %q: only persistentVolumeClaim, emptyDir, secret and configMap are supported", v.Name)
		}
	}
	for _, ct := range s.InitContainers {
		if ct.RestartPolicy != nil {
			bad("init container %q: a restartPolicy of its own is not supported", ct.Name)
		}
	}
	names := map[string]bool{}
	for _, ct := range append(append([]corev1.Container{}, s.InitContainers...), s.Containers...) {
		if !dnsLabel.MatchString(ct.Name) || names[ct.Name] {
			bad("container name %q is used twice or is no DNS label", ct.Name)
		}
		names[ct.Name] = true
		if len(ct.Command)+len(ct.Args) == 0 {
			bad("container %q has no command: images are not used here, so command or args is required", ct.Name)
		}
		if sc := ct.SecurityContext; sc != nil && sc.Privileged != nil && *sc.Privileged {
			bad("container %q: privileged is not allowed", ct.Name)
		}
		for _, e := range ct.Env {
			if !envName.MatchString(e.Name) {
				bad("container %q: environment variable %q is no name", ct.Name, e.Name)
			}
		}
		for _, m := range ct.VolumeMounts {
			if !volumes[m.Name] {
				bad("container %q mounts volume %q, which the pod does not have", ct.Name, m.Name)
			}
			if _, err := below("", m.MountPath); err != nil || strings.Trim(m.MountPath, "/.") == "" {
				bad("container %q: mountPath %q: want a path below the root", ct.Name, m.MountPath)
			}
			if _, err := below("", m.SubPath); err != nil {
				bad("container %q: subPath %q leaves the volume", ct.Name, m.SubPath)
			}
		}
		if _, err := below("", ct.WorkingDir); err != nil {
			bad("container %q: workingDir %q leaves the root", ct.Name, ct.WorkingDir)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: pod: %w", cluster.ErrInvalid, err)
	}
	return nil
}

// below joins a path of a pod to a folder of this machine, and refuses one that leaves it.
func below(root, path string) (string, error) {
	for _, part := range strings.Split(path, "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: path %q leaves the root by '..'", cluster.ErrInvalid, path)
		}
	}
	if strings.ContainsRune(path, 0) {
		return "", fmt.Errorf("%w: path contains a zero byte", cluster.ErrInvalid)
	}
	return filepath.Join(root, path), nil
}

// podFor makes the pod that RunPod is asked for.
func podFor(pod cluster.Pod) (*corev1.Pod, error) {
	if !dnsLabel.MatchString(pod.Name) {
		return nil, fmt.Errorf("%w: pod name %q is no DNS label", cluster.ErrInvalid, pod.Name)
	}
	if len(pod.Labels) == 0 {
		return nil, fmt.Errorf("%w: pod %q: labels that identify the run are required", cluster.ErrInvalid, pod.Name)
	}
	if !dnsLabel.MatchString(pod.Namespace) {
		return nil, fmt.Errorf("%w: pod %q: namespace %q is no DNS label", cluster.ErrInvalid, pod.Name, pod.Namespace)
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace,
		Labels: maps.Clone(pod.Labels), Annotations: maps.Clone(pod.Annotations)}}
	ct := corev1.Container{Name: mainOf(pod), Image: pod.Image, Command: pod.Command}
	for claim, path := range pod.Claims {
		name := "claim-" + digest([]byte(claim))[:10]
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
		ct.VolumeMounts = append(ct.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path})
	}
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.Spec.InitContainers = containers(pod.Init)
	p.Spec.Containers = append([]corev1.Container{ct}, containers(pod.Others)...)
	if err := share(&p.Spec, pod.Shared); err != nil {
		return nil, fmt.Errorf("%w: pod %q: %w", cluster.ErrInvalid, pod.Name, err)
	}
	if len(pod.Override) > 0 {
		spec, err := override(p.Spec, pod.Override)
		if err != nil {
			return nil, fmt.Errorf("%w: pod %q: podOverride: %w", cluster.ErrInvalid, pod.Name, err)
		}
		p.Spec = *spec
	}
	return p, checkSpec(&p.Spec)
}

// mainOf is the name of the pod's main container.
func mainOf(pod cluster.Pod) string { return cmp.Or(pod.Container, cluster.MainContainer) }

func containers(list []cluster.Container) []corev1.Container {
	var all []corev1.Container
	for _, ct := range list {
		all = append(all, corev1.Container{Name: ct.Name, Image: ct.Image, Command: ct.Command})
	}
	return all
}

// share mounts an empty volume in all containers. Here it is a folder on disk of any size, whatever its medium and limit.
func share(s *corev1.PodSpec, shared *cluster.SharedVolume) error {
	if shared == nil {
		return nil
	}
	const name = "shared"
	volume := &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMedium(shared.Medium)}
	if volume.Medium != corev1.StorageMediumDefault && volume.Medium != corev1.StorageMediumMemory {
		return fmt.Errorf("shared volume: medium %q: want none or Memory", shared.Medium)
	}
	if shared.SizeLimit != "" {
		limit, err := resource.ParseQuantity(shared.SizeLimit)
		if err != nil {
			return fmt.Errorf("shared volume: size limit %q: %w", shared.SizeLimit, err)
		}
		volume.SizeLimit = &limit
	}
	s.Volumes = append(s.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: volume}})
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			list[i].VolumeMounts = append(list[i].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: shared.Path})
		}
	}
	return nil
}

// override merges a fragment over the spec as a strategic merge patch.
func override(spec corev1.PodSpec, fragment map[string]any) (*corev1.PodSpec, error) {
	base, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	patch, err := json.Marshal(fragment)
	if err != nil {
		return nil, err
	}
	merged, err := strategicpatch.StrategicMergePatch(base, patch, corev1.PodSpec{})
	if err != nil {
		return nil, err
	}
	var out corev1.PodSpec
	return &out, convert(json.RawMessage(merged), &out)
}

// environment of a container.
func (c *Cluster) environment(p *podDir, ct *corev1.Container, more *extras) (map[string]string, error) {
	env := maps.Clone(c.opts.Env)
	env["PATH"] = strings.TrimSuffix(filepath.Join(c.dir, "bin")+":"+env["PATH"], ":")
	env["HOSTNAME"], env["DAVIT_ROOT"], env[markName] = p.pod.Name, p.root(), p.uid()
	env[cluster.ProgressEnv] = "1"
	if _, err := os.Stat(p.file("profile.json")); err == nil {
		env[cluster.ProfileEnv] = p.file("profile.json")
	}
	if more != nil && more.main == ct.Name {
		env[cluster.ResultsEnv] = p.results(ct.Name)
	}
	for _, from := range ct.EnvFrom {
		var values map[string]string
		var err error
		optional := false
		switch {
		case from.SecretRef != nil:
			values, err = c.dataOf("secrets", p.pod.Namespace, from.SecretRef.Name)
			optional = from.SecretRef.Optional != nil && *from.SecretRef.Optional
		case from.ConfigMapRef != nil:
			values, err = c.dataOf("configmaps", p.pod.Namespace, from.ConfigMapRef.Name)
			optional = from.ConfigMapRef.Optional != nil && *from.ConfigMapRef.Optional
		}
		if err != nil && (!optional || !errors.Is(err, cluster.ErrNotFound)) {
			return nil, fmt.Errorf("container %q: envFrom: %w", ct.Name, err)
		}
		for k, v := range values {
			if name := from.Prefix + k; envName.MatchString(name) {
				env[name] = v
			}
		}
	}
	for _, e := range ct.Env {
		v, ok, err := c.envValue(p, e)
		if err != nil {
			return nil, fmt.Errorf("container %q: environment variable %q: %w", ct.Name, e.Name, err)
		}
		if ok && e.ValueFrom == nil {
			v = expand(v, env)
		}
		if ok {
			env[e.Name] = v
		}
	}
	return env, nil
}

// expand replaces $(NAME) by the value of a variable that is set; $$(NAME) stays as $(NAME), as Kubernetes has it.
func expand(s string, env map[string]string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			return b.String() + s
		}
		b.WriteString(s[:i])
		s = s[i:]
		end := strings.IndexByte(s, ')')
		switch {
		case s[1] == '$':
			b.WriteByte('$')
			s = s[2:]
		case s[1] == '(' && end > 0:
			if v, ok := env[s[2:end]]; ok {
				b.WriteString(v)
			} else {
				b.WriteString(s[:end+1])
			}
			s = s[end+1:]
		default:
			b.WriteByte('$')
			s = s[1:]
		}
	}
}

func (c *Cluster) envValue(p *podDir, e corev1.EnvVar) (value string, set bool, err error) {
	from := e.ValueFrom
	if from == nil {
		return e.Value, true, nil
	}
	var resource, name, k string
	var optional *bool
	switch {
	case from.FieldRef != nil:
		switch from.FieldRef.FieldPath {
		case "metadata.name":
			return p.pod.Name, true, nil
		case "metadata.namespace":
			return p.pod.Namespace, true, nil
		case "metadata.uid":
			return p.uid(), true, nil
		}
		return "", false, fmt.Errorf("%w: fieldRef %q: only metadata.name, metadata.namespace and metadata.uid are supported", cluster.ErrInvalid, from.FieldRef.FieldPath)
	case from.SecretKeyRef != nil:
		resource, name, k, optional = "secrets", from.SecretKeyRef.Name, from.SecretKeyRef.Key, from.SecretKeyRef.Optional
	case from.ConfigMapKeyRef != nil:
		resource, name, k, optional = "configmaps", from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Optional
	default:
		return "", false, fmt.Errorf("%w: this kind of valueFrom is not supported", cluster.ErrInvalid)
	}
	data, err := c.dataOf(resource, p.pod.Namespace, name)
	if err == nil {
		v, ok := data[k]
		if ok {
			return v, true, nil
		}
		err = fmt.Errorf("%s %s/%s has no key %q: %w", resource, p.pod.Namespace, name, k, cluster.ErrNotFound)
	}
	if optional != nil && *optional && errors.Is(err, cluster.ErrNotFound) {
		return "", false, nil
	}
	return "", false, err
}

// dataOf returns the data of a secret or a config map.
func (c *Cluster) dataOf(resource, namespace, name string) (map[string]string, error) {
	obj, err := c.load(key{"", resource, namespace, name})
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	if resource == "secrets" {
		var s corev1.Secret
		if err := convert(obj, &s); err != nil {
			return nil, err
		}
		for k, v := range s.Data {
			values[k] = string(v)
		}
		return values, nil
	}
	var cm corev1.ConfigMap
	if err := convert(obj, &cm); err != nil {
		return nil, err
	}
	for k, v := range cm.BinaryData {
		values[k] = string(v)
	}
	maps.Copy(values, cm.Data)
	return values, nil
}
