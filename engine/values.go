package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Values is a tree of JSON values. Texts that contain a secret are kept in parts, with references in its place: so they stand in the
// journal. They print as masked text everywhere else; the run alone can expand them.
type Values map[string]any

// secretText is a text with references to secrets.
type secretText []part

// secretKey marks a secretText in JSON. A key of the data that begins with "$" gets another one in front.
const secretKey = "$secret"

// String is the masked text.
func (t secretText) String() string { return maskParts("", t) }

// encode returns the tree with every secret replaced by its reference. Numbers become int64 where they can, else float64, so that a
// resumed run sees the same values as one that was never interrupted.
func (v *vault) encode(tree any) (any, error) {
	data, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	return decodeTree(data, v.encodeLeaf)
}

// encodeLeaf puts references into a text. A number that is a secret becomes one reference; a short one says nothing.
func (v *vault) encodeLeaf(leaf any) (any, error) {
	switch t := leaf.(type) {
	case string:
		if parts := v.split(t); parts != nil {
			return secretText(parts), nil
		}
		return t, nil
	case json.Number:
		if parts := v.split(t.String()); len(t) >= shortSecret && len(parts) == 1 {
			parts[0].Number = true
			return secretText(parts), nil
		}
		return plainNumber(t)
	default:
		return leaf, nil
	}
}

// plainLeaf makes numbers plain.
func plainLeaf(leaf any) (any, error) {
	if n, ok := leaf.(json.Number); ok {
		return plainNumber(n)
	}
	return leaf, nil
}

func plainNumber(n json.Number) (any, error) {
	if i, err := n.Int64(); err == nil {
		return i, nil
	}
	return n.Float64()
}

func (v *vault) encodeValues(m map[string]any) (Values, error) {
	if m == nil {
		return nil, nil
	}
	tree, err := v.encode(m)
	if err != nil {
		return nil, err
	}
	return tree.(map[string]any), nil
}

// expand returns the tree with every reference replaced by its secret.
func (v *vault) expand(tree any) (any, error) {
	return mapTree(tree, func(t secretText) (any, error) {
		var b strings.Builder
		for _, p := range t {
			if p.Ref == nil {
				b.WriteString(p.Text)
				continue
			}
			s, ok := v.resolve(*p.Ref)
			if !ok {
				return nil, fmt.Errorf("a value contains key %q of %s %q in namespace %q, which can no longer be read",
					p.Ref.Key, p.Ref.Kind, p.Ref.Name, p.Ref.Namespace)
			}
			if n, err := plainNumber(json.Number(s)); p.Number && err == nil {
				return n, nil
			}
			b.WriteString(s)
		}
		return b.String(), nil
	})
}

// Masked returns the tree with every secret masked.
func (m Values) Masked() map[string]any {
	if m == nil {
		return nil
	}
	tree, _ := mapTree(map[string]any(m), func(t secretText) (any, error) { return t.String(), nil })
	return tree.(map[string]any)
}

// MarshalJSON writes references for secrets.
func (m Values) MarshalJSON() ([]byte, error) {
	if m == nil {
		return []byte("null"), nil
	}
	return json.Marshal(escapeTree(map[string]any(m)))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Values) UnmarshalJSON(data []byte) error {
	tree, err := decodeTree(data, plainLeaf)
	if err != nil {
		return err
	}
	if tree == nil {
		*m = nil
		return nil
	}
	tree, err = unescapeTree(tree)
	if err != nil {
		return err
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return fmt.Errorf("values are no object")
	}
	*m = object
	return nil
}

// decodeTree decodes JSON into maps, lists, bool, nil and what leaf makes of texts and numbers.
func decodeTree(data []byte, leaf func(any) (any, error)) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	return plainTree(tree, leaf)
}

func plainTree(tree any, leaf func(any) (any, error)) (any, error) {
	switch t := tree.(type) {
	case string, json.Number:
		return leaf(t)
	case []any:
		for i := range t {
			e, err := plainTree(t[i], leaf)
			if err != nil {
				return nil, err
			}
			t[i] = e
		}
	case map[string]any:
		for k, e := range t {
			e, err := plainTree(e, leaf)
			if err != nil {
				return nil, err
			}
			t[k] = e
		}
	}
	return tree, nil
}

// mapTree copies the tree, with f's result in place of each secretText.
func mapTree(tree any, f func(secretText) (any, error)) (any, error) {
	switch t := tree.(type) {
	case secretText:
		return f(t)
	case []any:
		list := make([]any, len(t))
		for i, e := range t {
			e, err := mapTree(e, f)
			if err != nil {
				return nil, err
			}
			list[i] = e
		}
		return list, nil
	case map[string]any:
		object := make(map[string]any, len(t))
		for k, e := range t {
			e, err := mapTree(e, f)
			if err != nil {
				return nil, err
			}
			object[k] = e
		}
		return object, nil
	default:
		return tree, nil
	}
}

func escapeTree(tree any) any {
	switch t := tree.(type) {
	case secretText:
		return map[string]any{secretKey: []part(t)}
	case []any:
		list := make([]any, len(t))
		for i, e := range t {
			list[i] = escapeTree(e)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(t))
		for k, e := range t {
			if strings.HasPrefix(k, "$") {
				k = "$" + k
			}
			object[k] = escapeTree(e)
		}
		return object
	default:
		return tree
	}
}

func unescapeTree(tree any) (any, error) {
	switch t := tree.(type) {
	case []any:
		for i := range t {
			e, err := unescapeTree(t[i])
			if err != nil {
				return nil, err
			}
			t[i] = e
		}
	case map[string]any:
		if parts, ok := t[secretKey]; ok {
			data, err := json.Marshal(parts)
			if err != nil {
				return nil, err
			}
			var text secretText
			if err := json.Unmarshal(data, &text); err != nil {
				return nil, err
			}
			return text, nil
		}
		object := make(map[string]any, len(t))
		for k, e := range t {
			e, err := unescapeTree(e)
			if err != nil {
				return nil, err
			}
			object[strings.TrimPrefix(k, "$")] = e
		}
		return object, nil
	}
	return tree, nil
}
