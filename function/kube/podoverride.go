package kube

import (
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/internal/podspec"
)

// mergeOverrides merges the run's override over the phase's. The result is nil when both are empty.
func mergeOverrides(phase, run map[string]any) (map[string]any, error) {
	return podspec.Merge(podspec.Fragment{Name: "argument podOverride", Spec: phase}, podspec.Fragment{Name: "the run's podOverride", Spec: run})
}

// checkPod reports an override that cannot become a fragment of a PodSpec, whatever its templates become.
func checkPod(args map[string]any) []function.Problem { return podspec.Check(args) }

// hasTemplate tells whether any text in the value is a template.
func hasTemplate(v any) bool { return podspec.HasTemplate(v) }
