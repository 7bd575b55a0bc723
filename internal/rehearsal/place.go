package rehearsal

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/davit-project/davit/cluster"
)

// The database's StatefulSet, its pod and the claim of its data.
const (
	workload  = "database"
	pod       = workload + "-0"
	dataClaim = "data-" + pod
)

// startTime is how long the database may take to be ready: images are pulled, volumes made.
const startTime = 10 * time.Minute

//go:embed cluster.yaml
var manifests string

// Deploy makes the namespace, where it is the rehearsal's own, and the database, and returns when it takes commands.
func (r *Rehearsal) Deploy(ctx context.Context) error {
	if r.own {
		namespace := map[string]any{
			"apiVersion": "v1", "kind": "Namespace",
			"metadata": map[string]any{"name": r.opts.Namespace, "labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted"}},
		}
		if _, err := r.cluster.Create(ctx, namespace, "", "rehearsal"); err != nil {
			return err
		}
	}
	ready, err := json.Marshal(r.db.ready)
	if err != nil {
		return err
	}
	class := "null" // the cluster's own
	if r.opts.StorageClass != "" {
		class = strconv.Quote(r.opts.StorageClass)
	}
	text := strings.NewReplacer(
		"$(USER)", r.db.user, "$(PASSWORD)", r.password, "$(PORT)", strconv.Itoa(r.db.port), "$(IMAGE)", strconv.Quote(r.opts.Image),
		"$(PASSWORD_VARIABLE)", r.db.passwordVariable, "$(DATA)", r.db.data, "$(READY)", string(ready), "$(CLASS)", class,
	).Replace(manifests)
	if err := r.apply(ctx, text); err != nil {
		return err
	}
	if err := r.awaitReady(ctx, 1); err != nil {
		return err
	}
	return r.sql(ctx, "", r.db.schema(r.appPassword), nil)
}

// apply creates the objects of a text.
func (r *Rehearsal) apply(ctx context.Context, text string) error {
	in := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		var manifest map[string]any
		err := in.Decode(&manifest)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := r.cluster.Create(ctx, manifest, r.opts.Namespace, "rehearsal"); err != nil {
			return err
		}
	}
}

// Scale stops the database (0) or starts it (1), and returns when it has.
func (r *Rehearsal) Scale(ctx context.Context, replicas int32) error {
	if _, err := r.cluster.Scale(ctx, r.workload(), replicas, "rehearsal"); err != nil {
		return err
	}
	return r.awaitReady(ctx, replicas)
}

func (r *Rehearsal) awaitReady(ctx context.Context, replicas int32) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return r.cluster.AwaitScaled(ctx, r.workload(), replicas)
}

func (r *Rehearsal) workload() cluster.Workload {
	return cluster.Workload{Kind: "StatefulSet", Namespace: r.opts.Namespace, Name: workload}
}

// DropTables loses the tables; roles, routines and the server stay.
func (r *Rehearsal) DropTables(ctx context.Context) error {
	return r.sql(ctx, shop, r.db.drop, nil)
}

// LoseVolume stops the database, empties its volume and starts it again: a server that has never held anything.
func (r *Rehearsal) LoseVolume(ctx context.Context) error {
	if err := r.Scale(ctx, 0); err != nil {
		return err
	}
	// What a file system has put there itself stays.
	err := r.pod(ctx, nil, "bash", "-c", `shopt -s dotglob nullglob; cd /volume; for f in *; do [ "$f" = lost+found ] || rm -rf "$f" || exit; done`)
	return errors.Join(err, r.Scale(ctx, 1))
}

// Stored lists the files in the location, by looking at the volume itself, not through Davit.
func (r *Rehearsal) Stored(ctx context.Context) ([]string, error) {
	var out bytes.Buffer
	err := r.pod(ctx, &out, "bash", "-c", `shopt -s dotglob globstar nullglob; cd /backups; for f in **; do [ ! -f "$f" ] || echo "$f"; done`)
	return strings.Fields(out.String()), err
}

// pod runs a command beside the volumes of data and backups.
func (r *Rehearsal) pod(ctx context.Context, out io.Writer, command ...string) error {
	const name = "look"
	err := r.cluster.RunPod(ctx, cluster.Pod{
		Name: name, Namespace: r.opts.Namespace, Image: r.opts.Image, Command: command, Labels: map[string]string{"app": name},
		Claims: map[string]string{dataClaim: "/volume", backups: backupsPath}, Log: out,
	})
	if err != nil {
		err = fmt.Errorf("run %s beside the volumes: %w", command[0], err)
	}
	return errors.Join(err, r.cluster.RemovePod(ctx, r.opts.Namespace, name))
}

func (r *Rehearsal) deleteNamespace(ctx context.Context) error {
	err := r.kube.CoreV1().Namespaces().Delete(ctx, r.opts.Namespace, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
