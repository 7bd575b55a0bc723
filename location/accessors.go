package location

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The types of Secret that a credential can be made of.
const (
	secretAWS   = "secrets.kanister.io/aws"
	secretGCP   = "secrets.kanister.io/gcp"
	secretAzure = "secrets.kanister.io/azure"
	secretFile  = "secrets.kanister.io/filestore"
)

// schema is what the credential of one type of location consists of.
type schema struct {
	location, secretType string
	// id and secret are the keys in a Secret of what a keyPair has as ID and Secret; more are the others.
	id, secret string
	more       []string
}

// fields are a credential's values by the keys of its schema.
type fields struct {
	schema
	pair   bool
	values map[string]string
}

// fields reads the location's credential. White space around a value, such as the line end that echo leaves, is no part of it. No error holds a value.
func (l *Location) fields(s schema) (*fields, error) {
	if l.Type != "" && l.Type != s.location {
		return nil, fmt.Errorf("%w: a location of type %s has no credential as those of type %s have", ErrProfile, short(l.Type), s.location)
	}
	f := &fields{schema: s, values: map[string]string{}}
	switch c := l.Credential.reveal(); c.kind {
	case "":
		return f, nil
	case credentialKeyPair:
		f.pair = true
		f.values[s.id], f.values[s.secret] = strings.TrimSpace(c.id), strings.TrimSpace(c.secret)
		if f.values[s.id] == "" || f.values[s.secret] == "" {
			return nil, fmt.Errorf("%w: the credential is a keyPair without ID or secret", ErrProfile)
		}
	default:
		if err := s.check(c); err != nil {
			return nil, err
		}
		for k, v := range c.data {
			f.values[k] = strings.TrimSpace(string(v))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(f.values)) {
		if v := f.values[k]; k != keyGoogleFile && strings.ContainsFunc(v, unprintable) || !utf8.ValidString(v) {
			return nil, f.wrong(k, "has white space or characters that cannot be seen in it, or is no text")
		}
	}
	return f, nil
}

// check looks at the type and the keys of a Secret.
func (s schema) check(c credential) error {
	switch {
	case c.secretType == s.secretType:
	case c.secretType == "":
		return fmt.Errorf("%w: the credential's secret has no type: the location is %s, which takes one of type %s, or a keyPair", ErrProfile, s.location, s.secretType)
	case slices.Contains([]string{secretAWS, secretGCP, secretAzure, secretFile}, c.secretType):
		return fmt.Errorf("%w: the credential's secret is of type %s, but the location is %s, which takes one of type %s, or a keyPair", ErrProfile,
			c.secretType, s.location, s.secretType)
	default:
		return fmt.Errorf("%w: the credential's secret is of type %q, of which Davit does not know the keys: the location is %s, which takes one of type %s; "+
			"a keyPair takes any secret and names its keys", ErrProfile, short(c.secretType), s.location, s.secretType)
	}
	known := append([]string{s.id, s.secret}, s.more...)
	for _, k := range slices.Sorted(maps.Keys(c.data)) {
		if !slices.Contains(known, k) {
			return fmt.Errorf("%w: the credential's secret of type %s has a key %q; it may have %s", ErrProfile, s.secretType, short(k), strings.Join(known, ", "))
		}
	}
	return nil
}

func (f *fields) get(key string) string { return f.values[key] }

// wrong says of which value something is true.
func (f *fields) wrong(key, what string) error { return f.fault(ErrProfile, key, what) }

func (f *fields) fault(kind error, key, what string) error {
	name := key + " of the credential's secret"
	if f.pair {
		name = map[string]string{f.id: "the ID of the credential's keyPair", f.secret: "the secret of the credential's keyPair"}[key]
	}
	return fmt.Errorf("%w: %s %s", kind, name, what)
}

// only refuses more than one of the keys: a reader of the profile could not tell which counts.
func (f *fields) only(keys ...string) error {
	var set []string
	for _, k := range keys {
		if f.get(k) != "" {
			set = append(set, k)
		}
	}
	if len(set) > 1 {
		return fmt.Errorf("%w: the credential's secret has %s: leave one", ErrProfile, strings.Join(set, " and "))
	}
	return nil
}

// unprintable tells of a character that cannot be seen, such as those that come along when a value is copied.
func unprintable(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }

// newSecret makes a credential of the values that are not empty.
func newSecret(secretType string, values map[string]string) Credential {
	data := map[string][]byte{}
	for k, v := range values {
		if v != "" {
			data[k] = []byte(v)
		}
	}
	return NewSecret(secretType, data)
}
