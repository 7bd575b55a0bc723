//go:build unix

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/rds"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/all"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

//go:embed blueprint.yaml
var document []byte

// namespace is where everything is.
const namespace = "shop"

// database is an instance of RDS and its user.
type database struct{ instance, region, user, password string }

// host embeds Davit.
type host struct {
	dir     string
	cluster *localcluster.Cluster
	engine  *engine.Engine
	parsed  *blueprint.File
	runs    int
}

// newHost connects the parts. What it keeps is below dir; dumps are in folder.
func newHost(ctx context.Context, dir, folder string, deps rds.Deps) (*host, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// Pods are processes of this machine, and find this program under the name davit. On Kubernetes it is kubecluster that runs them, of an image with davit and psql.
	c, err := localcluster.Open(ctx, filepath.Join(dir, "cluster"), &localcluster.Options{Agent: exe})
	if err != nil {
		return nil, err
	}
	profile := fmt.Sprintf("apiVersion: cr.kanister.io/v1alpha1\nkind: Profile\nmetadata: {name: backups, namespace: %s}\nlocation: {type: file, bucket: %q}\n", namespace, folder)
	if err := c.Apply(ctx, "profile.yaml", []byte(profile)); err != nil {
		return nil, errors.Join(err, c.Down(ctx))
	}
	// The functions that the blueprint calls.
	open := func(ctx context.Context, profile []byte) (*location.Bucket, error) {
		return location.OpenProfile(ctx, profile, all.Openers())
	}
	deps.Pods, deps.Open, deps.DumpImage = c, open, "this machine"
	registry, err := function.NewRegistry(append(rds.Functions(deps), data.LocationDelete(open))...)
	if err != nil {
		return nil, errors.Join(err, c.Down(ctx))
	}
	h := &host{dir: dir, cluster: c, parsed: blueprint.Parse("blueprint.yaml", document)}
	h.engine = engine.New(registry, kubedata.New(c, c), &engine.Options{Sweep: c})
	return h, errors.Join(h.parsed.Err())
}

func (h *host) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return h.cluster.Down(ctx)
}

// run runs an action of the blueprint on a database. Its journal is a file: a process that comes after this one could resume it.
func (h *host) run(ctx context.Context, action string, at database, artifacts map[string]template.Artifact) (map[string]template.Artifact, error) {
	h.runs++
	meta := map[string]any{"name": at.instance, "namespace": namespace}
	for _, object := range []map[string]any{
		{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": map[string]any{"instanceID": at.instance, "region": at.region}},
		{"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": map[string]any{"username": at.user, "password": at.password}},
	} {
		text, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		if err := h.cluster.Apply(ctx, "database.json", text); err != nil {
			return nil, err
		}
	}
	journal, err := engine.OpenFile(filepath.Join(h.dir, fmt.Sprintf("%d-%s.journal", h.runs, action)))
	if err != nil {
		return nil, err
	}
	ref := template.ObjectReference{APIVersion: "v1", Resource: "configmaps", Namespace: namespace, Name: at.instance}
	result, err := h.engine.Run(ctx, &engine.Spec{
		ID: fmt.Sprintf("%s-%d", action, time.Now().UnixNano()), Blueprints: h.parsed.Blueprints,
		Actions: []blueprint.ActionSpec{{
			Name: action, Blueprint: h.parsed.Blueprints[0].Name, Object: ref, Artifacts: artifacts,
			Profile: &template.ObjectReference{Namespace: namespace, Name: "backups"},
			Secrets: map[string]template.ObjectReference{"db": {Namespace: namespace, Name: at.instance}},
		}},
	}, journal)
	if err = errors.Join(err, journal.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	return result.Artifacts(0)
}

// pathOf is the path of a backup's dump.
func pathOf(artifacts map[string]template.Artifact) string {
	kept := artifacts["backup"].KeyValue
	return kept["prefix"] + "/" + kept["dump"]
}

// dumpAt is the artifact of a dump.
func dumpAt(path string) (map[string]template.Artifact, error) {
	i := strings.LastIndexByte(path, '/')
	if i < 1 {
		return nil, fmt.Errorf("dump %q is no path such as rds/shop/NAME", path)
	}
	return map[string]template.Artifact{"backup": {KeyValue: map[string]string{"snapshot": "", "prefix": path[:i], "dump": path[i+1:]}}}, nil
}
