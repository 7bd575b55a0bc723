package kubecluster

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/davit-project/davit/cluster"
)

// resultsPath is where a container leaves its results: its termination message, which any user may write.
const resultsPath = corev1.TerminationMessagePathDefault

// mergeOverride merges a fragment over the spec as a strategic merge patch. Fields that a PodSpec does not have are dropped.
func mergeOverride(spec corev1.PodSpec, fragment map[string]any) (corev1.PodSpec, error) {
	if len(fragment) == 0 {
		return spec, nil
	}
	fail := func(err error) (corev1.PodSpec, error) { return corev1.PodSpec{}, fmt.Errorf("podOverride: %w", err) }
	base, err := json.Marshal(spec)
	if err != nil {
		return fail(err)
	}
	patch, err := json.Marshal(fragment)
	if err != nil {
		return fail(err)
	}
	merged, err := strategicpatch.StrategicMergePatch(base, patch, corev1.PodSpec{})
	if err != nil {
		return fail(err)
	}
	var out corev1.PodSpec
	if err := json.Unmarshal(merged, &out); err != nil {
		return fail(err)
	}
	return out, nil
}

// mainFirst brings the main container to the front, where an override may have put another.
func mainFirst(containers []corev1.Container, main string) error {
	i := slices.IndexFunc(containers, func(ct corev1.Container) bool { return ct.Name == main })
	if i < 0 {
		return fmt.Errorf("podOverride takes the main container %q away", main)
	}
	ct := containers[i]
	copy(containers[1:i+1], containers[:i])
	containers[0] = ct
	return nil
}

// setDefaults sets what neither the request nor its override has said.
func (c *Cluster) setDefaults(s *corev1.PodSpec, rules rules) {
	if s.ActiveDeadlineSeconds == nil {
		s.ActiveDeadlineSeconds = c.deadline()
	}
	if s.EnableServiceLinks == nil {
		s.EnableServiceLinks = new(false)
	}
	if s.AutomountServiceAccountToken == nil {
		s.AutomountServiceAccountToken = new(rules.mayUse(accountOf(s)))
	}
	if !c.opts.Policy.RunAsImage {
		restrict(s)
	}
}

// restrict sets what the restricted Pod Security Standard asks for, wherever nothing else is said.
func restrict(s *corev1.PodSpec) {
	if s.SecurityContext == nil {
		s.SecurityContext = &corev1.PodSecurityContext{}
	}
	pod := s.SecurityContext
	if pod.SeccompProfile == nil {
		pod.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
	for ct := range everyContainer(s) {
		if ct.SecurityContext == nil {
			ct.SecurityContext = &corev1.SecurityContext{}
		}
		own := ct.SecurityContext
		if own.RunAsNonRoot == nil && pod.RunAsNonRoot == nil {
			user := own.RunAsUser
			if user == nil {
				user = pod.RunAsUser
			}
			own.RunAsNonRoot = new(user == nil || *user != 0) // who asks for root by its number gets it
		}
		if own.AllowPrivilegeEscalation == nil && !escalates(own) {
			own.AllowPrivilegeEscalation = new(false)
		}
		if own.Capabilities == nil {
			own.Capabilities = &corev1.Capabilities{}
		}
		if own.Capabilities.Drop == nil && !isTrue(own.Privileged) {
			own.Capabilities.Drop = []corev1.Capability{"ALL"}
		}
	}
}

// escalates tells whether the server refuses allowPrivilegeEscalation: false beside these settings.
func escalates(s *corev1.SecurityContext) bool {
	return isTrue(s.Privileged) || s.Capabilities != nil && (slices.Contains(s.Capabilities.Add, "SYS_ADMIN") || slices.Contains(s.Capabilities.Add, "CAP_SYS_ADMIN"))
}

func isTrue(b *bool) bool { return b != nil && *b }

// fix sets what no override may change: where results and the profile are. The message of a container is the file it wrote and nothing else: the end of
// its log, which Kubernetes can put there, is not masked, and whoever may read pods could read it.
func fix(w *wanted, pod cluster.Pod) {
	s := &w.pod.Spec
	for ct := range everyContainer(s) {
		ct.TerminationMessagePolicy = corev1.TerminationMessageReadFile
	}
	main := &s.Containers[0]
	main.TerminationMessagePath = resultsPath
	main.Env = append([]corev1.EnvVar{{Name: cluster.ResultsEnv, Value: resultsPath}, {Name: cluster.ProgressEnv, Value: "1"}}, main.Env...)
	if len(w.profile) > 0 {
		mountProfile(w, pod)
	}
}
