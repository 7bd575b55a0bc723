package blueprint

import "slices"

// CodeInfo documents one code.
type CodeInfo struct {
	Code string
	// Severities it is reported with.
	Severities []Severity
	// Doc says what it means, in one sentence.
	Doc string
}

// Codes lists every code of Parse and then of Lint, sorted within each.
func Codes() []CodeInfo { return slices.Concat(parseCodes, lintCodes) }

var parseCodes = []CodeInfo{
	{"bad-duration", []Severity{Error}, "A duration is not positive, or has no unit."},
	{"bad-object", []Severity{Error}, "The object of an action set is of an unknown kind and names no resource."},
	{"bad-retry", []Severity{Error}, "A retry has no attempts, too many, or a backoff above its maximum."},
	{"duplicate-document", []Severity{Warning}, "Two blueprints of a file have the same name."},
	{"duplicate-key", []Severity{Error}, "A key stands twice in one map."},
	{"encoding", []Severity{Error}, "The file is not UTF-8."},
	{"missing-field", []Severity{Error}, "Something that must be there is not."},
	{"no-documents", []Severity{Error}, "The file holds no documents."},
	{"number-range", []Severity{Error}, "A number does not fit into 64 bits, or is not finite."},
	{"old-field", []Severity{Warning}, "A field has a new name."},
	{"other-kind", []Severity{Note}, "The document is neither a blueprint nor an action set, and left out."},
	{"syntax", []Severity{Error}, "The text is not YAML."},
	{"too-deep", []Severity{Error}, "The document nests too deep."},
	{"too-large", []Severity{Error}, "The file is too large, or the document is once its aliases are expanded."},
	{"too-many", []Severity{Error}, "There are more findings than are listed."},
	{"unknown-api-version", []Severity{Error}, "The version of the API is not known."},
	{"unknown-field", []Severity{Error}, "A map has a field that the format does not know."},
	{"unknown-kind", []Severity{Error}, "The kind is not one of the API group."},
	{"wrong-type", []Severity{Error}, "A value is of the wrong type."},
}

var lintCodes = []CodeInfo{
	{"argument-check", []Severity{Error}, "The function's own check refuses the arguments."},
	{"argument-missing", []Severity{Error}, "A required argument is absent or null."},
	{"argument-type", []Severity{Error}, "An argument is of a type that no conversion applies to."},
	{"argument-unknown", []Severity{Error}, "The function has no such argument, or the object no such field."},
	{"argument-value", []Severity{Error}, "An argument has a value that is not allowed."},
	{"artifact-key-unknown", []Severity{Error, Warning}, "A template reads a part of an artifact that no action puts into it."},
	{"artifact-undeclared", []Severity{Warning}, "A template reads an artifact that inputArtifactNames does not list."},
	{"artifact-unproduced", []Severity{Error, Warning}, "An input artifact is produced by no action of the blueprint."},
	{"bad-condition", []Severity{Error}, "An if without a template is neither true nor false."},
	{"bad-object-kind", []Severity{Error, Warning}, "An object of a phase is neither a Secret nor a ConfigMap."},
	{"bad-release", []Severity{Error}, "What a phase releases is no later phase of its action, or it has a maxHold and releases nothing."},
	{"condition-constant", []Severity{Warning}, "An if is always true or always false."},
	{"config-map-undeclared", []Severity{Warning}, "A template reads a config map that configMapNames does not list."},
	{"empty-action", []Severity{Error, Warning}, "An action has no phases: it would report success and do nothing."},
	{"function-declared", []Severity{Note}, "The function can be checked but is not part of this build."},
	{"function-deprecated", []Severity{Warning}, "The function has a better successor."},
	{"no-actions", []Severity{Error}, "The blueprint has no actions."},
	{"no-backup-restore-pair", []Severity{Warning}, "The blueprint lacks the action backup or restore."},
	{"no-delete", []Severity{Note}, "The blueprint has a backup but no delete."},
	{"object-undeclared", []Severity{Error}, "A template reads a secret or config map that the phase's objects do not hold."},
	{"output-unknown", []Severity{Error}, "A template reads an output that the phase's function does not produce."},
	{"phase-conditional", []Severity{Warning}, "A template reads outputs of a phase that may have been skipped."},
	{"phase-duplicate", []Severity{Error}, "Two phases of an action have the same name."},
	{"phase-later", []Severity{Error}, "A template reads something of a phase before it is there."},
	{"phase-unknown", []Severity{Error}, "A template reads from a phase that the action does not have."},
	{"phase-unnamed", []Severity{Warning}, "A phase has no name, so nothing can read its outputs."},
	{"release-depends", []Severity{Error}, "A phase that runs whatever happened reads something of a phase that may have failed."},
	{"retry-beyond-timeout", []Severity{Warning}, "The timeout of a phase ends before its second attempt."},
	{"secret-in-command", []Severity{Warning}, "A secret is rendered into a command line."},
	{"secret-undeclared", []Severity{Warning}, "A template reads a secret that secretNames does not list."},
	{"several-subjects", []Severity{Warning}, "An action reads subjects of several kinds, but a run has one."},
	{"template-field-unknown", []Severity{Error}, "A template reads a field that template parameters do not have."},
	{"template-function-unknown", []Severity{Error}, "A template calls a function that does not exist here."},
	{"template-syntax", []Severity{Error}, "A text is no template."},
	{"unknown-function", []Severity{Error}, "No function has this name."},
	{"unknown-version", []Severity{Error}, "The function has neither the preferred version nor the default one."},
	{"unnamed-blueprint", []Severity{Warning}, "The blueprint has no name, so no action set can ask for it."},
}
