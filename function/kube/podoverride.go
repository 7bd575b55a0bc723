package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/davit-project/davit/function"
)

// mergeOverrides merges the run's override over the phase's as a strategic merge patch: directives of the run's act on the phase's.
// Neither is changed. The result is nil when both are empty.
func mergeOverrides(phase, run map[string]any) (map[string]any, error) {
	phase, err := podPatch("argument podOverride", phase)
	if err != nil {
		return nil, err
	}
	run, err = podPatch("the run's podOverride", run)
	if err != nil {
		return nil, err
	}
	switch {
	case run == nil:
		return phase, nil
	case phase == nil:
		return run, nil
	}
	merged, err := strategicpatch.StrategicMergeMapPatch(phase, run, corev1.PodSpec{})
	if err != nil {
		return nil, fmt.Errorf("merge the run's podOverride over argument podOverride: %w", err)
	}
	return merged, nil
}

// podPatch returns a copy of an override, nil for an empty one, and checks the types of the fields that a PodSpec has. Others are left
// for the cluster to judge: Kanister ignores them, and blueprints in the field have them.
func podPatch(name string, patch map[string]any) (map[string]any, error) {
	if len(patch) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var spec corev1.PodSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, fmt.Errorf("%s is no fragment of a PodSpec: %w", name, shortJSONError(err))
	}
	var duplicate map[string]any
	if err := json.Unmarshal(text, &duplicate); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return duplicate, nil
}

// shortJSONError takes the names of Go types out of an error.
func shortJSONError(err error) error {
	var kind *json.UnmarshalTypeError
	if !errors.As(err, &kind) {
		return err
	}
	return fmt.Errorf("field %q cannot be %s", kind.Field, jsonType(kind.Value))
}

// checkPod reports an override that cannot become a fragment of a PodSpec, whatever its templates become.
func checkPod(args map[string]any) []function.Problem {
	patch, ok := args["podOverride"].(map[string]any)
	if !ok || hasTemplate(patch) {
		return nil
	}
	if _, err := podPatch("it", patch); err != nil {
		return []function.Problem{{Path: "podOverride", Message: err.Error()}}
	}
	return nil
}

// hasTemplate tells whether any text in the value is a template.
func hasTemplate(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "{{")
	case []any:
		for _, e := range v {
			if hasTemplate(e) {
				return true
			}
		}
	case map[string]any:
		for name, e := range v {
			if hasTemplate(name) || hasTemplate(e) {
				return true
			}
		}
	}
	return false
}
