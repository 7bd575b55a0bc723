package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/examples/operator-embed/journal"
)

var key = client.ObjectKey{Namespace: "shop", Name: "backup-1"}

// patchFunc stands between the journal and the server.
type patchFunc func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch) error

func pass(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch) error {
	return c.Patch(ctx, obj, p)
}

// server is a Kubernetes API whose patches go through what the test says at the moment.
type server struct {
	client.Client
	patch patchFunc
}

func newServer(t *testing.T) *server {
	s := &server{patch: pass}
	s.Client = fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch, _ ...client.PatchOption) error {
			return s.patch(ctx, c, obj, p)
		},
	}).Build()
	require.NoError(t, journal.Create(t.Context(), s, key, map[string]string{"for": "b"}))
	return s
}

func (s *server) open(t *testing.T) *journal.Journal {
	t.Helper()
	j, err := journal.Open(t.Context(), s, key, nil)
	require.NoError(t, err)
	return j
}

// stored is what the server has.
func (s *server) stored(t *testing.T) []engine.Event {
	t.Helper()
	view, err := journal.Read(t.Context(), s, key)
	require.NoError(t, err)
	events, err := view.Events(t.Context())
	require.NoError(t, err)
	return events
}

func event(seq int) engine.Event {
	return engine.Event{Seq: seq, Kind: engine.PhaseFailed, Time: time.Unix(int64(seq), 0).UTC()}
}

func TestKeepsEventsInOrder(t *testing.T) {
	s := newServer(t)
	j := s.open(t)
	for seq := 1; seq <= 12; seq++ {
		require.NoError(t, j.Append(t.Context(), event(seq)))
	}
	want, err := j.Events(t.Context())
	require.NoError(t, err)
	require.Len(t, want, 12)
	require.Equal(t, want, s.stored(t))
	again, err := s.open(t).Events(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, again)
	require.ErrorIs(t, j.Append(t.Context(), event(14)), journal.ErrDamaged, "a gap")
}

func TestCreateKeepsWhatIsThere(t *testing.T) {
	s := newServer(t)
	require.NoError(t, s.open(t).Append(t.Context(), event(1)))
	require.NoError(t, journal.Create(t.Context(), s, key, nil))
	require.Len(t, s.stored(t), 1)
	object := &corev1.ConfigMap{}
	require.NoError(t, s.Get(t.Context(), key, object))
	require.Equal(t, "b", object.Annotations["for"])
}

func TestHandOver(t *testing.T) {
	s := newServer(t)
	require.NoError(t, s.open(t).Append(t.Context(), event(1)))
	object := &corev1.ConfigMap{}
	require.NoError(t, s.Get(t.Context(), key, object))
	require.Empty(t, object.OwnerReferences)
	owner := metav1.OwnerReference{APIVersion: "example.davit.io/v1alpha1", Kind: "Backup", Name: "b", UID: "1"}
	for range 2 {
		require.NoError(t, journal.HandOver(t.Context(), s, key, owner))
		require.NoError(t, s.Get(t.Context(), key, object))
		require.Equal(t, []metav1.OwnerReference{owner}, object.OwnerReferences)
	}
	require.Len(t, s.stored(t), 1)
	require.NoError(t, journal.HandOver(t.Context(), s, client.ObjectKey{Namespace: "shop", Name: "absent"}, owner))
}

func TestAnEarlierWriterComesTooLate(t *testing.T) {
	s := newServer(t)
	first := s.open(t)
	require.NoError(t, first.Append(t.Context(), event(1)))
	second := s.open(t)
	require.ErrorIs(t, first.Append(t.Context(), event(2)), engine.ErrBusy)
	require.Len(t, s.stored(t), 1, "nothing of a refused event is stored")
	require.NoError(t, second.Append(t.Context(), event(2)))
	require.ErrorIs(t, first.Append(t.Context(), event(2)), engine.ErrBusy, "even the same event")
}

// A writer that is slow: its patch reaches the server after another has taken the journal over.
func TestAPatchOnItsWayIsRefused(t *testing.T) {
	s := newServer(t)
	first := s.open(t)
	s.patch = func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch) error {
		s.patch = pass
		s.open(t)
		return c.Patch(ctx, obj, p)
	}
	require.ErrorIs(t, first.Append(t.Context(), event(1)), engine.ErrBusy)
	require.Empty(t, s.stored(t))
}

// An append that reaches the server between the reading and the taking over is not lost.
func TestOpenSeesTheLastAppend(t *testing.T) {
	s := newServer(t)
	first := s.open(t)
	s.patch = func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch) error {
		s.patch = pass
		require.NoError(t, first.Append(ctx, event(1)))
		return c.Patch(ctx, obj, p)
	}
	events, err := s.open(t).Events(t.Context())
	require.NoError(t, err)
	require.Len(t, events, 1)
}

func TestALabelIsNoConflict(t *testing.T) {
	s := newServer(t)
	j := s.open(t)
	object := &corev1.ConfigMap{}
	require.NoError(t, s.Get(t.Context(), key, object))
	object.Labels = map[string]string{"team": "storage"}
	require.NoError(t, s.Update(t.Context(), object))
	require.NoError(t, j.Append(t.Context(), event(1)))
	require.Len(t, s.stored(t), 1)
}

