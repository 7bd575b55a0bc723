package function

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// toText converts a scalar. Booleans become 1 and 0, as in Kanister.
func toText(v any) (string, bool) {
	switch r := reflect.ValueOf(v); {
	case r.Kind() == reflect.String:
		return r.String(), true
	case r.Kind() == reflect.Bool && r.Bool():
		return "1", true
	case r.Kind() == reflect.Bool:
		return "0", true
	case r.CanInt():
		return strconv.FormatInt(r.Int(), 10), true
	case r.CanUint():
		return strconv.FormatUint(r.Uint(), 10), true
	case r.CanFloat() && !math.IsNaN(r.Float()) && !math.IsInf(r.Float(), 0):
		return strconv.FormatFloat(r.Float(), 'f', -1, r.Type().Bits()), true
	}
	return "", false
}

// toInt converts whole numbers and decimal text of at most 21 characters, a sign included.
func toInt(v any) (*big.Int, bool) {
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return big.NewInt(r.Int()), true
	case r.CanUint():
		return new(big.Int).SetUint64(r.Uint()), true
	case r.CanFloat() && r.Float() == math.Trunc(r.Float()) && !math.IsInf(r.Float(), 0):
		n, _ := big.NewFloat(r.Float()).Int(nil)
		return n, true
	case r.Kind() == reflect.String:
		digits := strings.TrimLeft(r.String(), "+-")
		if digits == "" || strings.Trim(digits, "0123456789") != "" || len(r.String()) > 21 {
			return nil, false
		}
		return new(big.Int).SetString(r.String(), 10)
	}
	return nil, false
}

func toFloat(v any) (float64, bool) {
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return float64(r.Int()), true
	case r.CanUint():
		return float64(r.Uint()), true
	case r.CanFloat():
		return r.Float(), !math.IsNaN(r.Float()) && !math.IsInf(r.Float(), 0)
	case r.Kind() == reflect.String:
		if strings.Trim(r.String(), "0123456789+-.eE") != "" {
			return 0, false
		}
		n, err := strconv.ParseFloat(r.String(), 64)
		return n, err == nil
	}
	return 0, false
}

func toBool(v any) (value, ok bool) {
	if b, isBool := v.(bool); isBool {
		return b, true
	}
	text, ok := toText(v)
	if !ok {
		return false, false
	}
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
		return true, true
	case "false", "0", "no", "off":
		return false, true
	}
	return false, false
}

func toDuration(v any) (time.Duration, bool) {
	text, ok := v.(string)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

func toList(v any) ([]any, bool) {
	if list, ok := v.([]any); ok {
		return list, true
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice {
		return nil, false
	}
	list := make([]any, r.Len())
	for i := range list {
		list[i] = r.Index(i).Interface()
	}
	return list, true
}

func toMap(v any) (map[string]any, bool) {
	if m, ok := v.(map[string]any); ok {
		return m, true
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Map {
		return nil, false
	}
	m := make(map[string]any, r.Len())
	for it := r.MapRange(); it.Next(); {
		key := it.Key()
		if key.Kind() == reflect.Interface {
			key = key.Elem()
		}
		if key.Kind() != reflect.String {
			return nil, false
		}
		m[key.String()] = it.Value().Interface()
	}
	return m, true
}

// yamlList reads a text that is a YAML list; a blank text is an empty one. Any other text is not a list.
func yamlList(v any) ([]any, bool) {
	text, ok := v.(string)
	if !ok {
		return nil, false
	}
	if strings.TrimSpace(text) == "" {
		return []any{}, true
	}
	var list []any
	if err := yaml.Unmarshal([]byte(text), &list); err != nil || list == nil {
		return nil, false
	}
	return list, true
}

// yamlMap reads a text that is a YAML map.
func yamlMap(v any) (map[string]any, bool) {
	text, ok := v.(string)
	if !ok {
		return nil, false
	}
	var m map[string]any
	if err := yaml.Unmarshal([]byte(text), &m); err != nil || m == nil {
		return nil, false
	}
	return m, true
}

func toAnys(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

func isScalar(v any) bool {
	_, ok := toText(v)
	return ok
}

// plainValue copies v into map[string]any, []any, string, bool, int64 and float64. Null stays null.
func plainValue(v any, depth int) (any, error) {
	if v == nil {
		return nil, nil
	}
	if depth == 0 {
		return nil, fmt.Errorf("is nested more than %d deep", maxDepth)
	}
	if n, ok := v.(json.Number); ok {
		return plainNumber(n)
	}
	r := reflect.ValueOf(v)
	switch {
	case r.Kind() == reflect.String:
		return r.String(), nil
	case r.Kind() == reflect.Bool:
		return r.Bool(), nil
	case r.CanInt():
		return r.Int(), nil
	case r.CanUint() && r.Uint() <= math.MaxInt64:
		return int64(r.Uint()), nil
	case r.CanFloat() && !math.IsNaN(r.Float()) && !math.IsInf(r.Float(), 0):
		return r.Float(), nil
	case r.CanUint(), r.CanFloat():
		return nil, fmt.Errorf("is the number %v, which JSON cannot hold", v)
	case r.Kind() == reflect.Slice:
		return plainList(v, depth)
	case r.Kind() == reflect.Map:
		return plainMap(v, depth)
	default:
		return nil, fmt.Errorf("is a %s; only texts, numbers, booleans, lists and maps of them are possible", r.Type())
	}
}

func plainNumber(n json.Number) (any, error) {
	if i, err := n.Int64(); err == nil {
		return i, nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, fmt.Errorf("is a number that does not fit into 64 bits")
	}
	return f, nil
}

func plainList(v any, depth int) (any, error) {
	list, _ := toList(v)
	out := make([]any, len(list))
	for i, e := range list {
		plain, err := plainValue(e, depth-1)
		if err != nil {
			return nil, fmt.Errorf("[%d] %w", i, err)
		}
		out[i] = plain
	}
	return out, nil
}

func plainMap(v any, depth int) (any, error) {
	m, ok := toMap(v)
	if !ok {
		return nil, fmt.Errorf("is a map whose keys are not all texts")
	}
	out := make(map[string]any, len(m))
	for key, e := range m {
		plain, err := plainValue(e, depth-1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", quote(key), err)
		}
		out[key] = plain
	}
	return out, nil
}

// quote shows a value in a message: short scalars as they are, all else by its size. A text is never cut: masking finds
// secrets only whole.
func quote(v any) string {
	r := reflect.ValueOf(v)
	switch {
	case v == nil:
		return "null"
	case r.Kind() == reflect.String && r.Len() > 64:
		return fmt.Sprintf("a text of %d bytes", r.Len())
	case r.Kind() == reflect.String:
		return strconv.Quote(r.String())
	case r.Kind() == reflect.Slice:
		return fmt.Sprintf("a list of %d", r.Len())
	case r.Kind() == reflect.Map:
		return fmt.Sprintf("a map of %d", r.Len())
	}
	if text, ok := toText(v); ok && r.Kind() != reflect.Bool {
		return text
	}
	if r.Kind() == reflect.Bool || r.CanFloat() {
		return fmt.Sprint(v)
	}
	return "a " + r.Type().String()
}
