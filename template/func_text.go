package template

import (
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	text "text/template"

	"github.com/Masterminds/semver/v3"
	"github.com/Masterminds/sprig/v3"
)

func textFunctions() map[string]any {
	return map[string]any{
		"print":         func(v ...any) string { return fmt.Sprint(v...) },
		"println":       func(v ...any) string { return fmt.Sprintln(v...) },
		"printf":        printf,
		"html":          text.HTMLEscaper,
		"js":            text.JSEscaper,
		"urlquery":      text.URLQueryEscaper,
		"toString":      toString,
		"repeat":        repeat,
		"indent":        indent,
		"nindent":       nindent,
		"replace":       replace,
		"wrap":          wrap,
		"wrapWith":      wrapWith,
		"split":         split,
		"splitn":        splitn,
		"splitList":     splitList,
		"b64dec":        func(s string) (string, error) { return decode(base64.StdEncoding.DecodeString, s, "base64") },
		"b32dec":        func(s string) (string, error) { return decode(base32.StdEncoding.DecodeString, s, "base32") },
		"semver":        parseVersion,
		"semverCompare": compareVersion,
	}
}

func toString(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", fmt.Errorf("%w: nothing has no text", ErrMissing)
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	case error:
		return v.Error(), nil
	case fmt.Stringer:
		return v.String(), nil
	}
	if isNothing(reflect.ValueOf(v)) && reflect.TypeOf(v).Kind() == reflect.Pointer {
		return "", fmt.Errorf("%w: nothing has no text", ErrMissing)
	}
	return fmt.Sprint(v), nil
}

// decode fails without the text: it may be secret.
func decode(f func(string) ([]byte, error), s, what string) (string, error) {
	out, err := f(s)
	if err != nil {
		return "", errors.New("the text is not " + what)
	}
	return string(out), nil
}

func repeat(r *renderer, count int, s string) (string, error) {
	if count < 0 {
		return "", errors.New("the count is negative")
	}
	if err := r.roomFor(int64(count), int64(len(s))); err != nil {
		return "", err
	}
	return strings.Repeat(s, count), nil
}

// roomFor is room for n pieces of a size. It does not overflow.
func (r *renderer) roomFor(n, size int64) error {
	if n > 0 && size > 0 && n > int64(maxTransient*r.t.maxOutput)/size {
		return r.room(-1)
	}
	return nil
}

func indent(r *renderer, spaces int, s string) (string, error) {
	if spaces < 0 {
		return "", errors.New("the width is negative")
	}
	if err := r.roomFor(int64(strings.Count(s, "\n")+1), int64(spaces)); err != nil {
		return "", err
	}
	pad := strings.Repeat(" ", spaces)
	return pad + strings.ReplaceAll(s, "\n", "\n"+pad), nil
}

func nindent(r *renderer, spaces int, s string) (string, error) {
	out, err := indent(r, spaces, s)
	return "\n" + out, err
}

func replace(r *renderer, before, after, s string) (string, error) {
	if err := r.roomFor(int64(strings.Count(s, before)), int64(len(after))); err != nil {
		return "", err
	}
	return strings.ReplaceAll(s, before, after), nil
}

func wrap(r *renderer, width int, s string) (string, error) { return wrapWith(r, width, "\n", s) }

func wrapWith(r *renderer, width int, sep, s string) (string, error) {
	if err := r.roomFor(int64(len(s)/max(width, 1)+1+strings.Count(s, " ")), int64(max(len(sep), 1))); err != nil {
		return "", err
	}
	wrap, _ := sprig.GenericFuncMap()["wrapWith"].(func(int, string, string) string)
	return wrap(width, sep, s), nil
}

// pieces fails when a text would fall into more pieces than there is room for.
func (r *renderer) pieces(s, sep string) error {
	return r.roomFor(int64(strings.Count(s, sep)+1), 4*wordSize)
}

func split(r *renderer, sep, s string) (map[string]string, error) { return splitn(r, sep, -1, s) }

func splitn(r *renderer, sep string, n int, s string) (map[string]string, error) {
	if err := r.pieces(s, sep); err != nil {
		return nil, err
	}
	parts := strings.SplitN(s, sep, n)
	out := make(map[string]string, len(parts))
	for i, part := range parts {
		out[fmt.Sprintf("_%d", i)] = part
	}
	return out, nil
}

func splitList(r *renderer, sep, s string) ([]string, error) {
	if err := r.pieces(s, sep); err != nil {
		return nil, err
	}
	return strings.Split(s, sep), nil
}

// maxVersion bounds the text of a version or constraint, in bytes.
const maxVersion = 1024

func parseVersion(s string) (*semver.Version, error) {
	if len(s) > maxVersion {
		return nil, fmt.Errorf("%w: a version has at most %d bytes", ErrLimit, maxVersion)
	}
	v, err := semver.NewVersion(s)
	if err != nil {
		return nil, errors.New("the text is no semantic version")
	}
	return v, nil
}

func compareVersion(constraint, version string) (bool, error) {
	if len(constraint) > maxVersion {
		return false, fmt.Errorf("%w: a constraint has at most %d bytes", ErrLimit, maxVersion)
	}
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		return false, errors.New("the first text is no constraint on semantic versions")
	}
	v, err := parseVersion(version)
	if err != nil {
		return false, err
	}
	return c.Check(v), nil
}

// printf bounds what the format can make of its arguments before it does: each verb at most writes the largest argument, escaped, with
// every part of it padded.
func printf(r *renderer, format string, args ...any) (string, error) {
	largest := extent{leaves: 1}
	for _, arg := range args {
		size, err := r.measure(reflect.ValueOf(arg), maxArgs*r.t.maxOutput)
		if err != nil {
			return "", err
		}
		largest.bytes, largest.leaves = max(largest.bytes, size.bytes), max(largest.leaves, size.leaves)
	}
	verbs, width := scanFormat(format, args)
	if err := r.roomFor(int64(width), int64(largest.leaves)); err != nil {
		return "", err
	}
	if err := r.roomFor(int64(verbs), int64(largest.bytes)); err != nil {
		return "", err
	}
	return fmt.Sprintf(format, args...), nil
}

// maxWidth is the widest a verb of fmt can be.
const maxWidth = 1_000_000

// scanFormat counts the verbs of a format and adds up their widths and precisions; a star counts as the largest number among the arguments.
func scanFormat(format string, args []any) (verbs, width int) {
	star := 0
	for _, arg := range args {
		if v := reflect.ValueOf(arg); isInt(v.Kind()) {
			star = max(star, int(min(v.Int(), maxWidth)), int(min(-max(v.Int(), -maxWidth), maxWidth)))
		} else if isUint(v.Kind()) {
			star = max(star, int(min(v.Uint(), maxWidth)))
		}
	}
	in, number := false, 0
	for i := range len(format) {
		c := format[i]
		switch {
		case c == '%':
			in = !in
		case !in:
		case c >= '0' && c <= '9':
			number = min(number*10+int(c-'0'), maxWidth)
			continue
		case c == '*':
			width += star
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			in = false
			verbs++
		}
		width, number = min(width+number, 1<<40), 0
	}
	return verbs, width
}
