package kubecluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	testclient "k8s.io/client-go/testing"

	"github.com/davit-project/davit/cluster"
)

// server stands in for an API server: client-go's store of objects, with faults and with logs.
type server struct {
	*fake.Clientset
	// logs is what the log of any container is.
	logs func(ctx context.Context, o *corev1.PodLogOptions) (io.ReadCloser, error)
}

func (s *server) CoreV1() typedcorev1.CoreV1Interface { return &coreV1{s.Clientset.CoreV1(), s} }

type coreV1 struct {
	typedcorev1.CoreV1Interface
	s *server
}

func (c *coreV1) Pods(namespace string) typedcorev1.PodInterface {
	return &pods{c.CoreV1Interface.Pods(namespace), c.s}
}

type pods struct {
	typedcorev1.PodInterface
	s *server
}

func (p *pods) GetLogs(_ string, o *corev1.PodLogOptions) *rest.Request {
	client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		stream, err := p.s.logs(r.Context(), o)
		if err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: http.StatusOK, Body: stream}, nil
	})}
	content := rest.ClientContentConfig{GroupVersion: corev1.SchemeGroupVersion, Negotiator: runtime.NewClientNegotiator(scheme.Codecs.WithoutConversion(), corev1.SchemeGroupVersion)}
	return rest.NewRequestWithClient(nil, "", content, client).Verb(http.MethodGet)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var _ kubernetes.Interface = (*server)(nil)

func newServer() *server {
	return &server{Clientset: fake.NewClientset(), logs: func(context.Context, *corev1.PodLogOptions) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("")), nil
	}}
}

// fail makes the first requests of a kind fail.
func (s *server) fail(verb, resource string, times int, err error) {
	var mu sync.Mutex
	fails := func() bool {
		mu.Lock()
		defer mu.Unlock()
		times--
		return times >= 0
	}
	s.PrependReactor(verb, resource, func(testclient.Action) (bool, runtime.Object, error) { return fails(), nil, err })
	if verb == "watch" {
		s.PrependWatchReactor(resource, func(testclient.Action) (bool, watch.Interface, error) { return fails(), nil, err })
	}
}

// always is more often than any test asks.
const always = 1 << 30

// cluster makes a Cluster of the server.
func (s *server) cluster(t *testing.T, log io.Writer) *Cluster {
	t.Helper()
	config := &rest.Config{Host: "http://none"}
	objects, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	c, err := New(Clients{Config: config, Kube: s, Dynamic: objects, Mapper: meta.NewDefaultRESTMapper(nil)}, &Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	return c
}

// set changes the status of the pod.
func (s *server) set(t *testing.T, status corev1.PodStatus) {
	pod, err := s.Tracker().Get(corev1.SchemeGroupVersion.WithResource("pods"), "app", "task")
	require.NoError(t, err)
	now := pod.(*corev1.Pod).DeepCopy()
	now.Status = status
	require.NoError(t, s.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), now, "app"))
}

func running() corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "container", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(second(0))}}}}}
}

func over(phase corev1.PodPhase, code int32, reason, message string) corev1.PodStatus {
	return corev1.PodStatus{Phase: phase, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "container", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			StartedAt: metav1.NewTime(second(0)), ExitCode: code, Reason: reason, Message: message}}}}}
}

// deny is what a server says to who may not.
func deny(verb, resource string) error {
	return apierrors.NewForbidden(corev1.Resource(resource), "task", fmt.Errorf(`User "u" cannot %s resource "%s" in API group "" in the namespace "app"`, verb, resource))
}

var unavailable = apierrors.NewServiceUnavailable("starting")

// drive runs a pod in a bubble. The steps happen one after the other, each once everything waits.
func drive(t *testing.T, s *server, pod cluster.Pod, steps ...func(t *testing.T)) (log string, took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		c := s.cluster(t, &text)
		begun := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			err = c.RunPod(t.Context(), pod)
			took = time.Since(begun)
		}()
		for _, step := range steps {
			time.Sleep(3 * time.Second)
			synctest.Wait()
			step(t)
		}
		<-done
		log = text.String()
	})
	return log, took, err
}

