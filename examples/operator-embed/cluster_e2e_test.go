//go:build e2e

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
)

// The folder of a running cluster, as internal/testcluster starts it, and an image that is in it. A copy of this program outside the repository
// has no internal packages, so the few lines that connect are here.
const (
	clusterEnv = "DAVIT_TESTCLUSTER"
	image      = "localhost/busybox:1"
)

// resource is the manifest of the Backups' definition, which the tests share.
const resource = "config/crd/example.davit.io_backups.yaml"

// TestMain removes it after all of them.
func TestMain(m *testing.M) {
	code := m.Run()
	if config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(os.Getenv(clusterEnv), "kubeconfig")); err == nil {
		if c, err := client.New(config, client.Options{}); err == nil {
			crd := &unstructured.Unstructured{}
			crd.SetAPIVersion("apiextensions.k8s.io/v1")
			crd.SetKind("CustomResourceDefinition")
			crd.SetName("backups.example.davit.io")
			_ = c.Delete(context.Background(), crd) // it is only one of the test cluster
		}
	}
	os.Exit(code)
}

// canary is the password of the database: nothing but its secret may hold it.
const canary = "canary-5b1d7c04"

// place is a namespace with a database in it, and the way of the cluster's administrator to it.
type place struct {
	t    *testing.T
	name string
	client.Client
	kube   *kubernetes.Clientset
	config *rest.Config
	// binary and kubeconfig are the operator's.
	binary, kubeconfig string
	operators          []*process
}

// newPlace builds the operator, and installs it as its manifests say, with the rights of its role and no others.
func newPlace(t *testing.T) *place {
	t.Helper()
	dir := os.Getenv(clusterEnv)
	require.NotEmpty(t, dir, "no test cluster: %s must name the folder of one", clusterEnv)
	p := &place{t: t, name: "t-" + strings.ToLower(rand.Text()[:8])}
	var err error
	p.config, err = clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "kubeconfig"))
	require.NoError(t, err)
	p.config.QPS, p.config.Burst = 500, 500
	p.kube, err = kubernetes.NewForConfig(p.config)
	require.NoError(t, err)
	types := runtime.NewScheme()
	require.NoError(t, scheme.AddToScheme(types))
	require.NoError(t, v1alpha1.AddToScheme(types))
	p.Client, err = client.New(p.config, client.Options{Scheme: types, FieldValidation: metav1.FieldValidationStrict})
	require.NoError(t, err)

	p.binary = filepath.Join(t.TempDir(), "operator")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	p.apply(resource)
	p.apply("config/namespace.yaml")
	t.Cleanup(p.remove)
	p.apply("config/role.yaml")
	p.credentials()
	p.database()
	return p
}

// apply creates the objects of a file, in this place instead of the namespace that is written there.
func (p *place) apply(file string) {
	p.t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(p.t, err)
	for doc := range strings.SplitSeq(strings.ReplaceAll(string(data), "davit-example", p.name), "\n---\n") {
		object := &unstructured.Unstructured{}
		require.NoError(p.t, yaml.Unmarshal([]byte(doc), &object.Object))
		if err := p.Create(p.t.Context(), object); !apierrors.IsAlreadyExists(err) {
			require.NoError(p.t, err)
		}
	}
}

// credentials writes a kubeconfig for the operator's service account.
func (p *place) credentials() {
	var token *authv1.TokenRequest
	require.Eventually(p.t, func() (ok bool) {
		var err error
		token, err = p.kube.CoreV1().ServiceAccounts(p.name).CreateToken(p.t.Context(), "operator-embed", &authv1.TokenRequest{}, metav1.CreateOptions{})
		return err == nil
	}, 10*time.Second, 50*time.Millisecond)
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{
		Server: p.config.Host, CertificateAuthority: p.config.CAFile, CertificateAuthorityData: p.config.CAData,
	}
	config.AuthInfos["operator"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "operator"}
	config.CurrentContext = "c"
	p.kubeconfig = filepath.Join(p.t.TempDir(), "kubeconfig")
	require.NoError(p.t, clientcmd.WriteToFile(*config, p.kubeconfig))
}

// database starts a StatefulSet whose pod has a password.
func (p *place) database() {
	meta := metav1.ObjectMeta{Name: "db", Namespace: p.name}
	labels := map[string]string{"app": "db"}
	no, yes := false, true
	require.NoError(p.t, p.Create(p.t.Context(), &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"password": canary}}))
	require.NoError(p.t, p.Create(p.t.Context(), &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64),
			SecurityContext:               &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "db", Image: image, ImagePullPolicy: corev1.PullNever, Command: []string{"sh", "-c", "while :; do sleep 1; done"},
				EnvFrom:         []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "db"}}}},
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		}},
	}}))
	require.Eventually(p.t, func() bool {
		pod, err := p.kube.CoreV1().Pods(p.name).Get(p.t.Context(), "db-0", metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning
	}, time.Minute, 100*time.Millisecond)
}

