//go:build linux

package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/davit-project/davit/internal/testcluster"
)

// otherProvisioner makes volumes of the driver that has no class of snapshots.
const otherProvisioner = "csi-provisioner-other"

// storage are the programs of each component of storage.
var storage = map[string]string{
	testcluster.CSIDriver: "btrcsi", testcluster.CSIProvisioner: "csi-provisioner", otherProvisioner: "csi-provisioner",
	testcluster.CSISnapshotter: "csi-snapshotter", testcluster.SnapshotController: "snapshot-controller",
}

// reborn are components that are started again when they end by themselves, as the kubelet would: those of storage end when they lose the driver, those of the control plane
// when the one that they need is slow to start.
var reborn = map[string]bool{
	testcluster.CSIProvisioner: true, otherProvisioner: true, testcluster.CSISnapshotter: true, testcluster.SnapshotController: true,
	"kube-apiserver": true, "kube-controller-manager": true, "kube-scheduler": true,
}

// csiFlags are the flags of a component of storage. Failures are tried again soon and often: tests wait for it.
func (c *machine) csiFlags(name string) []string {
	if name == testcluster.CSIDriver {
		return []string{
			"--dir=" + c.path("csi"), "--registry=" + c.path("kubelet", "plugins_registry"), "--node=" + nodeName, testcluster.DriverName, testcluster.OtherDriverName,
		}
	}
	flags := []string{
		"--kubeconfig=" + c.path("pki", "admin.kubeconfig"), "--leader-election=false", "--kube-api-qps=200", "--kube-api-burst=400",
		"--retry-interval-start=100ms", "--retry-interval-max=500ms", "--worker-threads=32",
	}
	driver := testcluster.DriverName
	if name == otherProvisioner {
		driver = testcluster.OtherDriverName
	}
	if name == testcluster.CSIProvisioner || name == otherProvisioner {
		flags = append(flags, "--snapshot-orphan-sweep-interval=500ms") // a claim that is given up lets go of its snapshot
	}
	if name != testcluster.SnapshotController {
		flags = append(flags, "--csi-address="+c.path("csi", driver+".sock"), "--extra-create-metadata", "--timeout=1m")
	}
	return flags
}

//go:embed csi.yaml
var storageObjects string

// startStorage tells the API server of the drivers and starts what stands between it and them. Drivers are ready when the kubelet finds them.
func (c *machine) startStorage(ctx context.Context, client *kubernetes.Clientset) error {
	err := await(ctx, "wait for the API server", func(ctx context.Context) error {
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
	if err != nil {
		return err
	}
	definitions, err := filepath.Glob(filepath.Join(c.parts.CSI, "*.yaml"))
	if err == nil && len(definitions) == 0 {
		err = errors.New("no definitions of the API of snapshots in " + c.parts.CSI)
	}
	if err != nil {
		return err
	}
	for _, file := range definitions {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := c.create(ctx, data); err != nil {
			return err
		}
	}
	if err := c.create(ctx, []byte(namedStorage.Replace(storageObjects))); err != nil {
		return err
	}
	for name := range storage {
		if name == testcluster.CSIDriver {
			continue // it is of the node
		}
		if err := c.launch(name); err != nil {
			return err
		}
	}
	return nil
}

// namedStorage puts the names that tests use into csi.yaml.
var namedStorage = strings.NewReplacer(
	"@DRIVER@", testcluster.DriverName, "@OTHER@", testcluster.OtherDriverName, "@CLASS@", testcluster.StorageClass, "@LATE@", testcluster.LateStorageClass,
	"@OTHERCLASS@", testcluster.OtherStorageClass, "@SNAPSHOTS@", testcluster.SnapshotClass, "@RETAIN@", testcluster.RetainSnapshotClass,
)

// create makes objects without a namespace. The server may be about to learn of their kind.
func (c *machine) create(ctx context.Context, text []byte) error {
	config, err := clientcmd.BuildConfigFromFlags("", c.path("kubeconfig"))
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	for objects := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := objects.Decode(object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
		what := fmt.Sprintf("create %s %s", resource.Resource, object.GetName())
		err := await(ctx, what, func(ctx context.Context) error {
			_, err := client.Resource(resource).Create(ctx, object, metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				err = nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
}
