// Package podspec merges what blueprints, runs and hosts ask for the pods that functions create.
//
// # Errors
//
// Their texts are for the author of the blueprint; they name the fragment and its field.
package podspec

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/davit-project/davit/function"
)

// Fragment is a part of a PodSpec. Name is what errors call it.
type Fragment struct {
	Name string
	Spec map[string]any
}

// Merge merges fragments as strategic merge patches, each over those before it: directives of a later one act on the earlier ones.
// None is changed. The result is nil when all are empty.
func Merge(fragments ...Fragment) (map[string]any, error) {
	var merged map[string]any
	var under string
	for _, f := range fragments {
		patch, err := Copy(f)
		switch {
		case err != nil:
			return nil, err
		case patch == nil:
			continue
		case merged == nil:
			merged, under = patch, f.Name
			continue
		}
		if merged, err = strategicpatch.StrategicMergeMapPatch(merged, patch, corev1.PodSpec{}); err != nil {
			return nil, fmt.Errorf("merge %s over %s: %w", f.Name, under, err)
		}
		under = f.Name
	}
	return merged, nil
}

// Copy returns a copy of a fragment, nil for an empty one, and checks the types of the fields that a PodSpec has. Others are left
// for the cluster to judge: Kanister ignores them, and blueprints in the field have them.
func Copy(f Fragment) (map[string]any, error) {
	if len(f.Spec) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(f.Spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	var spec corev1.PodSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, fmt.Errorf("%s is no fragment of a PodSpec: %w", f.Name, shortJSONError(err))
	}
	var duplicate map[string]any
	if err := json.Unmarshal(text, &duplicate); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	return duplicate, nil
}

// shortJSONError takes the names of Go types out of an error.
func shortJSONError(err error) error {
	var kind *json.UnmarshalTypeError
	if !errors.As(err, &kind) {
		return err
	}
	value, _, _ := strings.Cut(kind.Value, " ") // "number 12"
	return fmt.Errorf("field %q cannot be %s", kind.Field, value)
}

// Check reports an override that cannot become a fragment of a PodSpec, whatever its templates become.
func Check(args map[string]any) []function.Problem {
	patch, ok := args["podOverride"].(map[string]any)
	if !ok || HasTemplate(patch) {
		return nil
	}
	if _, err := Copy(Fragment{"it", patch}); err != nil {
		return []function.Problem{{Path: "podOverride", Message: err.Error()}}
	}
	return nil
}

// HasTemplate tells whether any text in the value is a template.
func HasTemplate(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "{{")
	case []any:
		for _, e := range v {
			if HasTemplate(e) {
				return true
			}
		}
	case map[string]any:
		for name, e := range v {
			if HasTemplate(name) || HasTemplate(e) {
				return true
			}
		}
	}
	return false
}

// Labels merges labels: the phase's own win over those the run asks for, and the ones that identify the run cannot be changed.
// Pods are labelled createdBy: davit. A network policy that was written for Kanister may select its pods by createdBy: kanister; argument
// podLabels of a phase, or of the run, can set that.
func Labels(call *function.Call, own map[string]string) (map[string]string, error) {
	labels := map[string]string{"createdBy": "davit"}
	maps.Copy(labels, call.Pod.Labels)
	maps.Copy(labels, own)
	for name, value := range call.Labels {
		if given, ok := labels[name]; ok && given != value {
			return nil, fmt.Errorf("label %q identifies the run and cannot be set to %q: choose another name", name, given)
		}
		labels[name] = value
	}
	return labels, nil
}

// Annotations merges annotations: the phase's own win over those the run asks for.
func Annotations(call *function.Call, own map[string]string) map[string]string {
	annotations := map[string]string{}
	maps.Copy(annotations, call.Pod.Annotations)
	maps.Copy(annotations, own)
	return annotations
}
