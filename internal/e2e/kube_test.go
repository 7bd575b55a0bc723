//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/internal/testcluster"
)

// bindKube binds to a real cluster. The commands of these tests keep their notes in a folder of the node, which the policy has to allow.
func bindKube(w where) (bound, error) {
	config, err := clientcmd.BuildConfigFromFlags("", w.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 100
	clients, err := kubecluster.ForConfig(config)
	if err != nil {
		return nil, err
	}
	return kubecluster.New(clients, &kubecluster.Options{
		Policy: kubecluster.Policy{Level: kubecluster.LevelPrivileged}, Namespaces: []string{w.Namespace},
	})
}

// newKubePlace is a place on the test cluster: a namespace with the database.
func newKubePlace(t testing.TB) *place {
	c := testcluster.Open(t)
	p := &place{dir: t.TempDir(), t: t, where: where{Kubeconfig: c.Kubeconfig, Namespace: c.Namespace(t, nil), Notes: c.Volume(t)}}
	_, err := c.CoreV1().Secrets(p.Namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "db"}, StringData: map[string]string{"password": canary},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.AppsV1().StatefulSets(p.Namespace).Create(t.Context(), p.database(), metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		db, err := c.AppsV1().StatefulSets(p.Namespace).Get(t.Context(), "db", metav1.GetOptions{})
		return err == nil && db.Status.ReadyReplicas == 1
	}, time.Minute, 100*time.Millisecond, "the database")
	return p
}

// database sleeps.
func (p *place) database() *appsv1.StatefulSet {
	labels, none := map[string]string{"app": "db"}, int64(0)
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: &none,
					Containers: []corev1.Container{{
						Name: "server", Image: testcluster.BusyboxImage, ImagePullPolicy: corev1.PullNever, Command: []string{"sleep", "100000"},
						VolumeMounts: []corev1.VolumeMount{{Name: "notes", MountPath: p.Notes}},
					}},
					Volumes: []corev1.Volume{{Name: "notes", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: p.Notes}}}},
				},
			},
		},
	}
}

// override gives the pods of a run the folder of notes; nil on this machine, where they have it anyway.
func (p *place) override() map[string]any {
	if p.Kubeconfig == "" {
		return nil
	}
	return map[string]any{
		"terminationGracePeriodSeconds": 0,
		"containers":                    []any{map[string]any{"name": "container", "volumeMounts": []any{map[string]any{"name": "notes", "mountPath": p.Notes}}}},
		"volumes":                       []any{map[string]any{"name": "notes", "hostPath": map[string]any{"path": p.Notes}}},
	}
}

// leftoversOfKube lists the pods that are there beside those of the database, and the secrets that are not its own. Secrets go some time after their pods.
func (p *place) leftoversOfKube() []string {
	c := testcluster.Open(p.t)
	list := func() (names []string) {
		pods, err := c.CoreV1().Pods(p.Namespace).List(context.Background(), metav1.ListOptions{})
		require.NoError(p.t, err)
		for _, pod := range pods.Items {
			if !strings.HasPrefix(pod.Name, "db-") {
				names = append(names, "pod "+pod.Name)
			}
		}
		secrets, err := c.CoreV1().Secrets(p.Namespace).List(context.Background(), metav1.ListOptions{})
		require.NoError(p.t, err)
		for _, secret := range secrets.Items {
			if secret.Name != "db" {
				names = append(names, "secret "+secret.Name)
			}
		}
		return names
	}
	left := list()
	for end := time.Now().Add(15 * time.Second); len(left) > 0 && time.Now().Before(end); left = list() {
		time.Sleep(100 * time.Millisecond) // between two looks
	}
	return left
}
