//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/all"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

// kanisterBlueprint returns a blueprint of Kanister's, as it was published. The collection stands beside the checkout; DAVIT_CORPUS names another place.
func kanisterBlueprint(t testing.TB, file string) []byte {
	t.Helper()
	root, named := os.LookupEnv("DAVIT_CORPUS")
	if !named {
		root = "../../../shared/corpus/kanister-blueprints"
	}
	text, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err, "the collection of blueprints must stand beside the checkout")
	return text
}

// TestTimeLogBlueprintOfKanister runs Kanister's blueprint for files of a volume, byte for byte as it was published, with a bucket of a real S3 server: backup, loss, restore,
// delete; with each way to read the files of the container.
func TestTimeLogBlueprintOfKanister(t *testing.T) {
	c := testcluster.Open(t)
	s := testserver.VersityGW(t)
	f := blueprint.Parse("time-log.yaml", kanisterBlueprint(t, "time-log/time-log-blueprint.yaml"))
	require.NoError(t, f.Err())
	for name, v := range map[string]struct {
		image  string
		movers []data.Mover
		pods   int
	}{
		"agent": {testcluster.AgentImage, nil, 0},
		"pod":   {testcluster.RootImage, nil, 1},
		"exec":  {testcluster.RootImage, []data.Mover{data.MoverAgent, data.MoverExec}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTimeLogger(t, c, s, v.image)
			l.movers = v.movers
			written := l.sh("mkdir -p /var/log/deep; echo one >/var/log/deep/er; chmod 640 /var/log/deep/er; ln -s deep /var/log/link; date >/var/log/time.log; cat /var/log/time.log")

			backup := l.run(f.Blueprints[0], "backup", nil)
			require.Len(t, l.pods, v.pods)
			artifacts, err := backup.Artifacts(0)
			require.NoError(t, err)
			require.Equal(t, l.bucket+"/time-log", artifacts["timeLog"].KeyValue["path"])
			require.Regexp(t, "^[0-9a-f]{8}$", artifacts["backupIdentifier"].KeyValue["id"])
			require.Contains(t, l.keys(), "time-log/config", "right below the bucket, as Kanister has it")

			l.sh("rm -r /var/log/deep; echo overwritten >/var/log/time.log")
			l.run(f.Blueprints[0], "restore", artifacts)
			l.ready()
			require.Equal(t, written, l.sh("cat /var/log/time.log"))
			require.Equal(t, "640 deep\n", l.sh("stat -c %a /var/log/deep/er | tr '\\n' ' '; readlink /var/log/link"))

			l.run(f.Blueprints[0], "delete", artifacts)
			require.Empty(t, l.keys())
			l.noSecretSeen()
		})
	}
}

// timeLogger is the application, and a location.
type timeLogger struct {
	t         *testing.T
	client    *testcluster.Client
	cluster   *kubecluster.Cluster
	namespace string
	server    *testserver.S3
	bucket    string
	movers    []data.Mover
	runs      int
	log       quietLog

	mu   sync.Mutex
	pods []string
}

type quietLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *quietLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func newTimeLogger(t *testing.T, c *testcluster.Client, s *testserver.S3, image string) *timeLogger {
	t.Helper()
	clients, err := kubecluster.ForConfig(c.Config)
	require.NoError(t, err)
	k, err := kubecluster.New(clients, nil) // with the strictest settings
	require.NoError(t, err)
	l := &timeLogger{t: t, client: c, cluster: k, namespace: c.Namespace(t, nil), server: s, bucket: s.Bucket(t)}
	l.claim()
	labels, none := map[string]string{"app": "time-logger"}, int64(0)
	_, err = c.AppsV1().Deployments(l.namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "time-logger"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: &none,
					Containers: []corev1.Container{{
						Name: "test-container", Image: image, ImagePullPolicy: corev1.PullNever, Command: []string{"sleep", "100000"},
						VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/var/log"}},
					}},
					Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
						PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "time-log-pvc"},
					}}},
				},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.CoreV1().Secrets(l.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "s3"}, StringData: map[string]string{"id": s.AccessKey, "key": s.SecretKey},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	l.ready() // the network of pods is there then
	_, err = profileKind(t, c).Namespace(l.namespace).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cr.kanister.io/v1alpha1", "kind": "Profile", "metadata": map[string]any{"name": "s3-profile"},
		"location": map[string]any{"type": "s3Compliant", "bucket": l.bucket, "prefix": "some/prefix", "region": s.Region, "endpoint": forward(t, s.Endpoint)},
		"credential": map[string]any{"type": "keyPair", "keyPair": map[string]any{
			"idField": "id", "secretField": "key", "secret": map[string]any{"name": "s3", "namespace": l.namespace},
		}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	return l
}

// claim makes a claim of a folder of the node.
func (l *timeLogger) claim() {
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	modes, class := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, ""
	_, err := l.client.CoreV1().PersistentVolumes().Create(l.t.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: l.namespace},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: size, AccessModes: modes, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			ClaimRef:               &corev1.ObjectReference{Namespace: l.namespace, Name: "time-log-pvc"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: l.client.Volume(l.t)}},
		},
	}, metav1.CreateOptions{})
	require.NoError(l.t, err)
	l.t.Cleanup(func() {
		_ = l.client.CoreV1().PersistentVolumes().Delete(context.Background(), l.namespace, metav1.DeleteOptions{})
	})
	_, err = l.client.CoreV1().PersistentVolumeClaims(l.namespace).Create(l.t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "time-log-pvc"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: modes, StorageClassName: &class, VolumeName: l.namespace, Resources: corev1.VolumeResourceRequirements{Requests: size},
		},
	}, metav1.CreateOptions{})
	require.NoError(l.t, err)
}

