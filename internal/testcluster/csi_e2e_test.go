//go:build e2e

package testcluster_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/davit-project/davit/internal/testcluster"
)

const claims, snapshots, contents = "persistentvolumeclaims", "volumesnapshots", "volumesnapshotcontents"

// storage is a test's way to claims and snapshots in its namespace.
type storage struct {
	*testcluster.Client
	t         *testing.T
	dynamic   dynamic.Interface
	namespace string
}

func newStorage(t *testing.T) *storage {
	c := testcluster.Open(t)
	client, err := dynamic.NewForConfig(c.Config)
	require.NoError(t, err)
	return &storage{Client: c, t: t, dynamic: client, namespace: c.Namespace(t, nil)}
}

func (s *storage) kind(resource string) dynamic.ResourceInterface {
	group := "snapshot.storage.k8s.io"
	if resource == claims {
		group = ""
	}
	all := s.dynamic.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource})
	if resource == contents {
		return all
	}
	return all.Namespace(s.namespace)
}

// status waits until the status of an object satisfies.
func (s *storage) status(resource, name, what string, satisfies func(status map[string]any) bool) *unstructured.Unstructured {
	s.t.Helper()
	var got *unstructured.Unstructured
	require.Eventually(s.t, func() bool {
		var err error
		if got, err = s.kind(resource).Get(s.t.Context(), name, metav1.GetOptions{}); err != nil {
			return false
		}
		status, _, _ := unstructured.NestedMap(got.Object, "status")
		return satisfies(status)
	}, time.Minute, 20*time.Millisecond, "%s %s: %s", resource, name, what)
	return got
}

// claim makes a claim, empty or of a snapshot.
func (s *storage) claim(name, class, snapshot string) {
	spec := map[string]any{"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "16Mi"}}}
	if class != "" {
		spec["storageClassName"] = class
	}
	if snapshot != "" {
		spec["dataSource"] = map[string]any{"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot}
	}
	s.create(claims, map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": name}, "spec": spec})
}

// snapshot asks for one of a claim; "" is the default class.
func (s *storage) snapshot(name, class, claim string) {
	spec := map[string]any{"source": map[string]any{"persistentVolumeClaimName": claim}}
	if class != "" {
		spec["volumeSnapshotClassName"] = class
	}
	s.create(snapshots, map[string]any{"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": map[string]any{"name": name}, "spec": spec})
}

func (s *storage) create(resource string, object map[string]any) {
	s.t.Helper()
	_, err := s.kind(resource).Create(s.t.Context(), &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	require.NoError(s.t, err)
}

// run runs a script as user 1000 with the claim at /data and returns how the pod ended.
func (s *storage) run(name, claim, script string) corev1.PodPhase {
	s.t.Helper()
	s.start(name, claim, script)
	return s.phase(name, corev1.PodSucceeded)
}

func (s *storage) start(name, claim, script string) {
	s.t.Helper()
	grace := int64(0)
	_, err := s.CoreV1().Pods(s.namespace).Create(s.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
			}}},
			Containers: []corev1.Container{{
				Name: "c", Image: testcluster.BusyboxImage, ImagePullPolicy: corev1.PullNever, Command: []string{"sh", "-ec", script},
				VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
			}},
		},
	}, metav1.CreateOptions{})
	require.NoError(s.t, err)
}

// phase waits until a pod has a phase, or has ended, and returns its phase.
func (s *storage) phase(name string, wanted corev1.PodPhase) corev1.PodPhase {
	s.t.Helper()
	phase := corev1.PodPending
	require.Eventually(s.t, func() bool {
		pod, err := s.CoreV1().Pods(s.namespace).Get(s.t.Context(), name, metav1.GetOptions{})
		if err == nil {
			phase = pod.Status.Phase
		}
		return phase == wanted || phase == corev1.PodSucceeded || phase == corev1.PodFailed
	}, 2*time.Minute, 50*time.Millisecond, "pod %s", name)
	return phase
}

func bound(status map[string]any) bool { return status["phase"] == "Bound" }
func ready(status map[string]any) bool { return status["readyToUse"] == true }
func faulty(status map[string]any) bool {
	_, found, _ := unstructured.NestedString(status, "error", "message")
	return found
}

const (
	write = "dd if=/dev/urandom of=/data/blob bs=64k count=64 2>/dev/null; cd /data; sha256sum blob >sum; echo first >note"
	check = `cd /data; sha256sum -c sum; [ "$(cat note)" = first ]; [ ! -e later ]; echo own >note`
)

