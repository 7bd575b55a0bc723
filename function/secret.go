package function

// Secret is a text that cannot be printed: every way of formatting it shows [masked]. The zero value is unset.
type Secret struct{ text *string }

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
