//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	corev1 "k8s.io/api/core/v1"

	"github.com/davit-project/davit/internal/testcluster"
)

// components of Kubernetes, by the names they answer to.
var components = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl"}

// onNode are the components that run in the node's namespaces.
var onNode = []string{"kubelet", "containerd", testcluster.CSIDriver}

// flags of a component.
func (c *machine) flags(name string) []string {
	pki := func(file string) string { return c.path("pki", file) }
	switch name {
	case "etcd":
		return []string{
			"--data-dir=" + c.path("etcd"), "--unsafe-no-fsync", "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn",
		}
	case "kube-apiserver":
		return []string{
			"--etcd-servers=http://127.0.0.1:2379", "--bind-address=0.0.0.0", "--advertise-address=" + serviceIP, fmt.Sprintf("--secure-port=%d", apiPort),
			"--service-cluster-ip-range=" + serviceNet, "--endpoint-reconciler-type=none", "--authorization-mode=Node,RBAC", "--allow-privileged=true",
			"--client-ca-file=" + pki("ca.crt"), "--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
			"--service-account-key-file=" + pki("sa.pub"), "--service-account-signing-key-file=" + pki("sa.key"),
			"--service-account-issuer=https://kubernetes.default.svc", "--kubelet-client-certificate=" + pki("apiserver-kubelet-client.crt"),
			"--kubelet-client-key=" + pki("apiserver-kubelet-client.key"), "--kubelet-certificate-authority=" + pki("ca.crt"),
			"--kubelet-preferred-address-types=InternalIP", "--profiling=false",
		}
	case "kube-controller-manager":
		return []string{
			"--kubeconfig=" + pki("controller-manager.kubeconfig"), "--bind-address=127.0.0.1", "--leader-elect=false",
			"--service-account-private-key-file=" + pki("sa.key"), "--root-ca-file=" + pki("ca.crt"), "--use-service-account-credentials=true",
			"--cluster-signing-cert-file=" + pki("ca.crt"), "--cluster-signing-key-file=" + pki("ca.key"), "--concurrent-gc-syncs=5",
			"--pvclaimbinder-sync-period=2s",
		}
	case "containerd", "kubelet":
		return c.nodeFlags(name)
	case testcluster.CSIDriver, testcluster.CSIProvisioner, otherProvisioner, testcluster.CSISnapshotter, testcluster.SnapshotController:
		return c.csiFlags(name)
	default:
		return []string{"--kubeconfig=" + pki("scheduler.kubeconfig"), "--bind-address=127.0.0.1", "--leader-elect=false"}
	}
}

// ready returns when the server answers, the node takes pods and the default namespace has its service account.
func (c *machine) ready(ctx context.Context, client *kubernetes.Clientset) error {
	err := await(ctx, "wait for the API server", func(ctx context.Context) error {
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
	if err != nil {
		return err
	}
	err = await(ctx, "wait for the node", func(ctx context.Context) error { return nodeReady(ctx, client) })
	if err != nil {
		return err
	}
	return await(ctx, "wait for the default service account", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func nodeReady(ctx context.Context, client *kubernetes.Clientset) error {
	node, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return errors.New("the node is not ready")
}

// serveControl lets tests stop and start components: POST /stop/NAME and POST /start/NAME on the socket "control". Import takes a path: POST /import?path=.
func (c *machine) serveControl() error {
	l, err := c.listen("control")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	do := func(pattern string, f func(r *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := f(r); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	do("POST /stop/{name}", func(r *http.Request) error {
		if name := r.PathValue("name"); !slices.Contains(onNode, name) {
			return c.end(name)
		}
		return c.tellNode(r.Context(), "stop/"+r.PathValue("name"))
	})
	do("POST /start/{name}", func(r *http.Request) error {
		if name := r.PathValue("name"); !slices.Contains(onNode, name) {
			return c.launch(name)
		}
		return c.tellNode(r.Context(), "start/"+r.PathValue("name"))
	})
	do("POST /import", func(r *http.Request) error {
		return c.tellNode(r.Context(), "import?"+r.URL.RawQuery)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // ends with the listener
	return nil
}
