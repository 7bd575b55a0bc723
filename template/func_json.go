package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

func jsonFunctions() map[string]any {
	return map[string]any{
		"toJson": toJSON, "mustToJson": toJSON,
		"toPrettyJson": toPrettyJSON, "mustToPrettyJson": toPrettyJSON,
		"toRawJson": toRawJSON, "mustToRawJson": toRawJSON,
		"fromJson": fromJSON, "mustFromJson": fromJSON,
	}
}

// toJSON escapes <, > and &, as Kanister does.
func toJSON(v any) (string, error) {
	out, err := json.Marshal(v)
	return string(out), err
}

func toPrettyJSON(r *renderer, v any) (string, error) {
	size, err := r.measure(reflect.ValueOf(v), maxArgs*r.t.maxOutput)
	if err != nil {
		return "", err
	}
	if err := r.roomFor(int64(size.leaves), int64(2*size.depth)); err != nil {
		return "", err
	}
	out, err := json.MarshalIndent(v, "", "  ")
	return string(out), err
}

func toRawJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

func fromJSON(s string) (any, error) {
	var out any
	if err := json.Unmarshal([]byte(s), &out); err != nil {
		return nil, errors.New("the text is not JSON")
	}
	return out, nil
}
