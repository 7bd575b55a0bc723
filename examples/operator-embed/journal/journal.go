// Package journal keeps the journal of a Davit run in a ConfigMap: a key for each event.
//
// An append sends the new event alone, as a patch that holds only for the version of the object that this writer left behind. So two writers cannot
// both append: the second gets a conflict. [Open] takes the journal over by writing a name of its own to the object, which makes every
// earlier writer one that comes too late. That, and not the leader election of the operator, is what keeps a run from being executed twice: a leader
// may be paused, lose its lease, and go on for a moment without knowing.
//
// It holds what was captured at the beginning of the run and what phases put out, with references in place of the secrets that the run knows: whoever may read
// the ConfigMaps of the namespace reads that.
//
// # Owners
//
// Nobody owns the journal of a run that is under way. Were it the Backup, kubectl delete --cascade=foreground would remove the journal at once, and the
// pods of the run too, deferred phase and all. The journal itself owns the pods ([Journal.Reference]): what nobody can carry on any more goes. A run that has ended is
// handed over ([HandOver]), and goes when the Backup goes.
//
// # Size
//
// Kubernetes stores 1 MiB in a ConfigMap. The last [Reserve] bytes are kept for events that end something: a run whose journal is full
// begins no other phase, and can still be cancelled, cleaned up after and ended.
//
// # Errors
//
// [ErrFull], [ErrGone], and engine.ErrBusy when another process has taken the journal over. A server that cannot be reached, or does not answer in
// time, is asked again for [Options].Patience; what is still unknown after that is settled by whoever opens the journal next.
//
// # Concurrency
//
// A Journal is safe for concurrent use.
package journal

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/davit-project/davit/engine"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// MaxSize is what Kubernetes stores in a ConfigMap, in bytes, and Reserve the part of it that only events get that end something: the outcome of a
// phase that runs, the first attempt of the deferred phase and its outcome, the artifacts, what is left over. An engine whose journal this is gets
// MaxOutput as its Options.MaxOutput, so that they fit.
const (
	MaxSize   = corev1.MaxSecretSize
	Reserve   = 384 << 10
	MaxOutput = 64 << 10
)

// writerAnnotation holds the name that the last Open chose.
const writerAnnotation = "example.davit.io/journal-writer"

// Errors of a journal.
var (
	// ErrFull means that there is no room for the event. A run that has begun can be cancelled then.
	ErrFull = errors.New("the journal is full")
	// ErrGone means that the ConfigMap does not exist: somebody deleted it, or Create was not called.
	ErrGone = errors.New("the journal does not exist")
	// ErrDamaged means that the ConfigMap does not hold the events of a run.
	ErrDamaged = errors.New("the journal is damaged")
)

// Options of a journal. Nil and zero are ready to use.
type Options struct {
	// Patience is how long Append tries while the server cannot be reached or is overloaded. Default 2m.
	Patience time.Duration
}

// Journal is the journal of one run, opened for writing.
type Journal struct {
	client   client.Client
	key      client.ObjectKey
	writer   string
	patience time.Duration

	mu      sync.Mutex
	uid     types.UID
	version string
	size    int
	events  []engine.Event
}

var _ engine.Journal = (*Journal)(nil)

// Create makes an empty journal with these annotations; one that is there already stays as it is.
func Create(ctx context.Context, c client.Client, key client.ObjectKey, annotations map[string]string) error {
	err := c.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: key.Name, Namespace: key.Namespace, Annotations: annotations}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create the journal, config map %s: %w", key, err)
	}
	return nil
}

// HandOver gives the journal of a run that has ended to an owner. It is garbage when the owner does not exist any more, and an absent journal is no error.
func HandOver(ctx context.Context, c client.Client, key client.ObjectKey, owner metav1.OwnerReference) error {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": []metav1.OwnerReference{owner}}})
	if err != nil {
		return err
	}
	if err := c.Patch(ctx, metaOf(key), client.RawPatch(types.MergePatchType, body)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("hand over the journal, config map %s: %w", key, err)
	}
	return nil
}

// Read returns the events as they are now, also those of a run that is being executed, for whoever only looks. The reader must not be a cache.
func Read(ctx context.Context, c client.Reader, key client.ObjectKey) (engine.Journal, error) {
	object, err := get(ctx, c, key)
	if err != nil {
		return nil, err
	}
	events, err := decode(object)
	if err != nil {
		return nil, err
	}
	view := &engine.MemoryJournal{}
	for _, e := range events {
		if err := view.Append(ctx, e); err != nil {
			return nil, err
		}
	}
	return view, nil
}

