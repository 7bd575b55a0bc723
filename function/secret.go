package function

import (
	"fmt"
	"io"
	"log/slog"
)

const masked = "[masked]"

// Secret is a text that cannot be printed: every way of formatting it shows [masked]. The zero value is unset.
type Secret struct {
	// A pointer, because fmt shows the address alone where it cannot call methods: in an unexported field.
	text *string
}

var (
	_ fmt.Formatter  = Secret{}
	_ slog.LogValuer = Secret{}
)

// NewSecret wraps a text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text. Call it where the text is used, as late as possible.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet tells whether there is a text, be it empty.
func (s Secret) IsSet() bool { return s.text != nil }

// Format writes [masked] whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// String is [masked].
func (s Secret) String() string { return masked }

// GoString is [masked].
func (s Secret) GoString() string { return masked }

// LogValue is [masked].
func (s Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText gives [masked].
func (s Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// MarshalJSON gives "[masked]".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + masked + `"`), nil }
