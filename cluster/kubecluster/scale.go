package kubecluster

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-project/davit/cluster"
)

var _ cluster.Scaler = (*Cluster)(nil)

// scaledBy is the annotation that holds a scaleMark.
const scaledBy = "davit.io/scale"

// scaleMark remembers who scaled a workload, and from how many replicas.
type scaleMark struct {
	Token    string `json:"token"`
	Original int32  `json:"original"`
}

// conflicts is how many changes of others a change of ours gives way to before it gives up.
const conflicts = 20

// Scale sets the number of replicas; annotation davit.io/scale remembers the token and the original number, and is set by the same request. An autoscaler
// of the workload may change the number again. The verbs are get and patch on the workload.
func (c *Cluster) Scale(ctx context.Context, w cluster.Workload, replicas int32, token string) (int32, error) {
	ref, err := workloadRef(w)
	if err != nil {
		return 0, err
	}
	if replicas < 0 || token == "" {
		return 0, fmt.Errorf("%w: %s: scale to %d replicas with token %q", cluster.ErrInvalid, w, replicas, token)
	}
	for p, try := newPace(), 1; ; try++ {
		original, err := c.scale(ctx, ref, replicas, token)
		if err == nil || !apierrors.IsConflict(err) || try == conflicts {
			return original, err
		}
		if err := p.again(ctx, nil); err != nil {
			return 0, fmt.Errorf("patch %s: %w", ref, err)
		}
	}
}

// scale reads and changes the workload once.
func (c *Cluster) scale(ctx context.Context, ref cluster.Ref, replicas int32, token string) (original int32, err error) {
	w, err := c.workload(ctx, ref)
	if err != nil {
		return 0, err
	}
	mark, repeated, err := w.mark(token)
	if err != nil || repeated && w.replicas() == replicas {
		return mark.Original, err
	}
	return mark.Original, requestError(ctx, "patch", ref, c.patchScale(ctx, w, replicas, mark))
}

// mark is what the annotation shall hold, and whether it holds it: the original number is that before the first call with the token.
func (w *workload) mark(token string) (mark scaleMark, repeated bool, err error) {
	if text, ok := w.Metadata.Annotations[scaledBy]; ok {
		if err := json.Unmarshal([]byte(text), &mark); err != nil || mark.Token == "" || mark.Original < 0 {
			return mark, false, fmt.Errorf("%w: annotation %s of %s cannot be read, so the original number of replicas may be lost: remove the annotation",
				cluster.ErrInvalid, scaledBy, w.ref)
		}
		if mark.Token == token {
			return mark, true, nil
		}
	}
	return scaleMark{token, w.replicas()}, false, nil
}

// patchScale changes the workload as it was read: where it has changed since, the server reports a conflict.
func (c *Cluster) patchScale(ctx context.Context, w *workload, replicas int32, mark scaleMark) error {
	text, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": w.Metadata.ResourceVersion, "annotations": map[string]any{scaledBy: string(text)}},
		"spec":     map[string]any{"replicas": replicas},
	})
	if err != nil {
		return err
	}
	_, err = c.client(w.ref).Patch(ctx, w.ref.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return err
}