// Open takes the journal over: whoever opened it before can append nothing from now on. The client must not read from a cache.
func Open(ctx context.Context, c client.Client, key client.ObjectKey, opts *Options) (*Journal, error) {
	j := &Journal{client: c, key: key, writer: rand.Text(), patience: 2 * time.Minute}
	if opts != nil {
		j.patience = cmp.Or(opts.Patience, j.patience)
	}
	for {
		object, err := get(ctx, c, key)
		if err != nil {
			return nil, err
		}
		if j.events, err = decode(object); err != nil {
			return nil, err
		}
		j.size = size(object)
		j.uid, j.version = object.UID, object.ResourceVersion
		err = j.patch(ctx, map[string]any{"metadata": map[string]any{"annotations": map[string]string{writerAnnotation: j.writer}}})
		switch {
		case err == nil:
			return j, nil
		case !apierrors.IsConflict(err):
			return nil, fmt.Errorf("take over the journal, config map %s: %w", key, err)
		}
	}
}

// Reference is for what the run makes, as its owner.
func (j *Journal) Reference() metav1.OwnerReference {
	isController := true
	return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: j.key.Name, UID: j.uid, Controller: &isController}
}

// Events returns the events that were there when the journal was opened, and those appended since.
func (j *Journal) Events(context.Context) ([]engine.Event, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events), nil
}

// Append stores the event.
func (j *Journal) Append(ctx context.Context, e engine.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if want := len(j.events) + 1; e.Seq != want {
		return fmt.Errorf("%w: config map %s: event %d comes after event %d", ErrDamaged, j.key, e.Seq, want-1)
	}
	limit := MaxSize
	if begins(e) {
		limit -= Reserve
	}
	if j.size+len(data) > limit {
		return fmt.Errorf("%w: config map %s holds %d bytes, and the event (%s) takes %d: at most %d are allowed here",
			ErrFull, j.key, j.size, e.Kind, len(data), limit)
	}
	if err := j.store(ctx, eventKey(e.Seq), string(data)); err != nil {
		return fmt.Errorf("append to the journal, config map %s: %w", j.key, err)
	}
	j.size += len(data)
	j.events = append(j.events, e)
	return nil
}

// begins tells whether the event begins something that need not be: anything but the first attempt of the deferred phase.
func begins(e engine.Event) bool {
	const deferred = -1
	switch e.Kind {
	case engine.RunStarted:
		return true
	case engine.PhaseStarted:
		return e.Phase != deferred || e.Attempt > 1
	default:
		return false
	}
}

// eventKey is the key of an event: in the order of the events.
func eventKey(seq int) string { return fmt.Sprintf("%06d", seq) }

func size(object *corev1.ConfigMap) int {
	n := 0
	for _, value := range object.Data {
		n += len(value)
	}
	return n
}

// decode returns the events of a ConfigMap in order.
func decode(object *corev1.ConfigMap) ([]engine.Event, error) {
	var events []engine.Event
	for i, key := range slices.Sorted(maps.Keys(object.Data)) {
		var e engine.Event
		if err := json.Unmarshal([]byte(object.Data[key]), &e); err != nil {
			return nil, fmt.Errorf("%w: config map %s/%s, key %q: %w", ErrDamaged, object.Namespace, object.Name, key, err)
		}
		if e.Seq != i+1 || key != eventKey(e.Seq) {
			return nil, fmt.Errorf("%w: config map %s/%s: key %q holds event %d where event %d should be",
				ErrDamaged, object.Namespace, object.Name, key, e.Seq, i+1)
		}
		events = append(events, e)
	}
	return events, nil
}

func get(ctx context.Context, c client.Reader, key client.ObjectKey) (*corev1.ConfigMap, error) {
	object := &corev1.ConfigMap{}
	if err := c.Get(ctx, key, object); apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: config map %s", ErrGone, key)
	} else if err != nil {
		return nil, fmt.Errorf("read the journal, config map %s: %w", key, err)
	}
	return object, nil
}

// metaOf is what a patch is applied to whose answer is wanted as metadata alone.
func metaOf(key client.ObjectKey) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: key.Name, Namespace: key.Namespace},
	}
}

// patch changes the object if it is still the version that is known, and notes the new version. The answer is metadata alone: the events are here already.
func (j *Journal) patch(ctx context.Context, change map[string]any) error {
	meta, _ := change["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		change["metadata"] = meta
	}
	meta["resourceVersion"] = j.version
	body, err := json.Marshal(change)
	if err != nil {
		return err
	}
	object := metaOf(j.key)
	if err := j.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, body)); err != nil {
		return err
	}
	j.version = object.ResourceVersion
	return nil
}
