//go:build e2e

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/csi"
)

// framedHooks are hooks as they are written for a backup tool: one-shot commands, which nothing ends in the pod when the host dies.
const framedHooks = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: notes-hooks}
actions:
  backupPrehook:
    phases:
    - {func: KubeExec, name: quiesce, args: {namespace: "{{ .Namespace.Name }}", pod: notes, command: [sh, -c, "touch /a/frozen; sleep 0.5"]}}
  backupPosthook:
    phases:
    - {func: KubeExec, name: unquiesce, args: {namespace: "{{ .Namespace.Name }}", pod: notes, command: [rm, -f, /a/frozen]}}
`

const framedSnapshots = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: notes}
actions:
  backup:
    outputArtifacts:
      group: {keyValue: {snapshots: "{{ toJson .Phases.cut.Output.snapshots }}"}}
    phases:
    - func: CreateCSISnapshotGroup
      name: cut
      args: {namespace: "{{ .Namespace.Name }}", pvcs: [a, b], snapshotClass: "{{ .Options.class }}", until: cut}
    - {func: AwaitCSISnapshots, name: ready, args: {namespace: "{{ .Namespace.Name }}", snapshots: "{{ toJson .Phases.cut.Output.snapshots }}"}}
  restore:
    inputArtifactNames: [group]
    phases:
    - func: RestoreCSISnapshot
      name: a
      args: &restore
        namespace: "{{ .Namespace.Name }}"
        name: '{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 0).name }}'
        pvc: restored-a
        storageClass: ` + testcluster.StorageClass + `
        restoreSize: 1Gi
    - func: RestoreCSISnapshot
      name: b
      args:
        <<: *restore
        name: '{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 1).name }}'
        pvc: restored-b
  delete:
    inputArtifactNames: [group]
    phases:
    - {func: DeleteCSISnapshot, name: a, args: {namespace: "{{ .Namespace.Name }}", name: '{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 0).name }}'}}
    - {func: DeleteCSISnapshot, name: b, args: {namespace: "{{ .Namespace.Name }}", name: '{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 1).name }}'}}
`

// writer counts on both volumes, one after the other, unless it is quiesced.
const writer = `i=0; while :; do if [ ! -e /a/frozen ]; then i=$((i+1)); echo $i >/a/n.new; mv /a/n.new /a/n; echo $i >/b/n.new; mv /b/n.new /b/n; fi; sleep 0.02; done`

// framed is an application on two volumes, and the run that takes snapshots of them.
type framed struct {
	*testcluster.Client
	t                       *testing.T
	namespace, davit, state string
	blueprint               string
	class                   string
	out                     bytes.Buffer
}

func newFramed(t *testing.T, davit, maxHold string, cutDelay time.Duration) *framed {
	f := &framed{Client: testcluster.Open(t), t: t, davit: davit, state: t.TempDir()}
	f.namespace = f.Namespace(t, nil)
	f.class = f.SnapshotClassWith(t, "Delete", map[string]string{"cutDelay": cutDelay.String()})
	for _, claim := range []string{"a", "b"} {
		_, err := f.CoreV1().PersistentVolumeClaims(f.namespace).Create(t.Context(), &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: claim},
			Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	f.pod("notes", []string{"sh", "-c", writer}, "a", "b")
	require.Eventually(t, func() bool { return f.read("notes", "cat /b/n") != "" }, time.Minute, 100*time.Millisecond, "the writer writes")

	dir := t.TempDir()
	hooks, own := filepath.Join(dir, "hooks.yaml"), filepath.Join(dir, "own.yaml")
	f.blueprint = filepath.Join(dir, "framed.json")
	require.NoError(t, os.WriteFile(hooks, []byte(framedHooks), 0o600))
	require.NoError(t, os.WriteFile(own, []byte(framedSnapshots), 0o600))
	text, err := exec.CommandContext(t.Context(), davit, "frame", own, "--hooks", hooks, "--through", "cut", "--max-hold", maxHold).Output()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.blueprint, text, 0o600))
	return f
}

// pod starts a pod that mounts claims at the last letters of their names.
func (f *framed) pod(name string, command []string, claims ...string) {
	now := int64(0)
	spec := corev1.PodSpec{TerminationGracePeriodSeconds: &now, Containers: []corev1.Container{{Name: "c", Image: testcluster.BusyboxImage, Command: command}}}
	for _, claim := range claims {
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
		spec.Containers[0].VolumeMounts = append(spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: claim, MountPath: "/" + claim[len(claim)-1:]})
	}
	_, err := f.CoreV1().Pods(f.namespace).Create(f.t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{})
	require.NoError(f.t, err)
}

