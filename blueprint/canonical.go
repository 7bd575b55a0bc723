package blueprint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/davit-project/davit/template"
)

// JSON returns the blueprint in its canonical form: one line, the actions in their order, all else sorted. Parse of it
// gives an equal blueprint, the positions apart. It fails for a blueprint, made by hand, that Parse could not read back.
func (b *Blueprint) JSON() ([]byte, error) {
	actions := ordered{}
	for _, name := range b.ActionNames {
		a, ok := b.Actions[name]
		if !ok || a == nil {
			return nil, fmt.Errorf("encode blueprint %q: action %q is named but not there", b.Name, name)
		}
		actions = append(actions, pair{name, actionJSON(a)})
	}
	if len(actions) != len(b.Actions) {
		return nil, fmt.Errorf("encode blueprint %q: it has %d actions but names %d", b.Name, len(b.Actions), len(actions))
	}
	return encode(fmt.Sprintf("blueprint %q", b.Name), ordered{
		{"apiVersion", APIVersion},
		{"kind", "Blueprint"},
		{"metadata", metadataJSON(b.Name, b.Namespace, "", nil)},
		{"actions", actions},
	})
}

// Digest is the SHA-256 of the canonical form, in hexadecimal; empty when there is none.
func (b *Blueprint) Digest() string { return digest(b.JSON()) }

// JSON returns the action set in its canonical form, as Blueprint.JSON does. Its status is not part of it.
func (a *ActionSet) JSON() ([]byte, error) {
	specs := []any{}
	for _, s := range a.Actions {
		specs = append(specs, specJSON(s))
	}
	return encode(fmt.Sprintf("action set %q", a.Name), ordered{
		{"apiVersion", APIVersion},
		{"kind", "ActionSet"},
		{"metadata", metadataJSON(a.Name, a.Namespace, a.GenerateName, a.Labels)},
		{"spec", ordered{{"actions", specs}}},
	})
}

// Digest is the SHA-256 of the canonical form, in hexadecimal; empty when there is none.
func (a *ActionSet) Digest() string { return digest(a.JSON()) }

func digest(data []byte, err error) string {
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func metadataJSON(name, namespace, generateName string, labels map[string]string) ordered {
	return ordered{}.text("name", name).text("namespace", namespace).text("generateName", generateName).
		add("labels", labels, len(labels) > 0)
}

func actionJSON(a *Action) ordered {
	artifacts := map[string]any{}
	for name, art := range a.OutputArtifacts {
		artifacts[name] = art
	}
	phases := []any{}
	for _, p := range a.Phases {
		phases = append(phases, phaseJSON(p))
	}
	o := ordered{}.text("kind", a.Kind).
		add("configMapNames", a.ConfigMapNames, len(a.ConfigMapNames) > 0).
		add("secretNames", a.SecretNames, len(a.SecretNames) > 0).
		add("inputArtifactNames", a.InputArtifactNames, len(a.InputArtifactNames) > 0).
		add("outputArtifacts", artifacts, len(artifacts) > 0).
		add("phases", phases, len(phases) > 0)
	if a.DeferPhase != nil {
		o = o.add("deferPhase", phaseJSON(a.DeferPhase), true)
	}
	return o
}

func phaseJSON(p *Phase) ordered {
	o := ordered{}.text("func", p.Func).text("name", p.Name).
		add("objects", p.Objects, len(p.Objects) > 0).
		add("args", anyMap(p.Args), len(p.Args) > 0).
		add("timeout", duration(p.Timeout), p.Timeout != 0)
	if r := p.Retry; r != nil {
		o = o.add("retry", ordered{{"attempts", r.Attempts}}.
			add("backoff", duration(r.Backoff), r.Backoff != 0).
			add("maxBackoff", duration(r.MaxBackoff), r.MaxBackoff != 0), true)
	}
	return o.text("if", p.If).
		add("release", p.Release, len(p.Release) > 0).
		add("maxHold", duration(p.MaxHold), p.MaxHold != 0)
}

func specJSON(s ActionSpec) ordered {
	o := ordered{}.text("name", s.Name).text("blueprint", s.Blueprint).add("object", s.Object, s.Object != template.ObjectReference{}).
		add("artifacts", s.Artifacts, len(s.Artifacts) > 0).
		add("configMaps", s.ConfigMaps, len(s.ConfigMaps) > 0).
		add("secrets", s.Secrets, len(s.Secrets) > 0)
	if s.Profile != nil {
		o = o.add("profile", *s.Profile, true)
	}
	return o.add("podOverride", anyMap(s.PodOverride), len(s.PodOverride) > 0).
		add("options", s.Options, len(s.Options) > 0).
		text("preferredVersion", s.PreferredVersion).
		add("podLabels", s.PodLabels, len(s.PodLabels) > 0).
		add("podAnnotations", s.PodAnnotations, len(s.PodAnnotations) > 0)
}

func duration(d time.Duration) string { return d.String() }

// ordered is a JSON object with its keys in order.
type ordered []pair

type pair struct {
	key   string
	value any
}

func (o ordered) add(key string, value any, present bool) ordered {
	if present {
		o = append(o, pair{key, value})
	}
	return o
}

func (o ordered) text(key, value string) ordered { return o.add(key, value, value != "") }

// MarshalJSON keeps the order.
func (o ordered) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, p := range o {
		if i > 0 {
			out = append(out, ',')
		}
		key, err := marshal(p.key)
		if err != nil {
			return nil, err
		}
		value, err := marshal(p.value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, key...), ':'), value...)
	}
	return append(out, '}'), nil
}

// anyMap is a free-form map whose floats stay floats when they are read back.
type anyMap map[string]any

// MarshalJSON fails for what Parse does not make.
func (m anyMap) MarshalJSON() ([]byte, error) {
	v, err := exact(map[string]any(m), 0)
	if err != nil {
		return nil, err
	}
	return marshal(v)
}

func exact(v any, depth int) (any, error) {
	if depth > maxDepth+1 {
		return nil, errDepth
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			x, err := exact(e, depth+1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			out[k] = x
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			x, err := exact(e, depth+1)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			out[i] = x
		}
		return out, nil
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("%q is not UTF-8 text", v)
		}
		return v, nil
	case float64:
		return float(v)
	case nil, bool, int64, int:
		return v, nil
	}
	return nil, fmt.Errorf("a value of type %T", v)
}

func float(v float64) (any, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, fmt.Errorf("%g is no JSON number", v)
	}
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return json.Number(text), nil
}

// encode writes compact JSON and refuses what Parse would not read back.
func encode(what string, v any) ([]byte, error) {
	data, err := marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("encode %s: it takes %d bytes, at most %d can be read back", what, len(data), maxSize)
	}
	return data, nil
}

// marshal is json.Marshal without escapes for HTML.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
