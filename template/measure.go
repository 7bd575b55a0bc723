package template

import (
	"errors"
	"fmt"
	"reflect"
	"time"
)

const (
	// maxDepth bounds the nesting of values: encoders recurse.
	maxDepth = 100
	// wordSize is what an entry of a list or map counts besides its content.
	wordSize = 16
)

// extent is the size of a value when everything it refers to is written out. Addressed is true when printing it would show addresses.
type extent struct {
	bytes, leaves, depth int
	addressed            bool
}

// measure walks a value until it is larger than limit, so that one that contains itself is too large.
func (r *renderer) measure(v reflect.Value, limit int) (extent, error) {
	m := meter{limit: limit}
	if !m.walk(v, 0) {
		if m.depth > maxDepth {
			return m.extent, fmt.Errorf("%w: a value nested more than %d deep", ErrLimit, maxDepth)
		}
		return m.extent, fmt.Errorf("%w: a value of more than %d bytes", ErrLimit, limit)
	}
	return m.extent, nil
}

type meter struct {
	extent
	limit int
}

var timeType = reflect.TypeFor[time.Time]()

func (m *meter) walk(v reflect.Value, depth int) bool {
	m.depth = max(m.depth, depth)
	if depth > maxDepth || m.bytes > m.limit {
		return false
	}
	if !v.IsValid() {
		return true
	}
	switch v.Kind() {
	case reflect.String:
		m.leaves++
		m.bytes += v.Len()
	case reflect.Pointer:
		m.addressed = m.addressed || depth > 0 && !v.IsNil() && !isStringer(v.Type())
		return m.walk(v.Elem(), depth+1)
	case reflect.Interface:
		return m.walk(v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			m.leaves++
			m.bytes += v.Len()
			break
		}
		for i := range v.Len() {
			m.bytes += wordSize
			if !m.walk(v.Index(i), depth+1) {
				return false
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			m.bytes += 2 * wordSize
			if !m.walk(it.Key(), depth+1) || !m.walk(it.Value(), depth+1) {
				return false
			}
		}
	case reflect.Struct:
		return m.structure(v, depth)
	default:
		m.leaves++
		m.bytes += 8
	}
	return m.bytes <= m.limit
}

func (m *meter) structure(v reflect.Value, depth int) bool {
	if v.Type() == timeType {
		m.leaves++
		m.bytes += 3 * wordSize
		return m.bytes <= m.limit
	}
	for i := range v.NumField() {
		m.bytes += wordSize
		if v.Type().Field(i).IsExported() && !m.walk(v.Field(i), depth+1) {
			return false
		}
	}
	return m.bytes <= m.limit
}

// errAddress is why a value is not printed: its text would be another one each time.
var errAddress = errors.New("a value with parts that have no text; name one, or use toJson")

// spend adds to what functions have read and made, and fails when that is too much.
func (r *renderer) spend(read, made int) error {
	r.work += read
	r.built += made
	if r.work > maxWork*r.t.maxOutput {
		return fmt.Errorf("%w: functions read more than %d bytes in one rendering", ErrLimit, maxWork*r.t.maxOutput)
	}
	if r.built > maxBuilt*r.t.maxOutput {
		return fmt.Errorf("%w: functions make more than %d bytes in one rendering", ErrLimit, maxBuilt*r.t.maxOutput)
	}
	return nil
}

const (
	// maxWork and maxBuilt bound what functions read and make in one rendering, maxArgs what one call reads, maxTransient what
	// a call may need on the way to its result: multiples of MaxOutput.
	maxWork      = 256
	maxBuilt     = 32
	maxArgs      = 4
	maxTransient = 4
)

// room fails when a function would need so many bytes for its result. It is asked before they are made.
func (r *renderer) room(bytes int64) error {
	if bytes < 0 || bytes > int64(maxTransient*r.t.maxOutput) {
		return fmt.Errorf("%w: the result would have more than %d bytes", ErrLimit, r.t.maxOutput)
	}
	return nil
}
