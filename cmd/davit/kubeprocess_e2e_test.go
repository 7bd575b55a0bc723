//go:build e2e

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/internal/testcluster"
)

const slowTask = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: slow}
actions:
  backup:
    outputArtifacts: {id: {keyValue: {of: "{{ .Phases.slow.Output.id }}"}}}
    phases:
    - func: KubeTask
      name: slow
      args:
        image: localhost/davit:1
        command: [sh, -c, "kando output id $HOSTNAME-$(cat /proc/sys/kernel/random/uuid); trap 'exit 1' TERM; i=0; while [ $i -lt {{ .Options.turns }} ]; do sleep 0.1; i=$((i+1)); done"]
        podOverride: {terminationGracePeriodSeconds: 1}
    deferPhase:
      func: KubeTask
      args: {image: localhost/davit:1, command: [kando, output, tidied, "yes"]}
`

// process is davit as a process of its own.
type process struct {
	*exec.Cmd
	out, errs bytes.Buffer
}

// program builds davit and writes the blueprint of a slow task.
func (s *site) program() (davit, blueprint string) {
	dir := s.t.TempDir()
	davit, blueprint = filepath.Join(dir, "davit"), filepath.Join(dir, "slow.yaml")
	out, err := exec.CommandContext(s.t.Context(), "go", "build", "-o", davit, ".").CombinedOutput()
	require.NoError(s.t, err, "%s", out)
	require.NoError(s.t, os.WriteFile(blueprint, []byte(slowTask), 0o600))
	return davit, blueprint
}

func (s *site) start(davit string, args ...string) *process {
	p := &process{Cmd: exec.CommandContext(s.t.Context(), davit, append([]string{"run", "--kubeconfig", s.config, "--state", s.state}, args...)...)}
	p.Stdout, p.Stderr = &p.out, &p.errs
	require.NoError(s.t, p.Start())
	return p
}

// pod waits for the pod of the slow task to run.
func (s *site) pod(phase string) (pod corev1.Pod) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		list, err := s.CoreV1().Pods(s.namespace).List(s.t.Context(), metav1.ListOptions{LabelSelector: "davit.io/phase=" + phase})
		require.NoError(s.t, err)
		if len(list.Items) != 1 {
			return false
		}
		pod = list.Items[0]
		return pod.Status.Phase == corev1.PodRunning
	}, 2*time.Minute, 50*time.Millisecond, "the pod of phase %s runs", phase)
	return pod
}

func (s *site) allowBlueprint(blueprint string) {
	var rules []rbacv1.PolicyRule
	rules = append(rules, grantOf(s.t, blueprint, "-n", s.namespace, "-T", s.namespace)...)
	s.allow(rules)
}

// TestE2EInterrupt cancels a run on the cluster: the pod is ended, the deferred phase runs, nothing is left.
func TestE2EInterrupt(t *testing.T) {
	s := newSite(t)
	davit, blueprint := s.program()
	s.allowBlueprint(blueprint)
	p := s.start(davit, "-b", blueprint, "-a", "backup", "-T", s.namespace, "-o", "turns=6000", "--run", "interrupted")
	s.pod("slow")
	require.NoError(t, p.Process.Signal(os.Interrupt))
	_ = p.Wait()
	assert.Equal(t, exitCancelled, p.ProcessState.ExitCode(), p.errs.String())
	out := p.out.String()
	assert.Contains(t, out, `"event":"cancel-asked"`)
	assert.Contains(t, out, `"phase":"deferPhase","func":"KubeTask","attempt":1,"outputs":{"tidied":"yes"}`)
	assert.Contains(t, out, `"event":"run-ended","run":"interrupted","state":"cancelled"`)
	assert.NotContains(t, out, `"left"`)
	assert.Contains(t, p.errs.String(), "cancelled: signal: interrupt")
}

// TestE2EKilledRunGoesOn kills davit while a pod runs. The next one adopts the pod: the command runs once.
func TestE2EKilledRunGoesOn(t *testing.T) {
	s := newSite(t)
	davit, blueprint := s.program()
	s.allowBlueprint(blueprint)
	p := s.start(davit, "-b", blueprint, "-a", "backup", "-T", s.namespace, "-o", "turns=150", "--run", "killed")
	first := s.pod("slow")
	require.NoError(t, p.Process.Signal(syscall.SIGKILL))
	_ = p.Wait()
	assert.NotContains(t, p.out.String(), `"phase-complete"`)

	p = s.start(davit, "--run", "killed")
	require.NoError(t, p.Wait(), p.errs.String())
	out := p.out.String()
	assert.Contains(t, out, `"event":"run-resumed"`)
	assert.Contains(t, out, `"event":"run-ended","run":"killed","state":"complete"`)
	assert.Contains(t, out, `"id":"`+first.Name+"-", "the outputs of the pod that was there")
	assert.Equal(t, 1, strings.Count(out, `"event":"phase-complete","run":"killed","action":"backup","phase":"slow"`))
}

