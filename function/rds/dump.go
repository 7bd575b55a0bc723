package rds

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/internal/hearing"
	"github.com/davit-project/davit/function/internal/podspec"
	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/internal/pgdump"
	"github.com/davit-project/davit/location"
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
	_, err = hearing.RunPod(ctx, call, d.Pods, pod, dumpProgress)
	if err != nil && slices.ContainsFunc(dumpLasting(), func(e error) bool { return errors.Is(err, e) }) {
		return function.Permanent(err)
	}
	return err
}

// dumpProgress is what people read of how far a dump is.
func dumpProgress(p mover.Progress) function.Progress {
	told := function.Progress{Bytes: p.Bytes}
	if p.TotalFiles > 0 {
		told.Note = fmt.Sprintf("%d of %d databases", p.Files, p.TotalFiles)
	}
	return told
}

// dumpLasting are the errors that trying again cannot mend.
func dumpLasting() []error {
	return []error{
		cluster.ErrInvalid, cluster.ErrAmbiguous, cluster.ErrExists,
		location.ErrProfile, location.ErrUnsupported, location.ErrKey, location.ErrNotFound, location.ErrCorrupt,
	}
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
