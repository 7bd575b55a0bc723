package location

import (
	"bytes"
	"fmt"
	"log/slog"
)

const masked = "[masked]"

// Credential is what a store asks for. It cannot be printed: every way of formatting it shows its type alone, also as part of a struct that hides it.
// The zero value is none.
type Credential struct{ held **credential }

// credential is behind two pointers: fmt goes through the fields of a struct that hides this one without asking it, and follows one pointer for a verb that does
// not fit.
type credential struct {
	kind       string
	id, secret string
	secretType string
	data       map[string][]byte
	sasFile    string
}

// NewKeyPair makes a credential of an identity and its secret: access key and secret key, account and key, project and
// service account.
func NewKeyPair(id, secret string) Credential {
	return hold(credential{kind: credentialKeyPair, id: id, secret: secret})
}

// NewSecret makes a credential of the data of a Kubernetes Secret of the given type, such as secrets.kanister.io/aws.
func NewSecret(secretType string, data map[string][]byte) Credential {
	return hold(credential{kind: credentialSecret, secretType: secretType, data: cloneData(data)})
}

// KeyPair returns the identity and its secret; ok is false when the credential is none.
func (c Credential) KeyPair() (id, secret string, ok bool) {
	v := c.reveal()
	return v.id, v.secret, v.kind == credentialKeyPair
}

// Secret returns the type and a copy of the data of the Secret; ok is false when the credential is none.
func (c Credential) Secret() (secretType string, data map[string][]byte, ok bool) {
	v := c.reveal()
	return v.secretType, cloneData(v.data), v.kind == credentialSecret
}

// WithSASFile is the credential with the file of a shared access signature that somebody else puts there and renews. It counts where the secret
// says azure_federated_identity, whose file Kanister's tools find in the variable AZURE_SAS_TOKEN_FILE; this package reads no variables, the agent does.
func (c Credential) WithSASFile(path string) Credential {
	v := c.reveal()
	v.sasFile = path
	return hold(v)
}

// IsZero tells whether there is no credential.
func (c Credential) IsZero() bool { return c.reveal().kind == "" }

func hold(v credential) Credential {
	held := &v
	return Credential{&held}
}

func (c Credential) reveal() credential {
	if c.held == nil {
		return credential{}
	}
	return **c.held
}

// String shows the type alone.
func (c Credential) String() string {
	if c.IsZero() {
		return "no credential"
	}
	return c.reveal().kind + " " + masked
}

// Format prints String for every verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue is String.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String. The profile is what is stored, see [Location.Profile].
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func cloneData(data map[string][]byte) map[string][]byte {
	if len(data) == 0 {
		return nil
	}
	all := make(map[string][]byte, len(data))
	for k, v := range data {
		all[k] = bytes.Clone(v)
	}
	return all
}
