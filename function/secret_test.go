package function_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/davit-project/davit/function"
)

type login struct {
	User     string
	Password function.Secret
	Pointer  *function.Secret
	List     []function.Secret
	hidden   function.Secret
}

func TestSecretCannotBePrinted(t *testing.T) {
	const canary = "geheim"
	secret := function.NewSecret(canary)
	holder := login{"me", secret, &secret, []function.Secret{secret}, secret}
	for _, verb := range "vTtbcdoOqxXUeEfFgGspw!" {
		for _, flags := range []string{"", "+", "#", "-20", "020", " ", ".3"} {
			for _, v := range []any{secret, &secret, holder, &holder, []any{secret}, map[string]any{"a": holder}} {
				text := fmt.Sprintf("%"+flags+string(verb), v)
				require.NotContains(t, text, canary)
				require.NotContains(t, text, fmt.Sprintf("%x", canary))
			}
		}
		if verb != 'T' && verb != 'p' && verb != 'w' { // fmt answers these itself
			require.Contains(t, fmt.Sprintf("%"+string(verb), secret), "[masked]")
		}
	}
	require.Equal(t, "[masked]", secret.String())
	require.Equal(t, "[masked]", secret.GoString())
	require.Equal(t, "[masked]", fmt.Sprint(function.Secret{}))
	require.Equal(t, "sign in with [masked]: refused", fmt.Errorf("sign in with %s: %s", secret, "refused").Error())

	var lines bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&lines, nil), slog.NewJSONHandler(&lines, nil)} {
		slog.New(handler).Info("x", "secret", secret, "holder", holder, "pointer", &secret, slog.Group("g", "s", secret))
	}
	require.NotContains(t, lines.String(), canary)
	require.Contains(t, lines.String(), "secret=[masked]")
	require.Contains(t, lines.String(), `"secret":"[masked]"`)

	encoded, err := json.Marshal(map[string]any{"a": holder, "b": map[function.Secret]int{secret: 1}})
	require.NoError(t, err)
	require.NotContains(t, string(encoded), canary)
	encoded, err = yaml.Marshal(secret)
	require.NoError(t, err)
	require.NotContains(t, string(encoded), canary)
}

func TestSecretReveals(t *testing.T) {
	require.Equal(t, "x", function.NewSecret("x").Reveal())
	require.True(t, function.NewSecret("").IsSet())
	require.False(t, function.Secret{}.IsSet())
	require.Empty(t, function.Secret{}.Reveal())
}
