package template

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFirst(t *testing.T) {
	var e *Env
	v, err := e.CompileValue("args", map[string]any{"{{x": "{{ .Time }}", "n": map[string]any{"{{ .Time }}": []any{1, nil, "{{ .Time }}"}}, "r": "{{ raw"}, func(p string) bool { return p == "r" })
	require.NoError(t, err)
	out, err := v.Render(&Params{Time: "now"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"{{x": "now", "n": map[string]any{"now": []any{1, nil, "now"}}, "r": "{{ raw"}, out)
	_, err = e.Compile("a", "{{ nope }}")
	require.ErrorIs(t, err, ErrSyntax)
}
