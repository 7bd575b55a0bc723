package blueprint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/davit-project/davit/function"
)

// object is a part of a JSON Schema. Encoding sorts its keys.
type object = map[string]any

// JSONSchema returns the JSON Schema (draft 2020-12) of blueprints with the arguments of every function, for editors. Where a
// value is rendered, it takes a template too. It is stricter than Kanister's CRD in what it knows, and takes whatever
// Lint takes; templates and what they refer to are beyond it.
func JSONSchema(reg *function.Registry) ([]byte, error) {
	defs := object{
		"action":          actionSchema(),
		"phase":           phaseSchema(reg),
		"artifact":        artifactSchema(),
		"objectReference": referenceSchema(),
		"retry":           retrySchema(),
		"duration":        object{"type": nullable("string"), "pattern": durationPattern, "description": "A positive duration such as 1h30m."},
	}
	for name, versions := range byName(reg) {
		defs["args."+name] = argsSchema(versions)
	}
	root := closed("A blueprint: named actions made of phases, each of which calls a function.", object{
		"apiVersion": object{"const": APIVersion},
		"kind":       object{"const": "Blueprint"},
		"metadata":   metadataSchema(),
		"actions":    mapOf("The actions by name: backup, restore, delete and others.", ref("action"), "object"),
	}, "apiVersion", "kind", "actions")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Blueprint"
	root["$defs"] = defs
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("encode the JSON Schema of blueprints: %w", err)
	}
	return buf.Bytes(), nil
}

func ref(def string) object { return object{"$ref": "#/$defs/" + def} }