func TestRunPodOutlastsATiredServer(t *testing.T) {
	s := newServer()
	for _, kind := range [][2]string{{"create", "pods"}, {"create", "secrets"}, {"get", "pods"}, {"watch", "pods"}, {"delete", "pods"}} {
		s.fail(kind[0], kind[1], 3, unavailable)
		s.fail(kind[0], kind[1], 1, errors.New("connection refused"))
		s.fail(kind[0], kind[1], 1, apierrors.NewTooManyRequests("slow down", 1))
	}
	s.logs = func(_ context.Context, o *corev1.PodLogOptions) (io.ReadCloser, error) {
		since := time.Time{}
		if o.SinceTime != nil {
			since = o.SinceTime.Time
		}
		return io.NopCloser(bytes.NewReader(render(numbered(3), since))), nil
	}
	pod := task(t, "")
	var out, results bytes.Buffer
	pod.Log, pod.Results, pod.Profile = &out, &results, []byte("{}")
	log, _, err := drive(t, s, pod,
		func(t *testing.T) { time.Sleep(time.Minute); s.set(t, running()) },
		func(t *testing.T) {
			time.Sleep(time.Minute)
			s.set(t, over(corev1.PodSucceeded, 0, "Completed", "result"))
		})
	require.NoError(t, err)
	require.Equal(t, plain(numbered(3)), out.String())
	require.Equal(t, "result", results.String())
	require.Contains(t, log, "a request is repeated")
	secrets, err := s.Clientset.CoreV1().Secrets("app").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, secrets.Items, 1)
	require.Equal(t, []byte("{}"), secrets.Items[0].Data[profileFile])
}

// A request whose answer is lost may have been done.
func TestRunPodAdoptsWhatALostAnswerHasMade(t *testing.T) {
	s := newServer()
	lost := false
	for _, resource := range []string{"pods", "secrets"} {
		first := true
		s.PrependReactor("create", resource, func(a testclient.Action) (bool, runtime.Object, error) {
			if !first {
				return false, nil, nil
			}
			first, lost = false, true
			obj := a.(testclient.CreateAction).GetObject()
			require.NoError(t, s.Tracker().Create(a.GetResource(), obj, "app"))
			return true, nil, io.ErrUnexpectedEOF
		})
	}
	pod := task(t, "")
	pod.Profile = []byte("{}")
	_, _, err := drive(t, s, pod, func(t *testing.T) { s.set(t, over(corev1.PodSucceeded, 0, "Completed", "")) })
	require.NoError(t, err)
	require.True(t, lost)
}

// The host that created a pod may have died before or after it created the secret.
func TestRunPodAdoptsAPodThatWaits(t *testing.T) {
	for _, exists := range []bool{false, true} {
		t.Run(fmt.Sprint("its secret exists: ", exists), func(t *testing.T) {
			s := newServer()
			request := task(t, "")
			request.Profile = []byte("{}")
			w, err := s.cluster(t, io.Discard).wanted(request)
			require.NoError(t, err)
			w.pod.Status.Phase = corev1.PodPending
			require.NoError(t, s.Tracker().Add(w.pod))
			name := profileSecret(w.pod)
			if exists {
				require.NoError(t, s.Tracker().Add(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "app"}}))
			}
			_, _, err = drive(t, s, request, func(t *testing.T) { s.set(t, over(corev1.PodSucceeded, 0, "Completed", "")) })
			require.NoError(t, err)
			_, err = s.Clientset.CoreV1().Secrets("app").Get(t.Context(), name, metav1.GetOptions{})
			require.NoError(t, err)
		})
	}
}

func TestRunPodIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(s *server)
		want    error
		text    string
		within  time.Duration
	}{
		"create":                      {func(s *server) { s.fail("create", "pods", always, deny("create", "pods")) }, cluster.ErrDenied, "create pods app/task: ", 0},
		"get, always":                 {func(s *server) { s.fail("get", "pods", always, deny("get", "pods")) }, cluster.ErrDenied, "get pods app/task: ", time.Minute},
		"secrets":                     {func(s *server) { s.fail("create", "secrets", always, deny("create", "secrets")) }, cluster.ErrDenied, "the secret of its profile: create secrets app/task-", 0},
		"a server that never answers": {func(s *server) { s.fail("create", "pods", always, unavailable) }, nil, "could not be created in 15m0s; the last attempt: ", 16 * time.Minute},
		"a secret of somebody else": {func(s *server) {
			s.fail("create", "secrets", 1, apierrors.NewAlreadyExists(corev1.Resource("secrets"), "x"))
		}, cluster.ErrInvalid, "the secret of its profile is somebody else's", 0},
		"a pod that has just gone": {func(s *server) {
			s.fail("create", "pods", 1, apierrors.NewAlreadyExists(corev1.Resource("pods"), "task"))
		}, cluster.ErrLost, "somebody removed it", 0},
		"a pod of somebody else": {func(s *server) {
			_ = s.Tracker().Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "task", Namespace: "app", Labels: map[string]string{"davit.io/run": "other"}}})
		}, cluster.ErrInvalid, "is not ours: its labels are map[davit.io/run:other], not map[davit.io/run:r]", 0},
		"a namespace without a service account": {func(s *server) {
			s.fail("create", "pods", always, apierrors.NewForbidden(corev1.Resource("pods"), "task", errors.New(`error looking up service account app/default: serviceaccount "default" not found`)))
		}, nil, "error looking up service account", 25 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			tc.prepare(s)
			pod := task(t, "")
			pod.Profile = []byte("{}")
			_, took, err := drive(t, s, pod)
			require.ErrorContains(t, err, tc.text)
			for _, kind := range []error{cluster.ErrDenied, cluster.ErrInvalid, cluster.ErrLost} {
				require.Equal(t, errors.Is(tc.want, kind), errors.Is(err, kind), "%v: %v", kind, err)
			}
			require.LessOrEqual(t, took, tc.within)
			left, err := s.Clientset.CoreV1().Pods("app").List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			if errors.Is(tc.want, cluster.ErrInvalid) {
				for _, pod := range left.Items {
					require.Equal(t, "other", pod.Labels["davit.io/run"], "an invalid request leaves nothing, and what is somebody else's alone")
				}
			}
		})
	}
}

// A namespace may be a moment older than its service account.
func TestRunPodWaitsForAServiceAccount(t *testing.T) {
	s := newServer()
	s.fail("create", "pods", 3, apierrors.NewForbidden(corev1.Resource("pods"), "task", errors.New(`error looking up service account app/default: serviceaccount "default" not found`)))
	_, _, err := drive(t, s, task(t, ""), func(t *testing.T) { s.set(t, over(corev1.PodSucceeded, 0, "Completed", "")) })
	require.NoError(t, err)
}

func TestRunPodWithoutTheRightToWatch(t *testing.T) {
	s := newServer()
	s.fail("watch", "pods", always, deny("watch", "pods"))
	_, took, err := drive(t, s, task(t, ""),
		func(t *testing.T) { s.set(t, running()) },
		func(t *testing.T) { time.Sleep(time.Hour); s.set(t, over(corev1.PodFailed, 2, "Error", "")) })
	require.EqualError(t, err, "pod app/task, container container: exit code 2")
	require.Less(t, took, time.Hour+20*time.Second)
}

func TestRunPodNoticesAnotherPodOfTheName(t *testing.T) {
	for _, verb := range []string{"none", "watch"} {
		t.Run("without "+verb, func(t *testing.T) {
			s := newServer()
			s.fail(verb, "pods", always, deny(verb, "pods"))
			replaceWhileItRuns(t, s)
		})
	}
}

