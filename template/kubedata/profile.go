package kubedata

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/template"
)

// profile is a Profile object, see the compatibility notes on cr.kanister.io/v1alpha1.
type profile struct {
	Location   template.Location `json:"location"`
	Credential struct {
		Type    string `json:"type"`
		KeyPair *struct {
			IDField     string                   `json:"idField"`
			SecretField string                   `json:"secretField"`
			Secret      template.ObjectReference `json:"secret"`
		} `json:"keyPair"`
		Secret *template.ObjectReference `json:"secret"`
		Kopia  *kopia                    `json:"kopiaServerSecret"`
	} `json:"credential"`
	SkipSSLVerify bool `json:"skipSSLVerify"`
}

type kopia struct {
	Username       string         `json:"username"`
	Hostname       string         `json:"hostname"`
	UserPassphrase *keyOf         `json:"userPassphrase"`
	TLSCert        *keyOf         `json:"tlsCert"`
	ConnectOptions map[string]int `json:"connectOptions"`
}

type keyOf struct {
	Key    string                    `json:"key"`
	Secret *template.ObjectReference `json:"secret"`
}

// Types of locations.
const (
	typeFile  = "file"
	typeKopia = "kopia"
)

var locationTypes = []string{typeFile, "s3Compliant", "gcs", "azure", typeKopia}

// secretKeys are the keys that a credential secret of a type may have. Nil: any.
var secretKeys = map[string][]string{
	"secrets.kanister.io/aws": {"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "role"},
	"secrets.kanister.io/azure": {"azure_storage_account_id", "azure_storage_key", "azure_storage_environment",
		"azure_federated_identity", "azure_sas_token", "azure_tenant_id", "azure_client_id", "azure_client_secret"},
	"secrets.kanister.io/gcp":       {"gcp_project_id", "service-account.json"},
	"secrets.kanister.io/filestore": nil,
}

// Profile reads a Profile and resolves its credential. A location of type file needs none.
func (s *Source) Profile(ctx context.Context, namespace, name string) (*template.Profile, error) {
	ref := cluster.Ref{APIVersion: "v1alpha1", Group: "cr.kanister.io", Resource: "profiles", Kind: "Profile", Namespace: namespace, Name: name}
	var p profile
	if err := s.read(ctx, ref, &p); err != nil {
		return nil, err
	}
	out := &template.Profile{Location: p.Location, SkipSSLVerify: p.SkipSSLVerify}
	if !slices.Contains(locationTypes, p.Location.Type) {
		return nil, fmt.Errorf("%w: %s: location.type is %q: want one of %s", ErrInvalid, ref, p.Location.Type, strings.Join(locationTypes, ", "))
	}
	if p.Location.Bucket == "" && p.Location.Type != typeKopia {
		return nil, fmt.Errorf("%w: %s: location.bucket is required for type %s", ErrInvalid, ref, p.Location.Type)
	}
	out.Credential.Type = p.Credential.Type
	var err error
	switch c := p.Credential; {
	case c.Type == "" && p.Location.Type == typeFile:
	case c.Type == "keyPair" && c.KeyPair != nil:
		out.Credential.KeyPair, err = s.keyPair(ctx, c.KeyPair.Secret, c.KeyPair.IDField, c.KeyPair.SecretField)
	case c.Type == "secret" && c.Secret != nil:
		out.Credential.Secret, err = s.credentialSecret(ctx, *c.Secret)
	case c.Type == "kopia" && c.Kopia != nil:
		out.Credential.KopiaServerSecret, err = s.kopiaSecret(ctx, c.Kopia)
	default:
		err = fmt.Errorf("%w: credential.type is %q: want keyPair, secret or kopia, with the field of that name", ErrInvalid, c.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return out, nil
}

func (s *Source) keyPair(ctx context.Context, ref template.ObjectReference, idField, secretField string) (*template.KeyPair, error) {
	if idField == "" || secretField == "" {
		return nil, fmt.Errorf("%w: credential.keyPair needs idField and secretField", ErrInvalid)
	}
	secret, err := s.Secret(ctx, ref.Namespace, ref.Name)
	if err != nil {
		return nil, err
	}
	id, err1 := value(secret, idField)
	key, err2 := value(secret, secretField)
	return &template.KeyPair{ID: id, Secret: key}, errors.Join(err1, err2)
}

func value(s template.Secret, key string) (string, error) {
	v, ok := s.Data[key]
	if !ok || len(v) == 0 {
		return "", fmt.Errorf("%w: secret %q in namespace %q has no key %q, or it is empty", ErrInvalid, s.Name, s.Namespace, key)
	}
	return string(v), nil
}

func (s *Source) credentialSecret(ctx context.Context, ref template.ObjectReference) (*template.Secret, error) {
	secret, err := s.Secret(ctx, ref.Namespace, ref.Name)
	if err != nil {
		return nil, err
	}
	allowed, ok := secretKeys[secret.Type]
	if !ok {
		return nil, fmt.Errorf("%w: secret %q in namespace %q has type %q, which is no credential", ErrInvalid, ref.Name, ref.Namespace, secret.Type)
	}
	for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
		if allowed != nil && !slices.Contains(allowed, key) {
			return nil, fmt.Errorf("%w: secret %q in namespace %q of type %q has a key %q; it may have %s",
				ErrInvalid, ref.Name, ref.Namespace, secret.Type, key, strings.Join(allowed, ", "))
		}
	}
	return &secret, nil
}

func (s *Source) kopiaSecret(ctx context.Context, k *kopia) (*template.KopiaServerSecret, error) {
	read := func(what string, of *keyOf) (string, error) {
		if of == nil || of.Secret == nil || of.Key == "" {
			return "", fmt.Errorf("%w: credential.kopiaServerSecret.%s needs a key and a secret", ErrInvalid, what)
		}
		secret, err := s.Secret(ctx, of.Secret.Namespace, of.Secret.Name)
		if err != nil {
			return "", err
		}
		return value(secret, of.Key)
	}
	password, err := read("userPassphrase", k.UserPassphrase)
	if err != nil {
		return nil, err
	}
	cert, err := read("tlsCert", k.TLSCert)
	if err != nil {
		return nil, err
	}
	if block, rest := pem.Decode([]byte(cert)); block == nil || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("%w: credential.kopiaServerSecret.tlsCert must be one PEM block", ErrInvalid)
	}
	return &template.KopiaServerSecret{Username: k.Username, Hostname: k.Hostname, Password: password, Cert: cert, ConnectOptions: k.ConnectOptions}, nil
}
