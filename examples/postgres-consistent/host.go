package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/csi"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

//go:embed blueprint.yaml
var document []byte

// host embeds Davit.
type host struct {
	opts      options
	namespace string
	kube      kubernetes.Interface
	cluster   *kubecluster.Cluster
	engine    *engine.Engine
	parsed    *blueprint.File
	// journals is the folder of the runs' journals.
	journals string

	mu sync.Mutex
	// held is when this host had read that the database is held.
	held time.Time
}

// newHost connects the parts. Nothing is made in the cluster yet.
func newHost(config *rest.Config, opts options) (*host, error) {
	h := &host{opts: opts, namespace: "davit-consistent-" + strings.ToLower(rand.Text()[:6])}
	// The cluster: commands in pods, objects.
	clients, err := kubecluster.ForConfig(config)
	if err != nil {
		return nil, err
	}
	h.kube = clients.Kube
	if h.cluster, err = kubecluster.New(clients, &kubecluster.Options{Namespaces: []string{h.namespace}}); err != nil {
		return nil, err
	}
	// Its snapshots. Functions get both: the command that holds the database runs in its pod.
	driver, err := csi.NewForConfig(config, nil)
	if err != nil {
		return nil, err
	}
	registry, err := function.NewRegistry(volume.Functions(volume.Deps{Snapshots: snapshot.New(driver, nil), Exec: h.cluster})...)
	if err != nil {
		return nil, err
	}
	h.parsed = blueprint.Parse("blueprint.yaml", document)
	if err := h.parsed.Err(); err != nil {
		return nil, err
	}
	h.engine = engine.New(registry, kubedata.New(h.cluster, h.cluster), &engine.Options{Sweep: h.cluster, Progress: h.progress})
	h.journals, err = os.MkdirTemp("", "davit-consistent-")
	return h, err
}

// progress notes when the database is held.
func (h *host) progress(_ engine.PhaseRef, p function.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held.IsZero() && strings.HasSuffix(p.Note, " is held") {
		h.held = time.Now()
	}
}

// run executes an action of the blueprint on the server and returns its artifacts. Its journal makes it a run that another process could go on with.
func (h *host) run(ctx context.Context, action string, artifacts map[string]template.Artifact) (_ map[string]template.Artifact, err error) {
	id := h.namespace + "-" + action
	journal, err := engine.OpenFile(filepath.Join(h.journals, id+".journal"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	result, err := h.engine.Run(ctx, &engine.Spec{ID: id, Blueprints: h.parsed.Blueprints, Actions: []blueprint.ActionSpec{{
		Name: action, Blueprint: h.parsed.Blueprints[0].Name, Artifacts: artifacts,
		Object:  template.ObjectReference{Kind: "StatefulSet", Namespace: h.namespace, Name: server},
		Options: map[string]string{"storageClass": h.opts.storageClass, "snapshotClass": h.opts.snapshotClass},
	}}}, journal)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	return result.Artifacts(0)
}

// close removes the journals and the namespace; it does not wait for its end. It does so after ctx has ended too.
func (h *host) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	err := h.kube.CoreV1().Namespaces().Delete(ctx, h.namespace, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(h.journals))
}