func replaceWhileItRuns(t *testing.T, s *server) {
	_, _, err := drive(t, s, task(t, ""), func(t *testing.T) { s.set(t, running()) }, func(t *testing.T) {
		gvr := corev1.SchemeGroupVersion.WithResource("pods")
		require.NoError(t, s.Tracker().Delete(gvr, "app", "task"))
		require.NoError(t, s.Tracker().Create(gvr, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "task", Namespace: "app", UID: "other"}}, "app"))
	})
	require.ErrorIs(t, err, cluster.ErrLost)
	pod, err := s.Clientset.CoreV1().Pods("app").Get(t.Context(), "task", metav1.GetOptions{})
	require.NoError(t, err)
	require.EqualValues(t, "other", pod.UID, "and leaves it alone")
}

func TestRunPodReturnsWhileItsLogBlocks(t *testing.T) {
	s := newServer()
	s.logs = func(context.Context, *corev1.PodLogOptions) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(render(numbered(3), time.Time{}))), nil
	}
	synctest.Test(t, func(t *testing.T) {
		c := s.cluster(t, io.Discard)
		pod := task(t, "")
		release := make(chan struct{})
		pod.Log = blockedWriter(release)
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.RunPod(ctx, pod) }()
		time.Sleep(time.Second)
		s.set(t, over(corev1.PodSucceeded, 0, "Completed", ""))
		time.Sleep(time.Hour)
		cancel(cause)
		require.Equal(t, cause, <-done)
		close(release)
	})
	left, err := s.Clientset.CoreV1().Pods("app").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Empty(t, left.Items)
}

type blockedWriter chan struct{}

func (b blockedWriter) Write(p []byte) (int, error) {
	<-b
	return len(p), nil
}

func TestRunPodWithALogThatCannotBeRead(t *testing.T) {
	for name, tc := range map[string]struct {
		status corev1.PodStatus
		want   string
	}{
		"success":              {over(corev1.PodSucceeded, 0, "Completed", ""), "exit code 0, but its log could not be read to its end: "},
		"success with results": {over(corev1.PodSucceeded, 0, "Completed", "result"), ""},
		"failure":              {over(corev1.PodFailed, 3, "Error", ""), "exit code 3; its log could not be read to its end: "},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			s.logs = func(context.Context, *corev1.PodLogOptions) (io.ReadCloser, error) {
				return nil, errors.New("no route to host")
			}
			pod := task(t, "")
			pod.Log = io.Discard
			log, took, err := drive(t, s, pod, func(t *testing.T) { s.set(t, tc.status) })
			require.Less(t, took, 2*time.Minute)
			if tc.want == "" {
				require.NoError(t, err)
				require.Contains(t, log, "lines of a pod's log are lost")
				return
			}
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, "no route to host")
		})
	}
}

func TestRunPodSaysWhatItsResultsMet(t *testing.T) {
	s := newServer()
	pod := task(t, "")
	disk := errors.New("disk full")
	pod.Results = badWriter{disk}
	_, _, err := drive(t, s, pod, func(t *testing.T) { s.set(t, over(corev1.PodSucceeded, 0, "Completed", "result")) })
	require.Equal(t, disk, err)
}

