package template

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxNamedKeys and maxNamedLength bound what an error tells of a map's keys.
	maxNamedKeys   = 10
	maxNamedLength = 64
)

// missing says that a key is not there. It names keys and never holds values.
type missing struct {
	key string
	// in is where it was looked for, as the template has it.
	in string
	// container is the map that lacks it.
	container reflect.Value
	// nothing is true when there is no container.
	nothing bool
}

func (m *missing) Error() string {
	if m.nothing || !m.container.IsValid() {
		if why, ok := absent(m.in); ok {
			return why
		}
		return m.in + " has no value"
	}
	return fmt.Sprintf("no %s in %s (%s)", quoteKey(m.key), m.in, hasKeys(m.container))
}

func (m *missing) Is(target error) bool { return target == ErrMissing }

// absent explains a part of the parameters that the run does not have.
func absent(path string) (string, bool) {
	switch path {
	case ".Profile", "$.Profile":
		return "the run has no profile", true
	case ".StatefulSet", ".Deployment", ".DeploymentConfig", ".PVC", ".Namespace":
		return "the subject of the run is no " + path[1:], true
	case "$.StatefulSet", "$.Deployment", "$.DeploymentConfig", "$.PVC", "$.Namespace":
		return "the subject of the run is no " + path[2:], true
	case ".DeferPhase", "$.DeferPhase":
		return "there is no deferPhase, or it has not begun", true
	case ".CurrentPhase", "$.CurrentPhase":
		return "no phase is running yet", true
	case ".Profile.Credential.KeyPair", "$.Profile.Credential.KeyPair":
		return "the profile's credential is no keyPair", true
	case ".Profile.Credential.Secret", "$.Profile.Credential.Secret":
		return "the profile's credential is no secret", true
	case ".Profile.Credential.KopiaServerSecret", "$.Profile.Credential.KopiaServerSecret":
		return "the profile's credential is not that of a kopia server", true
	}
	return "", false
}

// hasKeys names the first keys of a map.
func hasKeys(m reflect.Value) string {
	if m.Len() == 0 {
		return "it is empty"
	}
	keys := make([]string, 0, m.Len())
	for _, k := range m.MapKeys() {
		keys = append(keys, fmt.Sprint(k))
	}
	slices.Sort(keys)
	more := len(keys) - maxNamedKeys
	keys = keys[:min(len(keys), maxNamedKeys)]
	for i, k := range keys {
		keys[i] = quoteKey(k)
	}
	text := "it has " + strings.Join(keys, ", ")
	if more > 0 {
		text += " and " + strconv.Itoa(more) + " more"
	}
	return text
}

func quoteKey(key string) string {
	if len(key) > maxNamedLength {
		end := maxNamedLength
		for end > 0 && !utf8.RuneStart(key[end]) {
			end--
		}
		key = key[:end] + "…"
	}
	return strconv.Quote(key)
}

// typeName is the name of a type for people: what a document would call it.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Map:
		return "a map"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "a list"
	case reflect.Struct:
		return "a " + t.Name()
	}
	if isInt(t.Kind()) || isUint(t.Kind()) || t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64 {
		return "a number"
	}
	return "a " + t.String()
}