func TestAStrangersEventIsDamage(t *testing.T) {
	s := newServer(t)
	j := s.open(t)
	object := &corev1.ConfigMap{}
	require.NoError(t, s.Get(t.Context(), key, object))
	object.Data = map[string]string{"000001": `{"seq":1}`}
	require.NoError(t, s.Update(t.Context(), object))
	require.ErrorIs(t, j.Append(t.Context(), event(1)), journal.ErrDamaged)
}

func TestALostAnswerIsNoLostEvent(t *testing.T) {
	s := newServer(t)
	j := s.open(t)
	tries := 0
	s.patch = func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch) error {
		tries++
		err := c.Patch(ctx, obj, p)
		if tries == 1 && err == nil {
			return errors.New("connection reset by peer")
		}
		return err
	}
	require.NoError(t, j.Append(t.Context(), event(1)))
	require.NoError(t, j.Append(t.Context(), event(2)))
	require.Equal(t, 3, tries)
	require.Len(t, s.stored(t), 2)
}

func TestPatience(t *testing.T) {
	s := newServer(t)
	synctest.Test(t, func(t *testing.T) {
		j := s.open(t)
		var down time.Duration
		begin := time.Now()
		s.patch = func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch) error {
			if time.Since(begin) < down {
				return apierrors.NewServiceUnavailable("away")
			}
			return c.Patch(ctx, obj, p)
		}
		down = time.Minute
		require.NoError(t, j.Append(t.Context(), event(1)), "a minute is waited out")

		begin, down = time.Now(), time.Hour
		err := j.Append(t.Context(), event(2))
		require.ErrorContains(t, err, "given up after 2m0s")
		require.True(t, apierrors.IsServiceUnavailable(err))
		require.Equal(t, 2*time.Minute, time.Since(begin))
		require.Len(t, s.stored(t), 1)
	})
}

func TestARefusalIsNotTriedAgain(t *testing.T) {
	s := newServer(t)
	j := s.open(t)
	tries := 0
	s.patch = func(context.Context, client.WithWatch, client.Object, client.Patch) error {
		tries++
		return apierrors.NewForbidden(corev1.Resource("configmaps"), key.Name, nil)
	}
	require.True(t, apierrors.IsForbidden(j.Append(t.Context(), event(1))))
	require.Equal(t, 1, tries)
}

func TestGone(t *testing.T) {
	s := newServer(t)
	j := s.open(t)
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: key.Name, Namespace: key.Namespace}}
	require.NoError(t, s.Delete(t.Context(), object))
	require.ErrorIs(t, j.Append(t.Context(), event(1)), journal.ErrGone)
	_, err := journal.Open(t.Context(), s, key, nil)
	require.ErrorIs(t, err, journal.ErrGone)
	_, err = journal.Read(t.Context(), s, key)
	require.ErrorIs(t, err, journal.ErrGone)
}

func TestDamageIsNamed(t *testing.T) {
	for name, data := range map[string]map[string]string{
		"a missing event": {"000002": `{"seq":2}`},
		"a moved event":   {"000001": `{"seq":2}`},
		"a foreign key":   {"a": `{"seq":1}`},
		"no event":        {"000001": `hello`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			object := &corev1.ConfigMap{}
			require.NoError(t, s.Get(t.Context(), key, object))
			object.Data = data
			require.NoError(t, s.Update(t.Context(), object))
			_, err := journal.Open(t.Context(), s, key, nil)
			require.ErrorIs(t, err, journal.ErrDamaged)
			require.ErrorContains(t, err, "shop/backup-1")
		})
	}
}

// sized is an event that takes so many bytes as JSON.
func sized(t *testing.T, e engine.Event, size int) engine.Event {
	t.Helper()
	e.Error = &engine.Failure{Message: "x"}
	data, err := json.Marshal(e)
	require.NoError(t, err)
	e.Error.Message = strings.Repeat("x", size-len(data)+1)
	return e
}

func TestSize(t *testing.T) {
	start := func(seq, phase, attempt int) engine.Event {
		return engine.Event{Seq: seq, Kind: engine.PhaseStarted, Phase: phase, Attempt: attempt}
	}
	s := newServer(t)
	j := s.open(t)
	const room = journal.MaxSize - journal.Reserve
	require.ErrorIs(t, j.Append(t.Context(), sized(t, start(1, 0, 1), room+1)), journal.ErrFull)
	require.Empty(t, s.stored(t))
	require.NoError(t, j.Append(t.Context(), sized(t, start(1, 0, 1), room)), "the last byte")

	err := j.Append(t.Context(), start(2, 1, 1))
	require.ErrorIs(t, err, journal.ErrFull)
	require.ErrorContains(t, err, "config map shop/backup-1 holds 655360 bytes")
	require.NoError(t, j.Append(t.Context(), event(2)), "what ends a phase fits")
	require.NoError(t, j.Append(t.Context(), start(3, -1, 1)), "and the deferred phase")
	require.ErrorIs(t, j.Append(t.Context(), start(4, -1, 2)), journal.ErrFull, "but not again and again")
	require.ErrorIs(t, j.Append(t.Context(), sized(t, event(4), journal.Reserve)), journal.ErrFull)
	require.Len(t, s.stored(t), 3)
	require.ErrorIs(t, s.open(t).Append(t.Context(), start(4, 1, 1)), journal.ErrFull, "the size is known to the next writer too")
}
