package kubecluster

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
)

func TestPodOfTheDefaults(t *testing.T) {
	w, err := offline(Options{}).wanted(task(t, ""))
	require.NoError(t, err)
	got, err := json.Marshal(w.pod)
	require.NoError(t, err)
	require.YAMLEq(t, `
metadata:
  name: task
  namespace: app
  labels: {davit.io/run: r}
  annotations: {davit.io/container: container, kubectl.kubernetes.io/default-container: container}
spec:
  restartPolicy: Never
  activeDeadlineSeconds: 3600
  terminationGracePeriodSeconds: 10
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext: {seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: container
    image: image
    imagePullPolicy: IfNotPresent
    command: ["true"]
    env:
    - {name: DAVIT_RESULTS_FILE, value: /dev/termination-log}
    - {name: DAVIT_PROGRESS, value: "1"}
    resources: {}
    securityContext:
      runAsNonRoot: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
status: {}
`, string(got))
	require.Equal(t, []string{"container"}, w.containers)
}

func TestPodOfManyContainers(t *testing.T) {
	pod := task(t, `
containers:
- {name: added, image: more}
- {name: output, env: [{name: A, value: b}]}
- {name: side, command: [changed]}
`)
	pod.Container = "output"
	pod.Annotations = map[string]string{"a": "b"}
	pod.Init = []cluster.Container{{Name: "first", Image: "i", Command: []string{"mkfifo"}}}
	pod.Others = []cluster.Container{{Name: "side", Image: "o", Command: []string{"serve"}}}
	pod.Shared = &cluster.SharedVolume{Path: "/share", Medium: "Memory", SizeLimit: "1Gi"}
	pod.Claims = map[string]string{"b": "/b", "a.very.long-name-of-a-claim-that-is-no-name-of-a-volume-which-has-63-at-most": "/a"}
	pod.ServiceAccount = "own"
	pod.Profile = []byte("{}")
	c := offline(Options{Policy: Policy{Level: LevelRestricted}, Owner: &Owner{"app", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "o", UID: "u"}}})
	w, err := c.wanted(pod)
	require.NoError(t, err)
	s := w.pod.Spec

	require.Equal(t, []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "o", UID: "u"}}, w.pod.OwnerReferences)
	require.Equal(t, map[string]string{"a": "b", mainAnnotation: "output", shownContainer: "output"}, w.pod.Annotations)
	require.Equal(t, "output", w.main)
	require.Equal(t, "output", s.Containers[0].Name, "the main container comes first")
	require.ElementsMatch(t, []string{"output", "side", "added"}, w.containers)
	require.Equal(t, "own", s.ServiceAccountName)
	require.True(t, *s.AutomountServiceAccountToken)

	env := map[string][]string{}
	mounts := map[string][]string{}
	for ct := range everyContainer(&s) {
		for _, e := range ct.Env {
			env[ct.Name] = append(env[ct.Name], e.Name)
		}
		for _, m := range ct.VolumeMounts {
			mounts[ct.Name] = append(mounts[ct.Name], m.MountPath)
			require.Equal(t, m.Name == profileVolume, m.ReadOnly)
		}
		require.True(t, *ct.SecurityContext.RunAsNonRoot, ct.Name)
		require.False(t, *ct.SecurityContext.AllowPrivilegeEscalation, ct.Name)
		require.Equal(t, corev1.TerminationMessageReadFile, ct.TerminationMessagePolicy)
	}
	require.Equal(t, map[string][]string{
		"first": {"DAVIT_PROFILE_FILE"}, "side": {"DAVIT_PROFILE_FILE"}, "output": {"DAVIT_PROFILE_FILE", "DAVIT_RESULTS_FILE", "DAVIT_PROGRESS", "A"},
	}, env)
	require.Equal(t, map[string][]string{
		"first": {"/share", "/var/run/davit/profile"}, "side": {"/share", "/var/run/davit/profile"},
		"output": {"/a", "/b", "/share", "/var/run/davit/profile"},
	}, mounts)
	require.Len(t, s.Volumes, 4)

	again, err := c.wanted(pod)
	require.NoError(t, err)
	require.Regexp(t, `^task-[a-z2-7]{10}$`, profileSecret(w.pod))
	require.NotEqual(t, profileSecret(w.pod), profileSecret(again.pod), "nobody knows the name of a secret beforehand")
	require.NotEqual(t, s.Volumes[0].Name, s.Volumes[1].Name)
	pod.Profile, pod.Namespace = nil, "other"
	w, err = c.wanted(pod)
	require.NoError(t, err)
	require.Empty(t, profileSecret(w.pod))
	require.Empty(t, w.pod.OwnerReferences, "an owner is of one namespace")
}

func TestPodIsAdoptedByItsLabels(t *testing.T) {
	w, err := offline(Options{}).wanted(task(t, ""))
	require.NoError(t, err)
	with := func(labels map[string]string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
	}
	require.True(t, w.owns(with(map[string]string{"davit.io/run": "r"})))
	require.True(t, w.owns(with(map[string]string{"davit.io/run": "r", "istio.io/rev": "default"})), "admission adds labels")
	require.False(t, w.owns(with(map[string]string{"davit.io/run": "s"})))
	require.False(t, w.owns(with(nil)))
}

func TestPodDeadlineIsAtLeastASecond(t *testing.T) {
	c := &Cluster{opts: Options{PodDeadline: time.Millisecond}}
	require.EqualValues(t, 1, *c.deadline())
}
