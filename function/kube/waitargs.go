package kube

import (
	"fmt"
	"strings"
	"time"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

type waitArgs struct {
	Timeout    time.Duration  `arg:"timeout" doc:"How long to wait at most, such as 5m."`
	Conditions waitConditions `arg:"conditions" doc:"What to wait for: any of anyOf, or else all of allOf."`
}

type waitConditions struct {
	AnyOf []waitCondition `arg:"anyOf,optional" doc:"Conditions of which one is enough."`
	AllOf []waitCondition `arg:"allOf,optional" doc:"Conditions that must all hold at the same time."`
}

type waitCondition struct {
	Condition string    `arg:"condition,raw,nonempty" doc:"Template that becomes the text true when the condition holds; the function renders it with the object."`
	Object    objectRef `arg:"objectReference" doc:"Object that the condition is about."`
}

type objectRef struct {
	APIVersion string `arg:"apiVersion" doc:"Version of the object's API, without the group, such as v1."`
	Group      string `arg:"group,optional" doc:"Group of the object's API; empty for the core group."`
	Resource   string `arg:"resource,optional" doc:"Resource of the object, in the plural, such as pods."`
	Kind       string `arg:"kind,optional" doc:"Kind of the object, where the resource is not given."`
	Namespace  string `arg:"namespace,optional" doc:"Namespace of the object; empty for one that belongs to the cluster."`
	Name       string `arg:"name,nonempty" doc:"Name of the object."`
}

func (r objectRef) ref() cluster.Ref {
	return cluster.Ref{
		APIVersion: r.APIVersion, Group: r.Group, Resource: r.Resource, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name,
	}
}

// validate reports what decoding cannot find.
func (in waitArgs) validate() error {
	switch {
	case in.Timeout <= 0:
		return fmt.Errorf("argument timeout must be more than zero, is %s", in.Timeout)
	case len(in.Conditions.AnyOf)+len(in.Conditions.AllOf) == 0:
		return errNoConditions
	}
	for list, conditions := range in.Conditions.lists() {
		for i, c := range conditions {
			if c.Object.Resource == "" && c.Object.Kind == "" {
				return fmt.Errorf("conditions.%s[%d].objectReference must name a resource or a kind", list, i)
			}
		}
	}
	return nil
}

// lists yields both lists with their names.
func (c waitConditions) lists() func(yield func(string, []waitCondition) bool) {
	return func(yield func(string, []waitCondition) bool) {
		_ = yield("anyOf", c.AnyOf) && yield("allOf", c.AllOf)
	}
}

// checkWait is the static check of a function whose conditions are compiled by compile.
func checkWait(compile compiler) func(args map[string]any) []function.Problem {
	return func(args map[string]any) []function.Problem {
		var problems []function.Problem
		if text, ok := args["timeout"].(string); ok {
			if d, err := time.ParseDuration(text); err == nil && d <= 0 {
				problems = append(problems, function.Problem{Path: "timeout", Message: "must be more than zero"})
			}
		}
		conditions, ok := args["conditions"].(map[string]any)
		if !ok {
			return problems
		}
		given := false
		for _, list := range []string{"anyOf", "allOf"} {
			elements, isList := conditions[list].([]any)
			given = given || len(elements) > 0 || !isList && conditions[list] != nil
			for i, element := range elements {
				path := fmt.Sprintf("conditions.%s[%d]", list, i)
				problems = append(problems, checkCondition(compile, path, element)...)
			}
		}
		if !given && !hasTemplateKey(conditions) {
			problems = append(problems, function.Problem{Path: "conditions", Message: errNoConditions.Error()})
		}
		return problems
	}
}

func checkCondition(compile compiler, path string, element any) []function.Problem {
	fields, ok := element.(map[string]any)
	if !ok {
		return nil
	}
	var problems []function.Problem
	if text, ok := fields["condition"].(string); ok && text != "" {
		if _, err := compile(text); err != nil {
			problems = append(problems, function.Problem{Path: path + ".condition", Message: err.Error()})
		}
	}
	if ref, ok := fields["objectReference"].(map[string]any); ok {
		problems = append(problems, checkReference(path+".objectReference", ref)...)
	}
	return problems
}

// checkReference wants a reference to name what it refers to.
func checkReference(path string, ref map[string]any) []function.Problem {
	if ref["resource"] != nil || ref["kind"] != nil || hasTemplateKey(ref) {
		return nil
	}
	return []function.Problem{{Path: path, Message: "must name a resource or a kind"}}
}

// hasTemplateKey tells whether the map may get other keys than it has.
func hasTemplateKey(m map[string]any) bool {
	for key := range m {
		if strings.Contains(key, "{{") {
			return true
		}
	}
	return false
}