func TestOutcome(t *testing.T) {
	ran := metav1.NewTime(second(0))
	ended := func(name string, code int32, reason string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: ran, ExitCode: code, Reason: reason}}}
	}
	never := func(name, reason, message string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Reason: reason, Message: message}}}
	}
	waiting := corev1.ContainerStatus{Name: "container", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}}
	runs := corev1.ContainerStatus{Name: "container", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: ran}}}
	const at = "pod app/task, container container: "
	for name, tc := range map[string]struct {
		phase           corev1.PodPhase
		reason, message string
		init, main      []corev1.ContainerStatus
		want            string
		lost            bool
		code            int // of the *cluster.ExitError
	}{
		"success":                 {phase: corev1.PodSucceeded, main: []corev1.ContainerStatus{ended("container", 0, "Completed"), ended("side", 0, "Completed")}},
		"success beside a proxy":  {phase: corev1.PodRunning, main: []corev1.ContainerStatus{{Name: "proxy"}, ended("container", 0, "Completed"), ended("side", 0, "Completed")}},
		"exit code":               {main: []corev1.ContainerStatus{ended("container", 3, "Error"), ended("side", 4, "Error")}, want: at + "exit code 3", code: 3},
		"another's exit code":     {main: []corev1.ContainerStatus{ended("container", 0, "Completed"), ended("side", 4, "Error")}, want: "pod app/task, container side: exit code 4", code: 4},
		"init":                    {init: []corev1.ContainerStatus{ended("first", 5, "Error")}, main: []corev1.ContainerStatus{waiting}, want: "pod app/task, container first: exit code 5", code: 5},
		"a sidecar that was told": {phase: corev1.PodSucceeded, init: []corev1.ContainerStatus{ended("proxy", 143, "Error")}, main: []corev1.ContainerStatus{ended("container", 0, "Completed"), ended("side", 0, "Completed")}},
		"memory":                  {main: []corev1.ContainerStatus{ended("container", 137, "OOMKilled")}, want: at + "exit code 137 (OOMKilled: its memory limit is 64Mi)", code: 137},
		"memory of another":       {main: []corev1.ContainerStatus{ended("container", 0, ""), ended("side", 137, "OOMKilled")}, want: "pod app/task, container side: exit code 137 (OOMKilled: it has no memory limit of its own)", code: 137},
		"killed":                  {main: []corev1.ContainerStatus{ended("container", 137, "Error")}, want: at + "exit code 137 (killed by nobody known; perhaps it ran out of memory: its memory limit is 64Mi)", code: 137},
		"evicted":                 {reason: "Evicted", message: "The node was low on memory.", main: []corev1.ContainerStatus{ended("container", 137, "Error")}, want: at + "exit code 137 (Evicted: The node was low on memory.)", code: 137},
		"deadline, polite":        {reason: "DeadlineExceeded", message: "too long", main: []corev1.ContainerStatus{ended("container", 0, "Completed"), ended("side", 0, "")}, want: "pod app/task has failed, though its containers have ended with exit code 0: DeadlineExceeded: too long"},
		"evicted without a word":  {reason: "Evicted", message: "low", main: []corev1.ContainerStatus{runs}, want: at + "pod ended without a recorded result: Evicted: low", lost: true},
		"node lost":               {main: []corev1.ContainerStatus{ended("container", 137, "ContainerStatusUnknown")}, want: at + "pod ended without a recorded result: its node does not know how it ended", lost: true},
		"another one lost":        {main: []corev1.ContainerStatus{ended("container", 0, ""), ended("side", 137, "ContainerStatusUnknown")}, want: "pod app/task, container side: pod ended without a recorded result: its node does not know how it ended", lost: true},
		"no status":               {want: at + "pod ended without a recorded result: its node does not know how it ended", lost: true},
		"not admitted":            {reason: "OutOfcpu", message: "no cpu", want: "pod app/task has ended before its command began: OutOfcpu: no cpu"},
		"no such command":         {main: []corev1.ContainerStatus{never("container", "StartError", "no such file")}, want: at + "exit code 128 (its command could not be started: no such file)", code: 128},
		"cannot run":              {main: []corev1.ContainerStatus{never("container", "ContainerCannotRun", "")}, want: at + "exit code 128 (its command could not be started: ContainerCannotRun)", code: 128},
		"failed for nothing":      {main: []corev1.ContainerStatus{ended("container", 0, ""), ended("side", 0, "")}, want: "pod app/task has failed, though its containers have ended with exit code 0: no reason is given"},
		"a long story":            {reason: "Evicted", message: strings.Repeat("x", 9999), main: []corev1.ContainerStatus{ended("container", 137, "Error")}, want: at + "exit code 137 (Evicted: " + strings.Repeat("x", 491) + " ...)", code: 137},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.phase == "" {
				tc.phase = corev1.PodFailed
			}
			request := task(t, container("resources: {limits: {memory: 64Mi}}"))
			request.Others = []cluster.Container{{Name: "side", Image: "i"}}
			w, err := offline(Options{}).wanted(request)
			require.NoError(t, err)
			w.pod.Status = corev1.PodStatus{Phase: tc.phase, Reason: tc.reason, Message: tc.message, InitContainerStatuses: tc.init, ContainerStatuses: tc.main}
			require.True(t, w.ended(w.pod))
			r := &podRun{w: w, log: slog.New(slog.DiscardHandler)}
			err = r.outcome(t.Context(), w.pod)
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, tc.want)
			require.Equal(t, tc.lost, errors.Is(err, cluster.ErrLost))
			var exit *cluster.ExitError
			require.Equal(t, tc.code != 0, errors.As(err, &exit))
			if exit != nil {
				require.Equal(t, tc.code, exit.Code)
			}
			w.pod.DeletionTimestamp = &ran
			require.False(t, w.ended(w.pod), "one that is being deleted does not end by itself")
		})
	}
}

