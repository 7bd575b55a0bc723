package location

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
)

const masked = "[masked]"

// Credential is what a store asks for. It cannot be printed: every way of formatting it shows its type alone.
// The zero value is none.
type Credential struct {
	kind       string
	id, secret string
	secretType string
	data       map[string][]byte
}

// NewKeyPair makes a credential of an identity and its secret: access key and secret key, account and key, project and
// service account.
func NewKeyPair(id, secret string) Credential {
	return Credential{kind: credentialKeyPair, id: id, secret: secret}
}

// NewSecret makes a credential of the data of a Kubernetes Secret of the given type, such as secrets.kanister.io/aws.
func NewSecret(secretType string, data map[string][]byte) Credential {
	return Credential{kind: credentialSecret, secretType: secretType, data: maps.Clone(data)}
}

// KeyPair returns the identity and its secret; ok is false when the credential is none.
func (c Credential) KeyPair() (id, secret string, ok bool) {
	return c.id, c.secret, c.kind == credentialKeyPair
}

// Secret returns the type and a copy of the data of the Secret; ok is false when the credential is none.
func (c Credential) Secret() (secretType string, data map[string][]byte, ok bool) {
	return c.secretType, maps.Clone(c.data), c.kind == credentialSecret
}

// IsZero tells whether there is no credential.
func (c Credential) IsZero() bool { return c.kind == "" }

// String shows the type alone.
func (c Credential) String() string {
	if c.IsZero() {
		return "no credential"
	}
	return c.kind + " " + masked
}

// Format prints String for every verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue is String.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON gives String as JSON text.
func (c Credential) MarshalJSON() ([]byte, error) { return marshalText(c.String()) }

func marshalText(s string) ([]byte, error) { return json.Marshal(s) }
