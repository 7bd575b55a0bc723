package controller

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/davit-project/davit/function"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maxEntry bounds one entry of the catalogue, in bytes: a ConfigMap has room for 1 MiB.
const maxEntry = 4 << 10

type recordArgs struct {
	Entry map[string]string `arg:"entry,nonempty" doc:"What to keep about the backup: where it is, how large."`
}

type recorded struct {
	Catalogue string `out:"catalogue" doc:"Name of the ConfigMap that holds the entry."`
	Key       string `out:"key" doc:"Key of the entry, which is the id of the run."`
}

// RecordBackup is a function for blueprints that writes an entry about the backup to a ConfigMap, which outlives the Backup. The client is all it works on, and where
// it writes is not for a blueprint to say. The key is the run's: a second call writes the same once more, so an attempt that a dead operator began is simply
// made again (function.Idempotent).
func RecordBackup(c client.Client, to client.ObjectKey) function.Func {
	return function.Define("RecordBackup", "Writes an entry about the backup to the catalogue of its namespace.",
		func(ctx context.Context, call *function.Call, in recordArgs) (recorded, error) {
			entry := map[string]string{}
			for key, value := range in.Entry {
				entry[key] = call.Mask(value)
			}
			text, err := json.Marshal(entry)
			if err != nil {
				return recorded{}, err
			}
			if len(text) > maxEntry {
				return recorded{}, function.Permanent(fmt.Errorf("the entry takes %d bytes, at most %d are kept", len(text), maxEntry))
			}
			return recorded{Catalogue: to.Name, Key: call.Run}, record(ctx, c, to, map[string]string{call.Run: string(text)})
		},
		&function.Options{
			Replay: function.Idempotent,
			Rules: func(map[string]any) []function.Rule {
				return []function.Rule{
					{Namespace: to.Namespace, Resource: "configmaps", Names: []string{to.Name}, Verbs: []string{"patch"}},
					{Namespace: to.Namespace, Resource: "configmaps", Verbs: []string{"create"}}, // which no name can restrict
				}
			},
			Example: `func: RecordBackup
name: record
args:
  entry:
    database: "{{ .StatefulSet.Name }}"
    time: "{{ .Time }}"
`})
}

// record sets one key. Other keys, which other backups may be writing at the same time, stay as they are.
func record(ctx context.Context, c client.Client, to client.ObjectKey, data map[string]string) error {
	body, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return err
	}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: to.Name, Namespace: to.Namespace}}
	for range 2 { // the second time for one that was created meanwhile
		err = c.Patch(ctx, object, client.RawPatch(types.MergePatchType, body))
		if !apierrors.IsNotFound(err) {
			break
		}
		object.Data = data
		if err = c.Create(ctx, object); !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("write to the catalogue, config map %s: %w", to, err)
	}
	return nil
}