// read runs a command in a pod; empty when it cannot.
func (f *framed) read(pod, command string) string {
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(f.Dir, "bin", "kubectl"), "--kubeconfig", f.Kubeconfig, "-n", f.namespace, "exec", pod, "--", "sh", "-c", command).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (f *framed) run(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(f.t.Context(), f.davit, append([]string{"run", "--kubeconfig", f.Kubeconfig, "-n", f.namespace, "--state", f.state}, args...)...)
	f.out.Reset()
	cmd.Stdout, cmd.Stderr = &f.out, &f.out
	require.NoError(f.t, cmd.Start())
	return cmd
}

// killedWhileHeld runs the backup and kills the host once the application is quiesced and the snapshots are asked for.
func (f *framed) killedWhileHeld() {
	cmd := f.run("-b", f.blueprint, "-a", "backup", "-T", f.namespace, "-o", "class="+f.class, "--run", "framed")
	require.Eventually(f.t, func() bool { return len(f.snapshots()) == 2 }, time.Minute, 50*time.Millisecond, "the snapshots are asked for")
	require.NoError(f.t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	require.NotContains(f.t, f.out.String(), `"phase-complete","run":"framed","action":"backup","phase":"cut"`)
	f.mustBeQuiesced(true)
}

func (f *framed) mustBeQuiesced(want bool) {
	word := map[bool]string{true: "quiet", false: "busy"}[want]
	require.Eventually(f.t, func() bool { // the writer may have to wait for its turn
		return f.read("notes", "a=$(cat /a/n); sleep 0.5; [ $a = $(cat /a/n) ] && echo quiet || echo busy") == word
	}, time.Minute, 100*time.Millisecond, word)
}

func (f *framed) snapshots() []snapshot.Status {
	config, err := clientcmd.BuildConfigFromFlags("", f.Kubeconfig)
	require.NoError(f.t, err)
	driver, err := csi.NewForConfig(config, nil)
	require.NoError(f.t, err)
	all, err := driver.List(f.t.Context(), f.namespace, nil)
	require.NoError(f.t, err)
	return all
}

// TestE2EHooksSurviveTheHost frames snapshots with the hooks of a backup tool and kills the host while the application is quiesced. The host that comes back in time finishes the
// group, and both volumes are of one moment; the one that comes back too late lets the application go on, and leaves nothing.
func TestE2EHooksSurviveTheHost(t *testing.T) {
	davit := filepath.Join(t.TempDir(), "davit")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", davit, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Run("in time", func(t *testing.T) {
		t.Parallel()
		f := newFramed(t, davit, "5m", 12*time.Second)
		f.killedWhileHeld()
		names := f.snapshots()
		require.NoError(t, f.run("--run", "framed").Wait(), &f.out)
		require.Contains(t, f.out.String(), `"heldSeconds":`)
		f.mustBeQuiesced(false)
		now := f.snapshots()
		require.Len(t, now, 2)
		for i := range now {
			require.Equal(t, names[i].Name, now[i].Name)
			require.True(t, now[i].Ready)
		}
		require.NoError(t, f.run("--from", "framed", "-a", "restore").Wait(), &f.out)
		f.pod("reader", []string{"sleep", "1000"}, "restored-a", "restored-b")
		require.Eventually(t, func() bool { return f.read("reader", "cat /a/n") != "" }, time.Minute, 100*time.Millisecond)
		require.Equal(t, f.read("reader", "cat /a/n"), f.read("reader", "cat /b/n"), "both volumes are of one moment")
		require.NoError(t, f.run("--from", "framed", "-a", "delete").Wait(), &f.out)
		require.Empty(t, f.snapshots())
	})
	t.Run("too late", func(t *testing.T) {
		t.Parallel()
		f := newFramed(t, davit, "8s", 14*time.Second)
		f.killedWhileHeld()
		time.Sleep(8 * time.Second)
		require.Error(t, f.run("--run", "framed").Wait())
		require.Contains(t, f.out.String(), `"code":"max-hold"`)
		f.mustBeQuiesced(false)
		require.Empty(t, f.snapshots())
	})
}