// pod is the name of the only one there is.
func (l *timeLogger) pod() string {
	pods, err := l.client.CoreV1().Pods(l.namespace).List(l.t.Context(), metav1.ListOptions{LabelSelector: "app=time-logger"})
	if err != nil || len(pods.Items) != 1 || pods.Items[0].Status.Phase != corev1.PodRunning {
		return ""
	}
	return pods.Items[0].Name
}

func (l *timeLogger) ready() {
	l.t.Helper()
	require.Eventually(l.t, func() bool { return l.pod() != "" }, 2*time.Minute, 100*time.Millisecond, "the application")
}

// sh runs a line of shell in the application.
func (l *timeLogger) sh(line string) string {
	l.t.Helper()
	var out, errs bytes.Buffer
	err := l.cluster.Exec(l.t.Context(), cluster.Command{Namespace: l.namespace, Pod: l.pod(), Args: []string{"sh", "-c", line}, Stdout: &out, Stderr: &errs})
	require.NoError(l.t, err, errs.String())
	return out.String()
}

// keys lists the bucket.
func (l *timeLogger) keys() (keys []string) {
	s := l.server
	loc := &location.Location{Type: location.TypeS3, Bucket: l.bucket, Endpoint: s.Endpoint, Region: s.Region, Credential: location.NewKeyPair(s.AccessKey, s.SecretKey)}
	b, err := location.Open(l.t.Context(), loc, all.Openers(), nil)
	require.NoError(l.t, err)
	defer func() { require.NoError(l.t, b.Close()) }()
	for o, err := range b.Objects().List(l.t.Context(), "") {
		require.NoError(l.t, err)
		keys = append(keys, o.Key)
	}
	return keys
}

// RunPod notes what the pod shows to others.
func (l *timeLogger) RunPod(ctx context.Context, pod cluster.Pod) error {
	shown := pod
	shown.Profile, shown.Log, shown.Results = nil, nil, nil
	l.mu.Lock()
	l.pods = append(l.pods, fmt.Sprintf("%+v", shown))
	l.mu.Unlock()
	return l.cluster.RunPod(ctx, pod)
}

func (l *timeLogger) RemovePod(ctx context.Context, namespace, name string) error {
	return l.cluster.RemovePod(ctx, namespace, name)
}

// run runs an action. There is no password in the blueprint: the host keeps one in the namespace.
func (l *timeLogger) run(bp *blueprint.Blueprint, action string, artifacts map[string]template.Artifact) *engine.Result {
	l.t.Helper()
	k := l.cluster
	reg, err := function.NewRegistry(builtin.All(builtin.Deps{
		Kube: kube.Deps{Exec: k, Pods: l, Scaler: k, Objects: k, Namespace: l.namespace},
		Open: func(ctx context.Context, profile []byte) (*location.Bucket, error) {
			return location.OpenProfile(ctx, profile, all.Openers())
		},
		Data: data.Deps{MoverImage: testcluster.AgentImage, Keys: data.SecretKeys(k, l.namespace), Movers: l.movers},
	})...)
	require.NoError(l.t, err)
	l.runs++
	res, err := engine.New(reg, kubedata.New(k, k), &engine.Options{Sweep: k, Logger: slog.New(slog.NewTextHandler(&l.log, nil))}).Run(l.t.Context(), &engine.Spec{
		ID: fmt.Sprintf("time-log-%s-%d", l.namespace, l.runs), Blueprints: []*blueprint.Blueprint{bp},
		Actions: []blueprint.ActionSpec{{
			Name: action, Blueprint: bp.Name, Artifacts: artifacts, Object: template.ObjectReference{Kind: "Deployment", Namespace: l.namespace, Name: "time-logger"},
			Profile: &template.ObjectReference{Namespace: l.namespace, Name: "s3-profile"},
		}},
	}, &engine.MemoryJournal{})
	require.NoError(l.t, err, l.log.b.String())
	text, err := json.Marshal(res)
	require.NoError(l.t, err)
	_, _ = l.log.Write(text)
	return res
}

// noSecretSeen looks for the credential and the password in what was logged and in the pods.
func (l *timeLogger) noSecretSeen() {
	secrets, err := l.client.CoreV1().Secrets(l.namespace).List(l.t.Context(), metav1.ListOptions{LabelSelector: "createdBy=davit"})
	require.NoError(l.t, err)
	var passwords []string
	for _, s := range secrets.Items {
		if strings.HasPrefix(s.Name, "davit-repository-") {
			passwords = append(passwords, string(s.Data["password"]))
		}
	}
	require.Len(l.t, passwords, 1)
	require.Greater(l.t, len(passwords[0]), 40)
	seen := l.log.b.String() + strings.Join(l.pods, "\n")
	require.NotContains(l.t, seen, passwords[0])
	require.NotContains(l.t, seen, l.server.SecretKey)
}
