package controller

import (
	"context"
	"fmt"
	"strings"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/template"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
)

const (
	// blueprintKey is the key of the ConfigMap that holds the blueprint.
	blueprintKey = "blueprint.yaml"
	// maxBlueprint bounds a blueprint, in bytes: it becomes part of the journal.
	maxBlueprint = 256 << 10
	// action is what a Backup runs.
	action = "backup"
)

// blueprintError says why a blueprint cannot be run. Its author has to do something about it; until then nothing is touched.
type blueprintError struct {
	// reason is that of the condition.
	reason, message string
}

func (e *blueprintError) Error() string { return e.message }

// newSpec reads the blueprint of a Backup, checks all that can be checked before anything is touched, and returns what is to be run.
// It is a *blueprintError when the blueprint is not right.
func newSpec(ctx context.Context, c client.Client, b *v1alpha1.Backup) (*engine.Spec, error) {
	bp, err := readBlueprint(ctx, c, b)
	if err != nil {
		return nil, err
	}
	spec := &engine.Spec{
		ID:         b.Status.RunID,
		Blueprints: []*blueprint.Blueprint{bp},
		Actions: []blueprint.ActionSpec{{
			Name: action, Blueprint: bp.Name,
			Object: template.ObjectReference{Kind: "StatefulSet", Namespace: b.Namespace, Name: b.Spec.Database},
		}},
	}
	registry, err := functions(b, kube.Deps{}, c)
	if err != nil {
		return nil, err
	}
	if err := refuse(blueprint.Lint(bp, registry, nil)); err != nil {
		return nil, err
	}
	// what Lint cannot know: that this action is there, that its functions are built in
	if _, err := engine.New(registry, nil, nil).Plan(spec); err != nil {
		return nil, &blueprintError{"NotRunnable", err.Error()}
	}
	return spec, nil
}

func readBlueprint(ctx context.Context, c client.Client, b *v1alpha1.Backup) (*blueprint.Blueprint, error) {
	object := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: b.Namespace, Name: b.Spec.Blueprint}
	if err := c.Get(ctx, key, object); apierrors.IsNotFound(err) {
		return nil, &blueprintError{"NotFound", fmt.Sprintf("there is no config map %s", key)}
	} else if err != nil {
		return nil, fmt.Errorf("read the blueprint, config map %s: %w", key, err)
	}
	text, ok := object.Data[blueprintKey]
	if !ok {
		return nil, &blueprintError{"NotFound", fmt.Sprintf("config map %s has no key %q", key, blueprintKey)}
	}
	if len(text) > maxBlueprint {
		return nil, &blueprintError{"TooLarge", fmt.Sprintf("the blueprint has %d bytes, at most %d are taken", len(text), maxBlueprint)}
	}
	file := blueprint.Parse(blueprintKey, []byte(text))
	if err := refuse(file.Diagnostics); err != nil {
		return nil, err
	}
	if len(file.Blueprints) != 1 {
		return nil, &blueprintError{"NotFound", fmt.Sprintf("config map %s, key %q: %d blueprints where one is wanted", key, blueprintKey, len(file.Blueprints))}
	}
	return file.Blueprints[0], nil
}

// refuse returns an error when one of the findings is one.
func refuse(findings []blueprint.Diagnostic) error {
	var lines []string
	for _, d := range findings {
		if d.Severity == blueprint.Error {
			lines = append(lines, d.String())
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return &blueprintError{"Invalid", strings.Join(lines, "\n")}
}