func TestRemovePod(t *testing.T) {
	ours := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "task", Namespace: "app", UID: "u", Annotations: map[string]string{mainAnnotation: "container"}}}
	for name, tc := range map[string]struct {
		pod     *corev1.Pod
		prepare func(s *server)
		want    []string
		is      error
		kills   int
		within  time.Duration
	}{
		"absent":                      {nil, nil, nil, nil, 0, 0},
		"present":                     {ours, nil, nil, nil, 0, time.Second},
		"somebody else's":             {&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "task", Namespace: "app"}}, nil, []string{"not ours to remove"}, cluster.ErrInvalid, 0, 0},
		"while the server is tired":   {ours, func(s *server) { s.fail("*", "pods", 10, unavailable) }, nil, nil, 0, 20 * time.Second},
		"without the right to read":   {ours, func(s *server) { s.fail("get", "pods", always, deny("get", "pods")) }, []string{"get pods app/task"}, cluster.ErrDenied, 0, 0},
		"without the right to delete": {ours, func(s *server) { s.fail("delete", "pods", always, deny("delete", "pods")) }, []string{"pod app/task could not be removed: delete pods app/task"}, cluster.ErrDenied, 0, 0},
		"replaced meanwhile": {ours, func(s *server) {
			s.fail("delete", "pods", always, apierrors.NewConflict(corev1.Resource("pods"), "task", errors.New("the UID in the precondition")))
		}, nil, nil, 0, 0},
		"replaced by then": {ours, func(s *server) {
			s.PrependReactor("delete", "pods", func(testclient.Action) (bool, runtime.Object, error) {
				other := ours.DeepCopy()
				other.UID = "other"
				return true, nil, s.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), other, "app")
			})
		}, nil, nil, 0, 0},
		"deaf":          {ours, func(s *server) { s.fail("delete", "pods", 1, nil) }, nil, nil, 1, 32 * time.Second},
		"held for good": {ours, func(s *server) { s.fail("delete", "pods", always, nil) }, []string{"pod app/task could not be removed", "still there"}, context.DeadlineExceeded, 1, 61 * time.Second},
		"a dead server": {ours, func(s *server) { s.fail("get", "pods", always, unavailable) }, []string{"get pods app/task", "starting"}, nil, 0, 61 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				if tc.pod != nil {
					require.NoError(t, s.Tracker().Add(tc.pod.DeepCopy()))
				}
				if tc.prepare != nil {
					tc.prepare(s)
				}
				begun := time.Now()
				err := s.cluster(t, io.Discard).RemovePod(t.Context(), "app", "task")
				require.LessOrEqual(t, time.Since(begun), tc.within)
				if tc.want == nil {
					require.NoError(t, err)
				}
				for _, want := range tc.want {
					require.ErrorContains(t, err, want)
				}
				if tc.is != nil {
					require.ErrorIs(t, err, tc.is)
				}
				kills := 0
				for _, a := range s.Actions() {
					if d, ok := a.(testclient.DeleteActionImpl); ok {
						require.Equal(t, types.UID("u"), *d.DeleteOptions.Preconditions.UID)
						if d.DeleteOptions.GracePeriodSeconds != nil {
							require.Zero(t, *d.DeleteOptions.GracePeriodSeconds)
							kills++
						}
					}
				}
				require.Equal(t, tc.kills, kills)
			})
		})
	}
	require.ErrorIs(t, newServer().cluster(t, io.Discard).RemovePod(t.Context(), "", "task"), cluster.ErrInvalid)
}
