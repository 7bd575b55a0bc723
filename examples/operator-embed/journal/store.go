package journal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/davit-project/davit/engine"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Waits between tries.
const (
	firstWait = 100 * time.Millisecond
	maxWait   = 5 * time.Second
)

// store writes one key. An answer that was lost is no trouble: the next try meets a conflict, and finds what was written.
func (j *Journal) store(ctx context.Context, key, value string) error {
	ctx, cancel := context.WithTimeout(ctx, j.patience)
	defer cancel()
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		err := j.patch(ctx, map[string]any{"data": map[string]string{key: value}})
		if apierrors.IsConflict(err) {
			var stored bool
			if stored, err = j.settle(ctx, key, value); err == nil {
				if stored {
					return nil
				}
				continue
			}
		}
		switch {
		case err == nil:
			return nil
		case apierrors.IsNotFound(err):
			return fmt.Errorf("%w: %w", ErrGone, err)
		case !passing(err):
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("given up after %s: %w", j.patience, err)
		}
	}
}

// settle says after a conflict whether the event is stored. A conflict has three reasons: the event was stored and the answer lost; somebody labelled or
// annotated the object, which is harmless; somebody else has the journal.
func (j *Journal) settle(ctx context.Context, key, value string) (stored bool, err error) {
	object, err := get(ctx, j.client, j.key)
	if err != nil {
		return false, err
	}
	if object.Annotations[writerAnnotation] != j.writer {
		return false, fmt.Errorf("%w: the journal was taken over", engine.ErrBusy)
	}
	if have, ok := object.Data[key]; ok {
		if have != value {
			return false, fmt.Errorf("%w: key %q holds something else", ErrDamaged, key)
		}
		j.version = object.ResourceVersion
		return true, nil
	}
	if size(object) != j.size {
		return false, fmt.Errorf("%w: it holds %d bytes where %d were written", ErrDamaged, size(object), j.size)
	}
	j.version = object.ResourceVersion
	return false, nil
}

// passing tells whether it makes sense to try again: the server did not answer, or not with a decision.
func passing(err error) bool {
	if errors.Is(err, engine.ErrBusy) || errors.Is(err, ErrGone) || errors.Is(err, ErrDamaged) {
		return false
	}
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		return true
	}
	code := status.Status().Code
	return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
}
