package template

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

func listFunctions() map[string]any {
	return map[string]any{
		"until":     func(r *renderer, n int) ([]int, error) { return untilStep(r, 0, n, sign(n)) },
		"untilStep": untilStep,
		"seq":       seq,
		"join":      join,
		"toStrings": toStrings,
		"sortAlpha": sortAlpha,
		"slice":     sliceList, "mustSlice": sliceList,
		"concat": concat,
		"chunk":  chunk, "mustChunk": chunk,
		"uniq": uniq, "mustUniq": uniq,
		"without": without, "mustWithout": without,
	}
}

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}

// untilStep counts from start towards stop, which is left out. A step of the wrong sign gives nothing.
func untilStep(r *renderer, start, stop, step int) ([]int, error) {
	out := []int{}
	if step == 0 || step > 0 && start >= stop || step < 0 && start <= stop {
		return out, nil
	}
	distance, stride := uint64(stop)-uint64(start), uint64(step)
	if step < 0 {
		distance, stride = uint64(start)-uint64(stop), uint64(-step)
	}
	n := (distance-1)/stride + 1
	if n > uint64(maxTransient*r.t.maxOutput) {
		return nil, r.room(-1)
	}
	if err := r.roomFor(int64(n), wordSize); err != nil {
		return nil, err
	}
	for i := range int(n) {
		out = append(out, start+i*step)
	}
	return out, nil
}

// seq is the shell's: last; first last; first step last.
func seq(r *renderer, params ...int) (string, error) {
	start, step := 1, 0
	var stop int
	switch len(params) {
	case 1:
		stop = params[0]
	case 2:
		start, stop = params[0], params[1]
	case 3:
		start, step, stop = params[0], params[1], params[2]
	default:
		return "", nil
	}
	toward := 1
	if stop < start {
		toward = -1
	}
	if step == 0 && len(params) < 3 {
		step = toward
	}
	numbers, err := untilStep(r, start, stop+toward, step)
	if err != nil {
		return "", err
	}
	return strings.Trim(fmt.Sprint(numbers), "[]"), nil
}

func join(r *renderer, sep string, v any) (string, error) {
	items, err := toStrings(v)
	if err != nil {
		return "", err
	}
	if err := r.roomFor(int64(len(items)), int64(len(sep))); err != nil {
		return "", err
	}
	return strings.Join(items, sep), nil
}

// toStrings makes a new list of texts. Nothings in it are left out.
func toStrings(v any) ([]string, error) {
	out := []string{}
	if v == nil {
		return out, nil
	}
	items := reflect.ValueOf(v)
	if items.Kind() != reflect.Slice && items.Kind() != reflect.Array || items.Type().Elem().Kind() == reflect.Uint8 {
		text, err := toString(v)
		return append(out, text), err
	}
	for i := range items.Len() {
		item := items.Index(i).Interface()
		if item == nil {
			continue
		}
		text, err := toString(item)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

func sortAlpha(v any) ([]string, error) {
	out, err := toStrings(v)
	slices.Sort(out)
	return out, err
}

// asList is the value as a list, or an error that says what it is.
func asList(v any) (reflect.Value, error) {
	list, isNil := indirect(reflect.ValueOf(v))
	if !list.IsValid() || isNil {
		return list, fmt.Errorf("%w: a list is needed, there is nothing", ErrMissing)
	}
	if list.Kind() != reflect.Slice && list.Kind() != reflect.Array {
		return list, fmt.Errorf("a list is needed, not %s", typeName(list.Type()))
	}
	return list, nil
}

func items(list reflect.Value) []any {
	out := make([]any, list.Len())
	for i := range out {
		out[i] = list.Index(i).Interface()
	}
	return out
}

// sliceList is list[from:to]; both may be left out.
func sliceList(v any, bounds ...int) (any, error) {
	list, err := asList(v)
	if err != nil || list.Len() == 0 {
		return nil, err
	}
	from, to := 0, list.Len()
	if len(bounds) > 0 {
		from = bounds[0]
	}
	if len(bounds) > 1 {
		to = bounds[1]
	}
	if from < 0 || from > to || to > list.Len() {
		return nil, fmt.Errorf("no positions %d to %d in a list of %d", from, to, list.Len())
	}
	return items(list)[from:to:to], nil
}

func concat(lists ...any) ([]any, error) {
	var out []any
	for _, v := range lists {
		list, err := asList(v)
		if err != nil {
			return nil, err
		}
		out = append(out, items(list)...)
	}
	return out, nil
}

func chunk(size int, v any) ([][]any, error) {
	if size < 1 {
		return nil, errors.New("the size of a piece is at least one")
	}
	list, err := asList(v)
	if err != nil {
		return nil, err
	}
	return slices.Collect(slices.Chunk(items(list), size)), nil
}

func uniq(r *renderer, v any) ([]any, error) {
	list, err := asList(v)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, item := range items(list) {
		same, err := contains(r, out, item)
		if err != nil {
			return nil, err
		}
		if !same {
			out = append(out, item)
		}
	}
	return out, nil
}

func without(r *renderer, v any, omit ...any) ([]any, error) {
	list, err := asList(v)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, item := range items(list) {
		gone, err := contains(r, omit, item)
		if err != nil {
			return nil, err
		}
		if !gone {
			out = append(out, item)
		}
	}
	return out, nil
}

// contains compares item by item and pays for it.
func contains(r *renderer, list []any, want any) (bool, error) {
	size, err := r.measure(reflect.ValueOf(want), maxArgs*r.t.maxOutput)
	if err != nil {
		return false, err
	}
	if err := r.spend((size.bytes+wordSize)*len(list), 0); err != nil {
		return false, err
	}
	return slices.ContainsFunc(list, func(item any) bool { return reflect.DeepEqual(item, want) }), nil
}
