package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/davit-project/davit/function"
)

// Errors of what a container writes.
var (
	// ErrOutputTooLarge means that a container wrote an output, or more outputs, than a phase may have.
	ErrOutputTooLarge = errors.New("phase output too large")
	// ErrOutputSyntax means that a container wrote an output line that cannot be read.
	ErrOutputSyntax = errors.New("malformed phase output")
)

// The markers a container writes. The first is Kanister's; the second is written by the in-pod agent of this project.
const (
	outputMarker   = "###Phase-output###:"
	progressMarker = "###Phase-progress###:"
)

// limits bound what one phase keeps of what its containers write, in bytes where not said otherwise.
type limits struct {
	// logLine is the longest piece of a line that is passed to the log at once.
	logLine int
	// outputLine is the longest output line, from its marker on.
	outputLine int
	// key and value bound one output.
	key, value int
	// total bounds the keys and values of all outputs of a phase.
	total int
	// keys is the largest number of outputs of a phase.
	keys int
}

func defaultLimits() limits {
	return limits{
		logLine:    64 << 10,
		outputLine: 2 << 20,
		key:        256,
		value:      1 << 20,
		total:      4 << 20,
		keys:       1000,
	}
}

// outputs collects the outputs of a phase. It is safe for concurrent use.
type outputs struct {
	limits limits

	mu     sync.Mutex
	values map[string]string
	size   int
}

func newOutputs(l limits) *outputs { return &outputs{limits: l} }

// parse reads the JSON of an output line and keeps it. Errors never hold any of the text, which may be a secret.
func (o *outputs) parse(text []byte) (key string, err error) {
	if !utf8.Valid(text) {
		return "", fmt.Errorf("%w: not UTF-8", ErrOutputSyntax)
	}
	var pair struct {
		Key   *string `json:"key"`
		Value *string `json:"value"`
	}
	if err := json.Unmarshal(text, &pair); err != nil {
		return "", fmt.Errorf(`%w: want {"key": "text", "value": "text"}%s`, ErrOutputSyntax, position(err))
	}
	switch {
	case pair.Key == nil || *pair.Key == "":
		return "", fmt.Errorf(`%w: "key" is missing or empty`, ErrOutputSyntax)
	case len(*pair.Key) > o.limits.key:
		return "", fmt.Errorf("%w: a key of %d bytes, at most %d are allowed", ErrOutputTooLarge, len(*pair.Key), o.limits.key)
	case pair.Value == nil:
		return "", fmt.Errorf(`%w: "value" of key %q is missing`, ErrOutputSyntax, *pair.Key)
	}
	return *pair.Key, o.set(*pair.Key, *pair.Value)
}

// position says where a JSON text is wrong without showing any of it.
func position(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf(", the text is no JSON at byte %d", syntax.Offset)
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Sprintf(", found %s at byte %d", jsonType(kind.Value), kind.Offset)
	}
	return ""
}

// jsonType cuts what encoding/json says about a value ("number 12") down to its type.
func jsonType(value string) string {
	kind, _, _ := strings.Cut(value, " ")
	return kind
}

// set keeps one output; the last of several with one key wins.
func (o *outputs) set(key, value string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(value) > o.limits.value {
		return fmt.Errorf("%w: key %q has %d bytes, at most %d are allowed", ErrOutputTooLarge, key, len(value), o.limits.value)
	}
	old, exists := o.values[key]
	size := o.size + len(key) + len(value)
	if exists {
		size -= len(key) + len(old)
	} else if len(o.values) >= o.limits.keys {
		return fmt.Errorf("%w: more than %d keys", ErrOutputTooLarge, o.limits.keys)
	}
	if size > o.limits.total {
		return fmt.Errorf("%w: more than %d bytes in all, reached with key %q", ErrOutputTooLarge, o.limits.total, key)
	}
	if o.values == nil {
		o.values = map[string]string{}
	}
	o.values[key] = value
	o.size = size
	return nil
}

// merge adds the outputs of another; those with the same key are replaced.
func (o *outputs) merge(other *outputs) error {
	var errs []error
	for key, value := range other.all() {
		errs = append(errs, o.set(key, value))
	}
	return errors.Join(errs...)
}

func (o *outputs) all() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.values)
}

// result returns the outputs; nil when there are none.
func (o *outputs) result() function.Outputs {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.values) == 0 {
		return nil
	}
	result := make(function.Outputs, len(o.values))
	for key, value := range o.values {
		result[key] = value
	}
	return result
}