// remove ends the operators and deletes the namespace, after a look at what the runs left behind.
func (p *place) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, o := range p.operators {
		o.kill()
	}
	for _, o := range p.operators {
		if p.t.Failed() {
			p.t.Log(o.log.String())
		}
		assert.NotContains(p.t, o.log.String(), canary, "the log of the operator")
	}
	assert.Empty(p.t, p.left(ctx), "left behind")
	// no operator is there any more to take finalizers away
	var list v1alpha1.BackupList
	require.NoError(p.t, p.List(ctx, &list, client.InNamespace(p.name)))
	for i := range list.Items {
		require.NoError(p.t, client.IgnoreNotFound(p.Patch(ctx, &list.Items[i], client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))))
	}
	require.NoError(p.t, p.kube.CoreV1().Namespaces().Delete(ctx, p.name, metav1.DeleteOptions{}))
}

// left are the pods and secrets of runs.
func (p *place) left(ctx context.Context) (names []string) {
	pods, err := p.kube.CoreV1().Pods(p.name).List(ctx, metav1.ListOptions{LabelSelector: engine.RunLabel})
	require.NoError(p.t, err)
	for i := range pods.Items {
		names = append(names, "pod "+pods.Items[i].Name)
	}
	secrets, err := p.kube.CoreV1().Secrets(p.name).List(ctx, metav1.ListOptions{LabelSelector: engine.RunLabel})
	require.NoError(p.t, err)
	for i := range secrets.Items {
		names = append(names, "secret "+secrets.Items[i].Name)
	}
	return names
}

// process is one operator.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan struct{}
}

func (p *place) start() *process {
	p.t.Helper()
	o := &process{t: p.t, log: &bytes.Buffer{}, done: make(chan struct{})}
	o.cmd = exec.Command(p.binary, "--namespace", p.name, "--probes", "0", "--drain", "20s")
	o.cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig)
	o.cmd.Stderr = o.log
	require.NoError(p.t, o.cmd.Start())
	go func() {
		defer close(o.done)
		_ = o.cmd.Wait()
	}()
	p.operators = append(p.operators, o)
	return o
}

// kill ends the process without notice.
func (o *process) kill() {
	_ = o.cmd.Process.Kill()
	<-o.done
}

// term asks the process to end.
func (o *process) term() { require.NoError(o.t, o.cmd.Process.Signal(syscall.SIGTERM)) }

// blueprint writes the ConfigMap of a blueprint.
func (p *place) blueprint(text string) {
	p.t.Helper()
	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "blueprint", Namespace: p.name},
		Data:       map[string]string{"blueprint.yaml": strings.NewReplacer("IMAGE", image, "UNDO", undoInDatabase).Replace(text)},
	}
	err := p.Create(p.t.Context(), object)
	if apierrors.IsAlreadyExists(err) {
		err = p.Update(p.t.Context(), object)
	}
	require.NoError(p.t, err)
}

// ask creates a Backup.
func (p *place) ask(name string) {
	p.t.Helper()
	require.NoError(p.t, p.Create(p.t.Context(), &v1alpha1.Backup{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: p.name},
		Spec:       v1alpha1.BackupSpec{Database: "db", Blueprint: "blueprint"},
	}))
}

// until waits until a Backup is as the test wants; it is empty once it is gone.
func (p *place) until(name string, holds func(*v1alpha1.Backup) bool) *v1alpha1.Backup {
	p.t.Helper()
	var b *v1alpha1.Backup
	if !waitFor(time.Minute, func() bool {
		b = &v1alpha1.Backup{}
		require.NoError(p.t, client.IgnoreNotFound(p.Get(p.t.Context(), client.ObjectKey{Namespace: p.name, Name: name}, b)))
		return holds(b)
	}) {
		require.Fail(p.t, "not as it should be", "%+v", b.Status)
	}
	return b
}

func waitFor(limit time.Duration, holds func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}

// inPod waits for a pod with this label to run, and runs a command in it as soon as it can. It returns the pod as it was then.
func (p *place) inPod(label string, command ...string) (pod corev1.Pod) {
	p.t.Helper()
	var last error
	require.True(p.t, waitFor(time.Minute, func() bool {
		pods, err := p.kube.CoreV1().Pods(p.name).List(p.t.Context(), metav1.ListOptions{LabelSelector: label})
		require.NoError(p.t, err)
		for _, pod = range pods.Items {
			if pod.Status.Phase == corev1.PodRunning {
				last = p.exec(pod.Name, command)
				return last == nil
			}
		}
		return false
	}), "%v in a pod with %s: %v", command, label, last)
	return pod
}

func (p *place) exec(pod string, command []string) error {
	request := p.kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(p.name).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	e, err := remotecommand.NewWebSocketExecutor(p.config, "GET", request.URL().String())
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := e.StreamWithContext(p.t.Context(), remotecommand.StreamOptions{Stdout: &out, Stderr: &out}); err != nil {
		return fmt.Errorf("%w: %s", err, out.String())
	}
	return nil
}

// catalogue holds what RecordBackup wrote, by run.
func (p *place) catalogue() map[string]string {
	object := &corev1.ConfigMap{}
	require.NoError(p.t, client.IgnoreNotFound(p.Get(p.t.Context(), client.ObjectKey{Namespace: p.name, Name: "backup-catalogue"}, object)))
	return object.Data
}