// closed is an object without other properties than these.
func closed(doc string, properties object, required ...string) object {
	o := object{"type": "object", "description": doc, "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

// nullable are types and null, which stands for an absent value.
func nullable(types ...string) []string { return append(types, "null") }

func text(doc string) object { return object{"type": nullable("string"), "description": doc} }

func texts(doc string) object {
	return object{"type": nullable("array"), "description": doc, "items": object{"type": nullable("string")}}
}

func mapOf(doc string, value object, types ...string) object {
	return object{"type": types, "description": doc, "additionalProperties": value}
}

func metadataSchema() object {
	return object{"type": nullable("object"), "description": "Kubernetes metadata.", "properties": object{
		"name":      text("Name by which action sets ask for the blueprint."),
		"namespace": text("Namespace the blueprint lives in."),
	}}
}

func actionSchema() object {
	return closed("An action: phases that run in order.", object{
		"name":               text("Not used."),
		"kind":               text("Kind of the object the action is for, for readers; not checked."),
		"type":               object{"type": nullable("string"), "deprecated": true, "description": "Old name of kind."},
		"configMapNames":     texts("Config maps the action's templates read from .ConfigMaps."),
		"secretNames":        texts("Secrets the action's templates read from .Secrets."),
		"inputArtifactNames": texts("Artifacts the action's templates read from .ArtifactsIn."),
		"outputArtifacts":    mapOf("Artifacts the action makes, rendered when all its phases have succeeded.", ref("artifact"), nullable("object")...),
		"phases":             object{"type": nullable("array"), "description": "The phases, in order.", "items": ref("phase")},
		"deferPhase":         object{"description": "A phase that runs after the others whatever became of them.", "anyOf": []object{ref("phase"), {"type": "null"}}},
	})
}

func artifactSchema() object {
	a := closed("A named result of an action; its texts are templates.", object{
		"keyValue":      mapOf("Texts by key.", object{"type": nullable("string")}, nullable("object")...),
		"kopiaSnapshot": text("JSON of a kopia snapshot, as kando writes it."),
	})
	a["type"] = nullable("object")
	return a
}

func referenceSchema() object {
	o := closed("A reference to an object; its texts are templates.", object{
		"apiVersion": text("Version of the API, without the group: v1."),
		"group":      text("Group of the API."),
		"resource":   text("Resource: secrets."),
		"kind":       text("Kind: Secret or ConfigMap for the objects of a phase."),
		"name":       text("Name of the object."),
		"namespace":  text("Namespace of the object."),
	})
	o["type"] = nullable("object")
	return o
}

func retrySchema() object {
	r := closed("How often a phase that failed is tried again.", object{
		"attempts": object{"type": "integer", "minimum": 1, "maximum": maxAttempts, "description": "Attempts in all, the first included."},
		"backoff": object{"$ref": "#/$defs/duration", "description": "Wait before the second attempt; it doubles each time.",
			"default": DefaultBackoff.String()},
		"maxBackoff": object{"$ref": "#/$defs/duration", "description": "Longest wait between attempts.", "default": DefaultMaxBackoff.String()},
	}, "attempts")
	r["type"] = nullable("object")
	return r
}

func phaseSchema(reg *function.Registry) object {
	var functions, rules []object
	for name, versions := range byName(reg) {
		latest := versions[len(versions)-1]
		f := object{"const": name, "description": latest.Doc}
		if latest.Deprecated != "" {
			f["deprecated"] = true
			f["description"] = latest.Doc + " Deprecated: " + latest.Deprecated
		}
		functions = append(functions, f)
		then := object{"properties": object{"args": ref("args." + name)}}
		if needsArgs(versions) {
			then["required"] = []string{"args"}
		}
		rules = append(rules, object{"if": object{"properties": object{"func": object{"const": name}}, "required": []string{"func"}}, "then": then})
	}
	p := closed("A phase: one call of a function.", object{
		"name": text("Name by which templates read the phase's outputs: .Phases.NAME.Output."),
		"func": object{"type": "string", "description": "Function to call."},
		"objects": mapOf("Secrets and config maps the phase reads: .Phases.NAME.Secrets.REFERENCE.",
			object{"$ref": "#/$defs/objectReference", "required": []string{"name"}}, nullable("object")...),
		"args":    object{"type": nullable("object"), "description": "Arguments of the function; texts are templates."},
		"timeout": object{"$ref": "#/$defs/duration", "description": "Bound of the phase with all its attempts and the waits between them."},
		"retry":   ref("retry"),
		"if":      object{"type": nullable("string", "boolean"), "description": "Template that renders to true or false; the phase is skipped on false."},
		"release": texts("Later phases that undo this one: they run whatever happens once it has begun."),
		"maxHold": object{"$ref": "#/$defs/duration", "description": "Longest time until the phases of release begin; phases in between are stopped."},
	}, "func")
	if len(functions) > 0 {
		p["properties"].(object)["func"] = object{"description": "Function to call.", "oneOf": functions}
		p["allOf"] = rules
	}
	return p
}

// byName iterates over the functions by name, with their versions in ascending order.
func byName(reg *function.Registry) func(yield func(string, []function.Schema) bool) {
	all := map[string][]function.Schema{}
	for _, s := range reg.Schemas() {
		all[s.Name] = append(all[s.Name], s)
	}
	return ordinary(all)
}

func needsArgs(versions []function.Schema) bool {
	for _, s := range versions {
		needs := false
		for _, f := range s.Args {
			needs = needs || f.Required
		}
		if !needs {
			return false
		}
	}
	return true
}

// argsSchema takes the arguments of any version.
func argsSchema(versions []function.Schema) object {
	var all []object
	for _, s := range versions {
		o := fieldsSchema(s.Args)
		if _, required := o["required"]; !required {
			o["type"] = nullable("object")
		}
		all = append(all, o)
	}
	if len(all) == 1 {
		return all[0]
	}
	return object{"anyOf": all}
}

// Patterns of texts that are converted, and of templates.
const (
	durationPattern = `^\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`
	anyDuration     = `^([-+]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+|[-+]?0)$`
	templatePattern = `\{\{`
	intPattern      = `^[-+]?[0-9]{1,21}$`
	floatPattern    = `^[-+.0-9eE]+$`
)

func fieldsSchema(fields []function.Field) object {
	properties, required := object{}, []string{}
	for _, f := range fields {
		properties[f.Name] = fieldSchema(f)
		if f.Required {
			required = append(required, f.Name)
		}
	}
	o := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

func fieldSchema(f function.Field) object {
	alternatives := values(f)
	if !f.Required {
		alternatives = append(alternatives, object{"type": "null"})
	}
	o := alternatives[0]
	if len(alternatives) > 1 {
		o = object{"anyOf": alternatives}
	}
	o["description"] = f.Doc
	if f.Default != "" {
		o["default"] = f.Default
	}
	return o
}

// values are the schemas of the values a field takes, null apart.
func values(f function.Field) []object {
	element := function.Field{Required: true, Raw: f.Raw, Enum: f.Enum}
	if f.Type.Elem != nil {
		element.Type = *f.Type.Elem
	}
	var out []object
	switch f.Type.Kind {
	case function.String, function.SecretText:
		return textValues(f)
	case function.Int:
		out = []object{{"type": "integer"}, {"type": "string", "pattern": intPattern}}
	case function.Float:
		out = []object{{"type": "number"}, {"type": "string", "pattern": floatPattern}}
	case function.Bool:
		out = []object{{"type": "boolean"}, {"enum": []int{0, 1}}, {"type": "string", "pattern": anyCase("true", "false", "1", "0", "yes", "no", "on", "off")}}
	case function.Duration:
		out = []object{{"type": "string", "pattern": anyDuration}}
	case function.Words:
		return []object{{"type": []string{"string", "number", "boolean"}}, list(f, element)}
	case function.List:
		out = []object{list(f, element)}
		if f.YAML {
			return append(out, object{"type": []string{"string", "number", "boolean"}})
		}
		return append(out, scalars(element)...)
	case function.Map:
		element.Enum = nil
		out = []object{{"type": "object", "additionalProperties": fieldSchema(element)}}
		if f.NonEmpty {
			out[0]["minProperties"] = 1
		}
	case function.Object:
		out = []object{openFields(f)}
	default:
		return []object{{"type": []string{"string", "number", "boolean", "array", "object"}}}
	}
	switch structured := f.Type.Kind == function.Map || f.Type.Kind == function.Object; {
	case structured && f.YAML:
		out = append(out, object{"type": "string"})
	case !structured && !f.Raw:
		out = append(out, object{"type": "string", "pattern": templatePattern})
	}
	return out
}

func textValues(f function.Field) []object {
	switch {
	case f.Enum != nil && f.Raw:
		return []object{{"enum": f.Enum}, {"type": "string", "pattern": anyCase(f.Enum...)}}
	case f.Enum != nil:
		return []object{{"enum": f.Enum}, {"type": "string", "pattern": anyCase(f.Enum...)}, {"type": "string", "pattern": templatePattern}}
	case f.NonEmpty:
		return []object{{"type": []string{"string", "number", "boolean"}, "minLength": 1}}
	}
	return []object{{"type": []string{"string", "number", "boolean"}}}
}

func list(f, element function.Field) object {
	o := object{"type": "array", "items": fieldSchema(element)}
	if f.NonEmpty {
		o["minItems"] = 1
	}
	return o
}

// scalars are the values that stand for a list with themselves as only element.
func scalars(element function.Field) []object {
	switch element.Type.Kind {
	case function.List, function.Map, function.Object, function.Words:
		return nil
	case function.Any:
		return []object{{"type": []string{"string", "number", "boolean"}}}
	}
	return values(element)
}

// openFields is an object some of whose keys may be templates, which may become any field.
func openFields(f function.Field) object {
	o := fieldsSchema(f.Type.Fields)
	o["patternProperties"] = object{templatePattern: object{}}
	if required, ok := o["required"]; ok {
		delete(o, "required")
		o["if"] = object{"propertyNames": object{"not": object{"pattern": templatePattern}}}
		o["then"] = object{"required": required}
	}
	if f.NonEmpty {
		o["minProperties"] = 1
	}
	return o
}

// anyCase matches one of the texts in any case.
func anyCase(texts ...string) string {
	var b strings.Builder
	b.WriteString("^(")
	for i, t := range texts {
		if i > 0 {
			b.WriteByte('|')
		}
		for _, r := range t {
			switch lower, upper := unicode.ToLower(r), unicode.ToUpper(r); {
			case lower != upper:
				b.WriteString("[" + string(lower) + string(upper) + "]")
			case unicode.IsDigit(r):
				b.WriteRune(r)
			default:
				b.WriteString(`[` + strings.NewReplacer(`\`, `\\`, `]`, `\]`, `^`, `\^`).Replace(string(r)) + `]`)
			}
		}
	}
	b.WriteString(")$")
	return b.String()
}
