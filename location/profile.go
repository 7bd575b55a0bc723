package location

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

const (
	credentialKeyPair = "keyPair"
	credentialSecret  = "secret"

	// maxProfile is far above any real profile; a Kubernetes Secret holds at most 1 MiB.
	maxProfile = 2 << 20
)

// profile is the JSON that Kanister's templates render for toJson .Profile and that its in-pod tool reads.
type profile struct {
	Location *struct {
		Type, Bucket, Endpoint, Prefix, Region string
	}
	Credential *struct {
		Type    string
		KeyPair *struct{ ID, Secret string }
		Secret  *struct {
			Type string
			Data map[string][]byte
		}
	}
	SkipSSLVerify bool
}

// ParseProfile reads a profile's JSON as templates render it (toJson .Profile) and as in-pod tools are given it. Fields
// that it does not know are ignored. What cannot be used is ErrProfile or ErrUnsupported and named; values of
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
		Type: p.Location.Type, Bucket: p.Location.Bucket, Endpoint: p.Location.Endpoint,
		Prefix: p.Location.Prefix, Region: p.Location.Region, SkipSSLVerify: p.SkipSSLVerify,
	}
	if err := loc.check(); err != nil {
		return nil, err
	}
	if loc.Credential, err = p.credential(loc.Type); err != nil {
		return nil, err
	}
	return loc, nil
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

func (l *Location) check() error {
	switch l.Type {
	case TypeFile, TypeS3, TypeGCS, TypeAzure:
	case "kopia":
		return fmt.Errorf("%w: location type kopia needs a running Kopia server, which Davit does not use: point the profile at %s",
			ErrUnsupported, typeList)
	case "":
		return fmt.Errorf("%w: the location has no type, want %s", ErrProfile, typeList)
	default:
		return fmt.Errorf("%w: unknown location type %q, want %s", ErrUnsupported, short(l.Type), typeList)
	}
	if l.Bucket == "" {
		return fmt.Errorf("%w: the %s location has no bucket", ErrProfile, l.Type)
	}
	if _, err := cleanPrefix(l.Prefix); err != nil {
		return fmt.Errorf("%w: the location's prefix: %w", ErrProfile, err)
	}
	if l.Type != TypeFile {
		return nil
	}
	if strings.ContainsRune(l.Bucket, 0) || !filepath.IsAbs(l.Bucket) {
		return fmt.Errorf("%w: the bucket of a file location is the absolute path of a folder, not %q", ErrProfile, short(l.Bucket))
	}
	if l.Bucket = filepath.Clean(l.Bucket); filepath.Dir(l.Bucket) == l.Bucket {
		return fmt.Errorf("%w: the bucket of a file location cannot be the root of the file system: name a folder", ErrProfile)
	}
	return nil
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
		if c.Secret == nil || len(c.Secret.Data) == 0 {
			return Credential{}, fmt.Errorf("%w: the credential is a secret without data", ErrProfile)
		}
		return NewSecret(c.Secret.Type, c.Secret.Data), nil
	case "kopia":
		return Credential{}, fmt.Errorf("%w: credential type kopia needs a Kopia server: use keyPair or secret", ErrUnsupported)
	default:
		return Credential{}, fmt.Errorf("%w: unknown credential type, want keyPair or secret", ErrProfile)
	}
}

const typeList = TypeFile + ", " + TypeS3 + ", " + TypeGCS + " or " + TypeAzure

// short keeps the beginning of a text for an error message.
func short(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
