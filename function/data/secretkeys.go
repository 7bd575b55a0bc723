package data

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

const (
	secretsPrefix = "davit-repository-"
	// secretKey is the field of the secret that holds the password.
	secretKey = "password"
	// placeNote is the annotation that says which repository the secret is of.
	placeNote = "davit.io/repository"
)

// SecretKeys is a KeyStore of Kubernetes Secrets: one for each repository, named davit-repository- and a hash of where the repository is, with the field
// password. Nothing ever changes or deletes them. Who may read them can read the backups, and without them nobody can: keep a copy outside of the cluster.
func SecretKeys(objects cluster.Objects, namespace string) KeyStore {
	return &secretKeys{objects, namespace}
}

type secretKeys struct {
	objects   cluster.Objects
	namespace string
}

func secretName(repository string) string {
	sum := sha256.Sum256([]byte(repository))
	return secretsPrefix + hex.EncodeToString(sum[:8])
}

// Key reads the secret.
func (s *secretKeys) Key(ctx context.Context, repository string) (function.Secret, error) {
	ref := cluster.Ref{APIVersion: "v1", Resource: "secrets", Namespace: s.namespace, Name: secretName(repository)}
	object, err := s.objects.Get(ctx, ref)
	if errors.Is(err, cluster.ErrNotFound) {
		return function.Secret{}, nil
	}
	if err != nil {
		return function.Secret{}, err
	}
	metadata, _ := object["metadata"].(map[string]any)
	notes, _ := metadata["annotations"].(map[string]any)
	if of, _ := notes[placeNote].(string); of != repository {
		return function.Secret{}, function.Permanent(fmt.Errorf("secret %s/%s is of the repository %q, not of %q: move it out of the way", ref.Namespace, ref.Name, of, repository))
	}
	data, _ := object["data"].(map[string]any)
	text, _ := data[secretKey].(string)
	password, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(password) == 0 {
		return function.Secret{}, function.Permanent(fmt.Errorf("secret %s/%s has no field %s that can be read", ref.Namespace, ref.Name, secretKey))
	}
	return function.NewSecret(string(password)), nil
}

// Keep creates the secret, or reads the one that is there.
func (s *secretKeys) Keep(ctx context.Context, repository string, password function.Secret) (function.Secret, error) {
	manifest := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata": map[string]any{
			"name": secretName(repository), "namespace": s.namespace,
			"labels": map[string]any{"createdBy": "davit"}, "annotations": map[string]any{placeNote: repository},
		},
		"data": map[string]any{secretKey: base64.StdEncoding.EncodeToString([]byte(password.Reveal()))},
	}
	_, err := s.objects.Create(ctx, manifest, s.namespace, secretName(repository))
	if err != nil && !errors.Is(err, cluster.ErrExists) {
		return function.Secret{}, err
	}
	return s.Key(ctx, repository)
}
