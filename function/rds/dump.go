package rds

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/internal/podspec"
	"github.com/davit-project/davit/internal/pgdump"
)

// server is a PostgreSQL server as its pod reaches it, always through TLS.
type server struct {
	Host string
	Port int32
	// Username and Password sign in; the password is never on a command line.
	Username string
	Password function.Secret
	// EngineVersion such as "13.4" is the version that RDS names.
	EngineVersion string
}

// dumpRequest asks for the dump of databases of a PostgreSQL server to the location of the run's profile, or for one to be read back.
type dumpRequest struct {
	// Namespace of the pod, and its image; empty for the host's (Deps.DumpImage).
	Namespace, Image string
	Endpoint         server
	// Path of the object in the location.
	Path string
	// Databases to dump; nil for all but template0 and rdsadmin. Not used to restore.
	Databases []string
	// Annotations and Labels of the pod.
	Annotations, Labels map[string]string
}

// checkImage tells, before anything is touched, that no pod can be made.
func (d *deps) checkImage(image string) error {
	if cmp.Or(image, d.DumpImage) == "" {
		return wrong("there is no image for the pod that talks to the database: the host program names none (DumpImage), nor does argument image; " +
			"it must have davit and PostgreSQL's client programs")
	}
	return nil
}

// dump writes one verified object at Path. A call that was begun by a host that died is carried on: what it made is found by name, or made anew. An error leaves nothing behind.
func (d *deps) dump(ctx context.Context, call *function.Call, req dumpRequest) error {
	return d.runDump(ctx, call, req, pgdump.Dump)
}

// restoreDump reads Path back into the server. An error leaves the server as it was, or says what is left.
func (d *deps) restoreDump(ctx context.Context, call *function.Call, req dumpRequest) error {
	return d.runDump(ctx, call, req, pgdump.Restore)
}

// runDump runs a pod that does the work to its end.
func (d *deps) runDump(ctx context.Context, call *function.Call, req dumpRequest, op string) error {
	if err := d.checkImage(req.Image); err != nil {
		return err
	}
	if d.Pods == nil {
		return wrong("the host program gave no cluster.PodRunner to this function")
	}
	pod, err := d.dumpPod(call, req, op)
	if err == nil && ctx.Err() == nil { // else a pod that is there is only removed
		pod.Profile, err = d.dumpText(call, req, op)
	}
	if err != nil {
		return function.Permanent(err)
	}
	where := fmt.Sprintf("pod %s/%s", pod.Namespace, pod.Name)
	heard := newDumpHearing(ctx, call, slog.String("pod", pod.Name))
	var left bytes.Buffer
	pod.Log, pod.Results = heard.follower, &left
	err = d.Pods.RunPod(ctx, pod)
	if !errors.Is(err, cluster.ErrInvalid) && !errors.Is(err, cluster.ErrExists) { // then a pod of this name, if there is one, is somebody else's
		call.AfterRecord(ctx, where, func(ctx context.Context) error { return d.Pods.RemovePod(ctx, pod.Namespace, pod.Name) })
	}
	_, _ = heard.follower.Write(left.Bytes()) // the reply once more: the log may have lost it
	_ = heard.follower.Close()
	return heard.outcome(where, err)
}

// dumpPod makes the pod, which is to be told what to do.
func (d *deps) dumpPod(call *function.Call, req dumpRequest, op string) (cluster.Pod, error) {
	labels, err := podspec.Labels(call, req.Labels)
	if err != nil {
		return cluster.Pod{}, err
	}
	override, err := podspec.Merge(podspec.Fragment{Name: "the run's podOverride", Spec: call.Pod.Override})
	if err != nil {
		return cluster.Pod{}, err
	}
	return cluster.Pod{
		Name: call.Name(op + "-" + strconv.Itoa(call.Attempt)), Namespace: req.Namespace, Image: cmp.Or(req.Image, d.DumpImage), Command: []string{"davit", "pgdump"},
		Labels: labels, Annotations: podspec.Annotations(call, req.Annotations), Override: override,
	}, nil
}

// dumpText is what the pod is told. It stands where other pods have the profile: in a file.
func (d *deps) dumpText(call *function.Call, req dumpRequest, op string) ([]byte, error) {
	at := req.Endpoint
	asked := &pgdump.Request{
		Op: op, Path: req.Path, Databases: req.Databases, Profile: json.RawMessage(call.Profile.Reveal()),
		Server: pgdump.Server{Host: at.Host, Port: at.Port, User: at.Username, Password: at.Password.Reveal(), CA: d.DumpCA},
	}
	return asked.Text()
}
