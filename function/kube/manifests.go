package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	jsonutil "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
)

var errNoManifest = errors.New("there is no object in it")

// manifest is an object of a spec.
type manifest struct {
	object map[string]any
	// place names the document for a person: "document 2 (ConfigMap conf)".
	place string
}

// parseManifests reads all objects of a text: YAML documents, or JSON texts one after another. The elements of a list become objects of their own; empty
// documents are passed over. The faults of all are reported, joined, beside the objects that have none.
func parseManifests(text string) ([]manifest, error) {
	documents, err := readDocuments(text)
	faults := []error{err}
	var all []manifest
	for _, d := range documents {
		for _, m := range d.flatten() {
			if err := m.validate(); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", m.place, err))
				continue
			}
			all = append(all, m)
		}
	}
	if err := errors.Join(faults...); err != nil || len(all) > 0 {
		return all, err
	}
	return nil, errNoManifest
}

// readDocuments reads maps, up to the first thing that is none. What that is is told by its place alone: it may be secret.
func readDocuments(text string) ([]manifest, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	var all []manifest
	for n := 1; ; n++ {
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		place := fmt.Sprintf("document %d", n)
		if err != nil {
			return all, fmt.Errorf("%s: %w", place, err) // the reader cannot go on
		}
		var value any
		if len(raw) > 0 {
			if err := jsonutil.Unmarshal(raw, &value); err != nil {
				return all, fmt.Errorf("%s: %w", place, err)
			}
		}
		switch value := value.(type) {
		case nil:
		case map[string]any:
			all = append(all, manifest{value, place})
		default:
			return all, fmt.Errorf("%s: must be an object", place)
		}
	}
}

// flatten returns the elements of a list, as kubectl does, or the manifest itself.
func (m manifest) flatten() []manifest {
	kind, _ := m.object["kind"].(string)
	items, ok := m.object["items"].([]any)
	if !ok || !strings.HasSuffix(kind, "List") {
		return []manifest{m.named()}
	}
	all := make([]manifest, len(items))
	for i, item := range items {
		object, _ := item.(map[string]any)
		all[i] = manifest{object, fmt.Sprintf("%s, item %d", m.place, i+1)}.named()
	}
	return all
}

// named adds kind and name to the place.
func (m manifest) named() manifest {
	kind, _ := m.object["kind"].(string)
	if what := strings.TrimSpace(kind + " " + m.name()); what != "" {
		m.place += " (" + what + ")"
	}
	return m
}

func (m manifest) metadata(field string) string {
	fields, _ := m.object["metadata"].(map[string]any)
	text, _ := fields[field].(string)
	return text
}

// name is empty for an object whose name is to be generated.
func (m manifest) name() string { return m.metadata("name") }

// groupVersion splits the version of the API.
func (m manifest) groupVersion() (group, version string) {
	version, _ = m.object["apiVersion"].(string)
	if i := strings.LastIndexByte(version, '/'); i >= 0 && !hasTemplate(version) {
		return version[:i], version[i+1:]
	}
	return "", version
}

// validate wants what every object has.
func (m manifest) validate() error {
	var missing []string
	for _, field := range []string{"apiVersion", "kind"} {
		if text, _ := m.object[field].(string); text == "" {
			missing = append(missing, field)
		}
	}
	if m.name() == "" && m.metadata("generateName") == "" {
		missing = append(missing, "metadata.name")
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s must be given, as text", strings.Join(missing, " and "))
	}
	return nil
}

// parsePatch turns a patch in YAML or JSON into JSON.
func parsePatch(text string) ([]byte, error) {
	documents, err := readDocuments(text)
	switch {
	case err != nil:
		return nil, err
	case len(documents) != 1:
		return nil, fmt.Errorf("a patch is one object, there are %d", len(documents))
	}
	return json.Marshal(documents[0].object)
}