// What is restored is what was there at the cut, in classes of either binding; the snapshot is cut at once and ready later.
func TestARestoredVolumeHasWhatWasThereAtTheCut(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	s.claim("source", "", "")
	s.status(claims, "source", "bound at once, in the default class", bound)
	require.Equal(t, corev1.PodSucceeded, s.run("writer", "source", write))
	begin := time.Now().Truncate(time.Second)
	s.snapshot("slow", s.SnapshotClassWith(t, "Delete", map[string]string{"readyDelay": "4s"}), "source")
	half := s.status(snapshots, "slow", "cut", func(status map[string]any) bool { return status["creationTime"] != nil })
	isReady, _, _ := unstructured.NestedBool(half.Object, "status", "readyToUse")
	require.False(t, isReady, "cut, but not ready")
	text, _, _ := unstructured.NestedString(half.Object, "status", "creationTime")
	cut, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	require.False(t, cut.Before(begin) || cut.After(time.Now()), "%v", cut)
	require.Equal(t, corev1.PodSucceeded, s.run("changer", "source", "echo second >/data/note; touch /data/later; rm /data/blob"))
	s.snapshot("later", "", "source")
	s.status(snapshots, "later", "ready, in the default class", ready)
	whole := s.status(snapshots, "slow", "ready", ready)
	require.False(t, time.Now().Before(cut.Add(4*time.Second)), "ready after the delay")
	size, _, _ := unstructured.NestedString(whole.Object, "status", "restoreSize")
	require.Equal(t, "16Mi", size)
	for name, class := range map[string]string{"restored": testcluster.StorageClass, "late": testcluster.LateStorageClass} {
		s.claim(name, class, "slow")
		s.start(name, name, check)
	}
	s.claim("second", "", "later")
	s.start("second", "second", `[ "$(cat /data/note)" = second ]; [ ! -e /data/blob ]`)
	s.start("unlike", "second", check)
	for _, name := range []string{"restored", "late", "second"} {
		require.Equal(t, corev1.PodSucceeded, s.phase(name, corev1.PodSucceeded), name)
	}
	require.Equal(t, corev1.PodFailed, s.phase("unlike", corev1.PodFailed), "the check can fail")
}

// A snapshot has one moment of the whole volume: of two files that are written in turn, one never has more than a line ahead of the other. It is cut, and restored
// from, by a driver that has been away, and the pod that writes has not noticed.
func TestASnapshotHasOneMomentAndOutlivesTheDriver(t *testing.T) {
	s := newStorage(t)
	s.claim("source", "", "")
	s.start("writer", "source", "cd /data; i=0; while [ ! -e stop ]; do i=$((i+1)); echo $i >>a; echo $i >>b; done")
	require.Equal(t, corev1.PodRunning, s.phase("writer", corev1.PodRunning))
	s.snapshot("asked", s.SnapshotClassWith(t, "Delete", map[string]string{"cutDelay": "2s", "readyDelay": "1s"}), "source")
	s.Stop(t, testcluster.CSIDriver)
	s.Start(t, testcluster.CSIDriver)
	s.status(snapshots, "asked", "ready", ready)
	s.claim("restored", "", "asked")
	lines := `cd /data; a=$(wc -l <a); b=$(wc -l <b); [ "$a" -gt 100 ]; [ $((a-b)) = 0 ] || [ $((a-b)) = 1 ]; tail -n 1 b; [ "$(tail -n 1 b)" = "$b" ]`
	require.Equal(t, corev1.PodSucceeded, s.run("reader", "restored", lines))
	require.Equal(t, corev1.PodRunning, s.phase("writer", corev1.PodRunning))
	require.Equal(t, corev1.PodSucceeded, s.run("stopper", "source", "touch /data/stop"))
	require.Equal(t, corev1.PodSucceeded, s.phase("writer", corev1.PodSucceeded))
}

// The other driver makes volumes; there is no class for snapshots of them.
func TestTheOtherDriverHasNoSnapshots(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	s.claim("source", testcluster.OtherStorageClass, "")
	s.status(claims, "source", "bound", bound)
	s.snapshot("none", "", "source")
	s.status(snapshots, "none", "failed", faulty)
	require.Equal(t, corev1.PodSucceeded, s.run("writer", "source", write))
}

// A driver that fails is asked again; its error is in the status, and gone in the end. One that refuses leaves its error.
func TestTheDriverFailsAsAsked(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	s.claim("source", s.StorageClassWith(t, map[string]string{"failCreate": "2", "createDelay": "100ms"}), "")
	s.status(claims, "source", "bound after failures", bound)
	s.snapshot("thrice", s.SnapshotClassWith(t, "Delete", map[string]string{"failCreate": "3", "cutDelay": "1s", "deleteFails": "2"}), "source")
	s.snapshot("refused", s.SnapshotClassWith(t, "Delete", map[string]string{"failFinal": "true"}), "source")
	s.snapshot("mistaken", s.SnapshotClassWith(t, "Delete", map[string]string{"failCreat": "1"}), "source")
	s.status(snapshots, "thrice", "failed", faulty)
	done := s.status(snapshots, "thrice", "ready after failures", ready)
	require.False(t, faulty(done.Object["status"].(map[string]any)))
	for name, why := range map[string]string{"refused": "as asked for", "mistaken": "failCreat"} {
		got := s.status(snapshots, name, "failed", faulty)
		message, _, _ := unstructured.NestedString(got.Object, "status", "error", "message")
		require.Contains(t, message, why)
		require.Contains(t, message, "InvalidArgument")
	}
	content, _, _ := unstructured.NestedString(done.Object, "status", "boundVolumeSnapshotContentName")
	require.NoError(t, s.kind(snapshots).Delete(t.Context(), "thrice", metav1.DeleteOptions{}))
	s.undeleted(content)
	s.gone(contents, content)
}

