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

// mergeOverrides merges the run's override over the phase's: both are patches of a PodSpec, and so is the result. Neither is
// changed. The result is nil when both are empty.
func mergeOverrides(phase, run map[string]any) (map[string]any, error) {
	patches := make([]strategicpatch.JSONMap, 0, 2)
	for _, p := range []struct {
		name  string
		patch map[string]any
	}{{"argument podOverride", phase}, {"the run's podOverride", run}} {
		if len(p.patch) == 0 {
			continue
		}
		patch, err := podPatch(p.patch)
		if err != nil {
			return nil, fmt.Errorf("%s is no fragment of a PodSpec: %w", p.name, err)
		}
		patches = append(patches, patch)
	}
	if len(patches) == 0 {
		return nil, nil
	}
	schema, err := strategicpatch.NewPatchMetaFromStruct(corev1.PodSpec{})
	if err != nil {
		return nil, fmt.Errorf("read the schema of a PodSpec: %w", err)
	}
	merged, err := strategicpatch.MergeStrategicMergeMapPatchUsingLookupPatchMeta(schema, patches...)
	if err != nil {
		return nil, fmt.Errorf("merge the run's podOverride over argument podOverride: %w", err)
	}
	return merged, nil
}

// podPatch returns a copy and checks the types of the fields a PodSpec has. Others are left for the cluster to judge: Kanister
// ignores them, and so do blueprints in the field.
func podPatch(patch map[string]any) (map[string]any, error) {
	text, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	var spec corev1.PodSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, shortJSONError(err)
	}
	var duplicate map[string]any
	if err := json.Unmarshal(text, &duplicate); err != nil {
		return nil, err
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
	if _, err := podPatch(patch); err != nil {
		return []function.Problem{{Path: "podOverride", Message: "is no fragment of a PodSpec: " + err.Error()}}
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
