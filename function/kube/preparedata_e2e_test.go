//go:build e2e

package kube_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

// claim makes a claim with a volume that is a folder of the node, and returns the folder.
func (p place) claim(name string) string {
	p.t.Helper()
	folder := filepath.Join(p.Dir, "volumes", p.ns+"-"+name)
	require.NoError(p.t, os.Mkdir(folder, 0o777))
	require.NoError(p.t, os.Chmod(folder, 0o777))
	p.t.Cleanup(func() { require.NoError(p.t, os.RemoveAll(folder)) })
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: p.ns + "-" + name}, Spec: corev1.PersistentVolumeSpec{
		Capacity: size, AccessModes: modes, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		ClaimRef:               &corev1.ObjectReference{Namespace: p.ns, Name: name},
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: folder}},
	}}
	_, err := p.CoreV1().PersistentVolumes().Create(p.t.Context(), volume, metav1.CreateOptions{})
	require.NoError(p.t, err)
	p.t.Cleanup(func() {
		p.gone(p.CoreV1().PersistentVolumes().Delete(context.Background(), volume.Name, metav1.DeleteOptions{}))
	})
	_, err = p.CoreV1().PersistentVolumeClaims(p.ns).Create(p.t.Context(), &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{AccessModes: modes, VolumeName: volume.Name, StorageClassName: new(string), Resources: corev1.VolumeResourceRequirements{Requests: size}}}, metav1.CreateOptions{})
	require.NoError(p.t, err)
	require.Eventually(p.t, func() bool {
		c, err := p.CoreV1().PersistentVolumeClaims(p.ns).Get(p.t.Context(), name, metav1.GetOptions{})
		return err == nil && c.Status.Phase == corev1.ClaimBound
	}, time.Minute, 50*time.Millisecond)
	return folder
}

func (p place) prepare(id string, command any, more map[string]any) phase {
	ph := p.task(id, command, more)
	ph.function = "PrepareData"
	return ph
}

func TestPrepareDataOnACluster(t *testing.T) {
	p := newPlace(t)
	data, other := p.claim("data"), p.claim("other")
	_, err := p.CoreV1().ServiceAccounts(p.ns).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "worker"}}, metav1.CreateOptions{})
	require.NoError(t, err)

	// the subject's claims, a failure that is ignored, a service account; and all once more for a host that came later
	ph := p.prepare("subject", script("echo x >>/mnt/prepare_data/data/file; echo y >>/mnt/prepare_data/other/file; "+output("k", "v")+
		"; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; exit 3"), map[string]any{"serviceaccount": "worker"})
	for _, again := range []func(*function.Call){nil, resumed} {
		ph.call = all(p.later(), func(c *function.Call) {
			c.Subject = function.Subject{Kind: "StatefulSet", Namespace: p.ns, Name: "db", Claims: map[string]map[string]string{"db-0": {"data": "/a"}, "db-1": {"other": "/a"}}}
			if again != nil {
				again(c)
			}
		})
		r := p.run(ph)
		require.NoError(t, r.err)
		require.Equal(t, function.Outputs{"k": "v"}, r.out)
		require.Contains(t, r.Log(), "msg="+p.ns, "the service account's token is mounted")
		require.Contains(t, r.Log(), "code=3")
		require.Contains(t, r.Progress(), function.Progress{Note: "the command failed with exit code 3, which is ignored"})
	}
	for folder, want := range map[string]string{data: "x\n", other: "y\n"} {
		text, err := os.ReadFile(filepath.Join(folder, "file"))
		require.NoError(t, err)
		require.Equal(t, want, string(text), "the command ran once")
	}

	volumes := map[string]any{"volumes": map[string]any{"data": "/here"}}
	r := p.run(p.prepare("named", script("cat /here/file; ls /var/run/secrets/kubernetes.io || echo no token"), volumes))
	require.NoError(t, r.err)
	require.Contains(t, r.Log(), "msg=x")
	require.Contains(t, r.Log(), "no token")
	require.Empty(t, r.out)

	volumes["failOnError"] = true
	r = p.run(p.prepare("fails", script("echo last words; exit 3"), volumes))
	var exit *cluster.ExitError
	require.ErrorAs(t, r.err, &exit)
	require.Equal(t, 3, exit.Code)
}

// That a command's failure is ignored does not hide that it never ran.
func TestPrepareDataOnAClusterCannotRun(t *testing.T) {
	p := newPlace(t)
	p.claim("data")
	volumes := func(claim string) map[string]any { return map[string]any{"volumes": map[string]any{claim: "/here"}} }
	withImage := volumes("data")
	withImage["image"] = "localhost/absent:1"
	withAccount := volumes("data")
	withAccount["serviceaccount"] = "absent"
	for name, c := range map[string]struct {
		ph   phase
		text string
	}{
		"no claim":   {p.prepare("claim", "true", volumes("absent")), "look up claim " + p.ns + "/absent"},
		"no program": {p.prepare("program", "no-such-program", volumes("data")), "no-such-program"},
		"no image":   {p.prepare("image", "true", withImage), "localhost/absent:1"},
		"no account": {p.prepare("account", "true", withAccount), "absent"},
		"no volumes": {p.prepare("volumes", "true", nil), "no volumes: the action's subject is no workload"},
	} {
		r := p.run(c.ph)
		require.ErrorContains(t, r.err, c.text, name)
		require.Nil(t, r.out, name)
	}
}

func TestPrepareDataOnAClusterIsCancelled(t *testing.T) {
	p := newPlace(t)
	p.claim("data")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	time.AfterFunc(4*time.Second, func() { cancel(stop) })
	ph := p.prepare("long", script("sleep 600"), map[string]any{"volumes": map[string]any{"data": "/here"}})
	ph.ctx = ctx
	r := p.run(ph)
	require.ErrorIs(t, r.err, stop)
	require.Empty(t, p.pods())
}