// undeleted waits until the driver has refused to delete the snapshot of a content.
func (s *storage) undeleted(content string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		list, err := s.CoreV1().Events("").List(s.t.Context(), metav1.ListOptions{FieldSelector: "reason=SnapshotDeleteError,involvedObject.name=" + content})
		return err == nil && len(list.Items) > 0
	}, time.Minute, 50*time.Millisecond, "content %s: a failure to delete", content)
}

// gone waits until an object is.
func (s *storage) gone(resource, name string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		_, err := s.kind(resource).Get(s.t.Context(), name, metav1.GetOptions{})
		return err != nil && strings.Contains(err.Error(), "not found")
	}, time.Minute, 50*time.Millisecond, "%s %s goes", resource, name)
}

// A snapshot that only the storage knows becomes one of Kubernetes by its handle, if the content names the secrets that the driver asks for.
func TestAHandleWithSecretsBecomesASnapshot(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	_, err := s.CoreV1().Secrets(s.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "token"}, StringData: map[string]string{"token": "t"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	parameters := map[string]string{"requireSecret": "true"}
	for _, use := range []string{"snapshotter-secret", "snapshotter-list-secret"} {
		parameters["csi.storage.k8s.io/"+use+"-name"], parameters["csi.storage.k8s.io/"+use+"-namespace"] = "token", s.namespace
	}
	class := s.SnapshotClassWith(t, "Retain", parameters)
	s.claim("source", "", "")
	require.Equal(t, corev1.PodSucceeded, s.run("writer", "source", write))
	s.snapshot("first", class, "source")
	first := s.status(snapshots, "first", "ready", ready)
	name, _, _ := unstructured.NestedString(first.Object, "status", "boundVolumeSnapshotContentName")
	content, err := s.kind(contents).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	handle, _, _ := unstructured.NestedString(content.Object, "status", "snapshotHandle")
	require.NotEmpty(t, handle)
	require.NoError(t, s.kind(snapshots).Delete(t.Context(), "first", metav1.DeleteOptions{}))
	require.NoError(t, s.kind(contents).Delete(t.Context(), name, metav1.DeleteOptions{}))
	s.gone(contents, name)

	static := func(name, class, policy string, annotations map[string]any) {
		s.create(contents, map[string]any{
			"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
			"metadata": map[string]any{"name": s.namespace + "-" + name, "annotations": annotations},
			"spec": map[string]any{
				"deletionPolicy": policy, "driver": testcluster.DriverName, "volumeSnapshotClassName": class, "source": map[string]any{"snapshotHandle": handle},
				"volumeSnapshotRef": map[string]any{"name": name, "namespace": s.namespace},
			},
		})
		s.create(snapshots, map[string]any{
			"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"volumeSnapshotClassName": class, "source": map[string]any{"volumeSnapshotContentName": s.namespace + "-" + name}},
		})
	}
	static("unlisted", testcluster.SnapshotClass, "Retain", nil)
	s.status(contents, s.namespace+"-unlisted", "refused without a secret", faulty)
	require.NoError(t, s.kind(snapshots).Delete(t.Context(), "unlisted", metav1.DeleteOptions{}))
	require.NoError(t, s.kind(contents).Delete(t.Context(), s.namespace+"-unlisted", metav1.DeleteOptions{}))
	s.gone(contents, s.namespace+"-unlisted")
	static("bare", class, "Delete", nil)
	s.status(snapshots, "bare", "ready", ready)
	const secret = "snapshot.storage.kubernetes.io/deletion-secret-"
	static("second", class, "Delete", map[string]any{secret + "name": "token", secret + "namespace": s.namespace})
	second := s.status(snapshots, "second", "ready", ready)
	require.Equal(t, first.Object["status"].(map[string]any)["creationTime"], second.Object["status"].(map[string]any)["creationTime"])
	s.claim("restored", "", "second")
	require.Equal(t, corev1.PodSucceeded, s.run("reader", "restored", check))
	for _, name := range []string{"bare", "second"} {
		require.NoError(t, s.kind(snapshots).Delete(t.Context(), name, metav1.DeleteOptions{}))
		if name == "bare" {
			s.undeleted(s.namespace + "-bare")
		}
	}
	s.gone(contents, s.namespace+"-second")
	s.gone(contents, s.namespace+"-bare") // there is nothing left to delete
}
