package csi

import (
	"os"
	"slices"
	"strings"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/davit-project/davit/snapshot"
)

// Parameters of a snapshot class that name the secret of its driver. The secret for listing, csi.storage.k8s.io/snapshotter-list-secret-name and -namespace, is found
// by the csi-snapshotter through the class of the content, and only its name may be a template. Source: external-snapshotter, pkg/utils/util.go.
const (
	secretName          = "csi.storage.k8s.io/snapshotter-secret-name"
	secretNamespace     = "csi.storage.k8s.io/snapshotter-secret-namespace"
	listSecretName      = "csi.storage.k8s.io/snapshotter-list-secret-name"
	listSecretNamespace = "csi.storage.k8s.io/snapshotter-list-secret-namespace"
)

// Annotations of a content that name the secret with which its snapshot is deleted.
const (
	deletionSecretName      = "snapshot.storage.kubernetes.io/deletion-secret-name"
	deletionSecretNamespace = "snapshot.storage.kubernetes.io/deletion-secret-namespace"
)

// deletionSecret returns the annotations that a content of this class needs, as the snapshot-controller gives them to those it makes; none when the class has no secret.
func deletionSecret(class *v1.VolumeSnapshotClass, content string, ref snapshot.Ref) (map[string]string, error) {
	namespaceTokens := map[string]string{"volumesnapshotcontent.name": content, "volumesnapshot.namespace": ref.Namespace}
	nameTokens := map[string]string{"volumesnapshotcontent.name": content, "volumesnapshot.namespace": ref.Namespace, "volumesnapshot.name": ref.Name}
	name, namespace, err := secretOf(class, secretName, secretNamespace, nameTokens, namespaceTokens)
	if err != nil || name == "" {
		return nil, err
	}
	return map[string]string{deletionSecretName: name, deletionSecretNamespace: namespace}, nil
}

// checkListSecret refuses a class whose secret for listing cannot be found.
func checkListSecret(class *v1.VolumeSnapshotClass, content string) error {
	tokens := map[string]string{"volumesnapshotcontent.name": content}
	_, _, err := secretOf(class, listSecretName, listSecretNamespace, tokens, tokens)
	return err
}

// secretOf resolves the pair of parameters that names a secret; both are "" when the class has neither.
func secretOf(class *v1.VolumeSnapshotClass, nameKey, namespaceKey string, nameTokens, namespaceTokens map[string]string) (name, namespace string, err error) {
	nameTemplate, hasName := class.Parameters[nameKey]
	namespaceTemplate, hasNamespace := class.Parameters[namespaceKey]
	switch {
	case !hasName && !hasNamespace:
		return "", "", nil
	case nameTemplate == "" || namespaceTemplate == "":
		return "", "", invalid("snapshot class %q: parameters %s and %s go together, and neither may be empty", class.Name, nameKey, namespaceKey)
	}
	if namespace, err = resolve(class, namespaceKey, namespaceTemplate, namespaceTokens); err != nil {
		return "", "", err
	}
	if faults := validation.IsDNS1123Label(namespace); len(faults) > 0 {
		return "", "", invalid("snapshot class %q: parameter %s gives %q, which is no name of a namespace", class.Name, namespaceKey, namespace)
	}
	if name, err = resolve(class, nameKey, nameTemplate, nameTokens); err != nil {
		return "", "", err
	}
	if faults := validation.IsDNS1123Subdomain(name); len(faults) > 0 {
		return "", "", invalid("snapshot class %q: parameter %s gives %q, which is no name of a secret", class.Name, nameKey, name)
	}
	return name, namespace, nil
}

// resolve replaces ${token}.
func resolve(class *v1.VolumeSnapshotClass, key, template string, tokens map[string]string) (string, error) {
	var unknown []string
	text := os.Expand(template, func(token string) string {
		value, ok := tokens[token]
		if !ok && !slices.Contains(unknown, token) {
			unknown = append(unknown, token)
		}
		return value
	})
	if len(unknown) > 0 {
		return "", invalid("snapshot class %q: parameter %s is %q; it may not have %s there", class.Name, key, template, strings.Join(unknown, ", "))
	}
	return text, nil
}
