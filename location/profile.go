package location

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"unicode/utf8"
)

const (
	credentialKeyPair = "keyPair"
	credentialSecret  = "secret"

	// maxProfile is far above any real profile; a Kubernetes Secret holds at most 1 MiB.
	maxProfile = 2 << 20
)

// profile is the JSON that Kanister's templates render for toJson .Profile and that its in-pod tool reads. What stands last in Location is ours: absent, it is
// Kanister's.
type profile struct {
	Location      *profileLocation
	Credential    *profileCredential
	SkipSSLVerify bool
}

type profileLocation struct {
	Type        string `json:"type"`
	Bucket      string `json:"bucket"`
	Endpoint    string `json:"endpoint"`
	Prefix      string `json:"prefix"`
	Region      string `json:"region"`
	CABundle    string `json:"caBundle,omitempty"`
	Proxy       string `json:"proxy,omitempty"`
	VirtualHost bool   `json:"virtualHost,omitempty"`
}

type profileCredential struct {
	Type              string
	KeyPair           *profileKeyPair
	Secret            *profileSecret
	KopiaServerSecret any
}

type profileKeyPair struct{ ID, Secret string }

type profileSecret struct {
	Metadata struct{}          `json:"metadata"`
	Data     map[string][]byte `json:"data,omitempty"`
	Type     string            `json:"type,omitempty"`
}

// ParseProfile reads a profile's JSON as templates render it (toJson .Profile) and as in-pod tools are given it. Fields
// that it does not know are ignored. What cannot be used is ErrProfile or ErrUnsupported and named, before anything is asked of a store; values of
// credentials are never part of an error.
func ParseProfile(text []byte) (*Location, error) {
	p, err := decodeProfile(text)
	if err != nil {
		return nil, err
	}
	if p.Location == nil {
		return nil, fmt.Errorf("%w: it has no Location", ErrProfile)
	}
	loc := &Location{
		Type: p.Location.Type, Bucket: p.Location.Bucket, Endpoint: p.Location.Endpoint, Prefix: p.Location.Prefix, Region: p.Location.Region,
		Proxy: p.Location.Proxy, VirtualHost: p.Location.VirtualHost, SkipSSLVerify: p.SkipSSLVerify,
	}
	if p.Location.CABundle != "" {
		loc.CABundle = []byte(p.Location.CABundle)
	}
	if err := loc.checkType(); err != nil {
		return nil, err
	}
	if loc.Credential, err = p.credential(loc.Type); err != nil {
		return nil, err
	}
	if err := loc.Validate(); err != nil {
		return nil, err
	}
	if loc.Type == TypeFile {
		loc.Bucket = loc.folder()
	}
	return loc, nil
}

// Profile renders the location as the JSON that ParseProfile reads, of which only what Kanister does not have is unknown to Kanister's tools. It holds the
// credential in clear: it is for a file of mode 0600 or a Kubernetes Secret, not for a command line, a log or a journal. A file of [Credential.WithSASFile] is not part of it.
// A location that is not valid is refused.
func (l *Location) Profile() ([]byte, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	p := profile{
		Location: &profileLocation{Type: l.Type, Bucket: l.Bucket, Endpoint: l.Endpoint, Prefix: l.Prefix, Region: l.Region,
			CABundle: l.bundle(), Proxy: l.Proxy, VirtualHost: l.VirtualHost},
		Credential:    &profileCredential{},
		SkipSSLVerify: l.SkipSSLVerify,
	}
	c := l.Credential.reveal()
	if l.Type == TypeFile {
		c = credential{}
	}
	p.Credential.Type = c.kind
	switch c.kind {
	case credentialKeyPair:
		p.Credential.KeyPair = &profileKeyPair{ID: c.id, Secret: c.secret}
	case credentialSecret:
		p.Credential.Secret = &profileSecret{Data: c.data, Type: c.secretType}
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("%w: it cannot be encoded", ErrProfile)
	}
	if len(text) > maxProfile {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrProfile, len(text), maxProfile)
	}
	return text, nil
}

// bundle is the location's certificates as a text: as they were given, or without what stands between them if that is none.
func (l *Location) bundle() string {
	if utf8.Valid(l.CABundle) {
		return string(l.CABundle)
	}
	var text []byte
	certs, _ := certificates(l.CABundle) // what Validate has seen
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return string(text)
}

func decodeProfile(text []byte) (*profile, error) {
	if len(text) > maxProfile {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrProfile, len(text), maxProfile)
	}
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrProfile)
	case string(text) == "null":
		return nil, fmt.Errorf("%w: it is null: the action was started without a profile", ErrProfile)
	}
	var p profile
	err := json.Unmarshal(text, &p)
	// The texts of the decoder's own errors quote what they stumble over, which may be a secret.
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, fmt.Errorf("%w: it is not JSON at byte %d of %d", ErrProfile, syntax.Offset, len(text))
	}
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if kind.Field == "" {
			return nil, fmt.Errorf("%w: it is JSON but no object", ErrProfile)
		}
		return nil, fmt.Errorf("%w: field %q has the wrong type, want %s", ErrProfile, short(kind.Field), kind.Type.Kind())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it cannot be decoded", ErrProfile)
	}
	return &p, nil
}

func (p *profile) credential(locationType string) (Credential, error) {
	c := p.Credential
	if c == nil || locationType == TypeFile {
		return Credential{}, nil
	}
	switch c.Type {
	case "":
		return Credential{}, nil
	case credentialKeyPair:
		if c.KeyPair == nil || c.KeyPair.ID == "" || c.KeyPair.Secret == "" {
			return Credential{}, fmt.Errorf("%w: the credential is a keyPair without ID or secret", ErrProfile)
		}
		return NewKeyPair(c.KeyPair.ID, c.KeyPair.Secret), nil
	case credentialSecret:
		if c.Secret == nil {
			return Credential{}, fmt.Errorf("%w: the credential is a secret, but there is none", ErrProfile)
		}
		return NewSecret(c.Secret.Type, c.Secret.Data), nil
	case "kopia":
		return Credential{}, fmt.Errorf("%w: credential type kopia needs a Kopia server: use keyPair or secret", ErrUnsupported)
	default:
		return Credential{}, fmt.Errorf("%w: unknown credential type, want keyPair or secret", ErrProfile)
	}
}