// TestE2EInAPod runs davit in a pod of the cluster, which finds its cluster and its namespace by itself.
func TestE2EInAPod(t *testing.T) {
	s := newSite(t)
	_, blueprint := s.program()
	s.allowBlueprint(blueprint)
	ctx := t.Context()
	text, err := os.ReadFile(blueprint)
	require.NoError(t, err)
	_, err = s.CoreV1().ConfigMaps(s.namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "blueprint"},
		Data: map[string]string{"slow.yaml": string(text)}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.CoreV1().Pods(s.namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "host"},
		Spec: corev1.PodSpec{
			ServiceAccountName: "davit", RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "davit", Image: testcluster.AgentImage,
				Command:      []string{"davit", "run", "--state", "/tmp/state", "-b", "/blueprint/slow.yaml", "-a", "backup", "-T", s.namespace, "-o", "turns=1"},
				VolumeMounts: []corev1.VolumeMount{{Name: "blueprint", MountPath: "/blueprint"}, {Name: "tmp", MountPath: "/tmp"}},
			}},
			Volumes: []corev1.Volume{
				{Name: "blueprint", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "blueprint"}}}},
				{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	var phase corev1.PodPhase
	require.Eventually(t, func() bool {
		pod, err := s.CoreV1().Pods(s.namespace).Get(ctx, "host", metav1.GetOptions{})
		require.NoError(t, err)
		phase = pod.Status.Phase
		return phase == corev1.PodSucceeded || phase == corev1.PodFailed
	}, 3*time.Minute, 100*time.Millisecond, "davit ends")
	said, err := s.CoreV1().Pods(s.namespace).GetLogs("host", &corev1.PodLogOptions{}).DoRaw(ctx)
	require.NoError(t, err)
	require.Equal(t, corev1.PodSucceeded, phase, "%s", said)
	assert.Contains(t, string(said), `"state":"complete"`)
}

// TestE2ENoSweepWithoutPods runs a blueprint that creates no pod: the role lets nobody list pods, and nothing is said of what could not be swept.
func TestE2ENoSweepWithoutPods(t *testing.T) {
	s := newSite(t)
	blueprint := filepath.Join(t.TempDir(), "exec.yaml")
	require.NoError(t, os.WriteFile(blueprint, []byte(`
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: exec}
actions:
  backup:
    kind: Namespace
    phases: [{func: KubeExec, name: sync, args: {namespace: "{{ .Namespace.Name }}", pod: db-0, container: server, command: [sync]}}]
`), 0o600))
	rules := grantOf(t, blueprint, "-T", s.namespace)
	s.allow(rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}})
	code, out, errs := s.davit("run", "-b", blueprint, "-a", "backup", "-T", s.namespace)
	require.Zero(t, code, errs)
	assert.Contains(t, out, `"state":"complete"`)
	assert.NotContains(t, out, `"left"`)
}
