// Package cluster is what functions need of a cluster, as small interfaces.
//
// A binding (kubecluster for Kubernetes, localcluster for this machine) implements them; a function takes only
// the ones it uses. Everything that creates something takes a deterministic name and labels, so that a host
// that died can find what it made and carry on.
//
// # Errors
//
// [ErrNotFound], [ErrExists], [ErrNotRunning], [ErrAmbiguous], [ErrInvalid], [ErrDenied] and [ErrLost] are matched with errors.Is; a command that
// ended with a code other than zero is an [*ExitError].
//
// # Concurrency
//
// Every implementation is safe for concurrent use.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Errors of a binding.
var (
	// ErrNotFound means that the named object does not exist. It matches fs.ErrNotExist too.
	ErrNotFound error = notFound{}
	// ErrExists means that another object has the name that was asked for.
	ErrExists = errors.New("already exists")
	// ErrNotRunning means that the pod or container exists but does not run.
	ErrNotRunning = errors.New("not running")
	// ErrAmbiguous means that a pod has several containers and none was named.
	ErrAmbiguous = errors.New("several containers and none named")
	// ErrInvalid means that the request can never succeed as it is.
	ErrInvalid = errors.New("invalid request")
	// ErrDenied means that the host may not do this; its permissions must be widened.
	ErrDenied = errors.New("permission denied")
	// ErrLost means that a pod ended and nobody recorded how: its outcome cannot be known.
	ErrLost = errors.New("pod ended without a recorded result")
)

type notFound struct{}

func (notFound) Error() string        { return "not found" }
func (notFound) Is(target error) bool { return target == fs.ErrNotExist }

// ExitError says that a command ended with a code other than zero, or by a signal.
type ExitError struct {
	// What names the command's place: "pod ns/name, container c".
	What string
	// Code is the exit code; 128 plus the signal's number after a signal.
	Code int
	// Tail holds the last lines the command wrote, at most 4 KiB; empty when nothing was kept.
	Tail string
}

// Error names the place, the code and, where there are any, the last lines.
func (e *ExitError) Error() string {
	if e.Tail == "" {
		return fmt.Sprintf("%s: exit code %d", e.What, e.Code)
	}
	return fmt.Sprintf("%s: exit code %d, last output:\n%s", e.What, e.Code, e.Tail)
}

// Ref names an object as a blueprint does: APIVersion is the version alone ("v1"), Group stands apart ("apps"),
// Resource is the plural ("deployments"). Either Resource or Kind is enough where the binding knows the kind.
type Ref struct {
	APIVersion, Group, Resource, Kind string
	Namespace, Name                   string
}

// String is "resource.group namespace/name", with kind where no resource is given.
func (r Ref) String() string {
	what := r.Resource
	if what == "" {
		what = r.Kind
	}
	if r.Group != "" {
		what += "." + r.Group
	}
	if r.Namespace == "" {
		return what + " " + r.Name
	}
	return what + " " + r.Namespace + "/" + r.Name
}

// Executor runs commands in containers that already run.
type Executor interface {
	// Exec runs the command and returns when it has ended and its output is written.
	// A code other than zero is an *ExitError. When ctx ends first, the command is ended as well as the
	// binding can and ctx's cause is returned. A second call runs the command again.
	Exec(ctx context.Context, cmd Command) error
}

// Command is one command for a running container.
type Command struct {
	Namespace, Pod string
	// Container to run in; the pod's only one when empty.
	Container string
	// Args holds the command and its arguments; it is not a shell line.
	Args []string
	// Stdin may be nil: the command reads end of file at once.
	Stdin io.Reader
	// Stdout and Stderr may be nil: what is written is dropped. A writer that fails ends the command.
	Stdout, Stderr io.Writer
}

// PodRunner runs pods to completion.
type PodRunner interface {
	// RunPod creates the pod, copies its log to pod.Log, waits for its end and returns. The pod that has ended stays, with its log and its
	// result, until RemovePod: a host that dies before it has recorded the result finds it again.
	// A pod of that name that carries the same labels is adopted: its log is copied from the beginning and its
	// end awaited; it is never created twice. A code other than zero is an *ExitError.
	// When ctx ends first, or pod.Log fails, the pod is ended and removed (also one left by an earlier call)
	// under a time limit of the binding's own, and the cause is returned; what could not be removed is named in the error.
	RunPod(ctx context.Context, pod Pod) error
	// RemovePod ends the pod, where it still runs, and removes it; an absent one is no error.
	RemovePod(ctx context.Context, namespace, name string) error
}

// Pod is one pod. Its main container is the one whose log is copied and whose exit code is the result.
type Pod struct {
	// Name is deterministic: the same for the same attempt of the same phase of the same run.
	Name, Namespace string
	// Container is the name of the main container. Default MainContainer.
	Container string
	// Image of the main container. The local binding runs on this machine and ignores images.
	Image string
	// Command and its arguments; not a shell line.
	Command []string
	// Labels must identify the run; Annotations may be nil.
	Labels, Annotations map[string]string
	// Override is a PodSpec fragment, merged over the pod as a strategic merge patch; nil for none.
	Override map[string]any
	// Claims maps names of persistent volume claims to the paths they are mounted at; nil for none.
	Claims map[string]string
	// Init holds containers that run to their end, in order, before the others begin; nil for none.
	Init []Container
	// Others holds containers that run beside the main one; the pod ends when all have ended, and one that fails is the pod's result. Nil for none.
	Others []Container
	// Shared is an empty volume that all containers mount; nil for none.
	Shared *SharedVolume
	// ServiceAccount whose token the pod gets; empty for none: no token is mounted.
	ServiceAccount string
	// Profile is the JSON of the profile, or of what else is asked of the in-pod agent, which reads it from a file it finds by itself; nil for none.
	// A binding never puts it into a command line, an environment variable or a log.
	Profile []byte
	// Log receives what the main container writes, standard output and error in one stream. Nil drops it.
	Log io.Writer
	// Results receives, after the end of the main container and of its log, what the container left in the file that ResultsEnv names: the
	// outputs once more, so that a line lost from the log is not a lost output. Nil drops it.
	Results io.Writer
}

// MainContainer is the name of a pod's main container where none is given.
const MainContainer = "container"

// Container is a container beside the main one.
type Container struct {
	Name, Image string
	// Command and its arguments; not a shell line.
	Command []string
}

// SharedVolume is an empty volume of a pod.
type SharedVolume struct {
	// Path is where every container mounts it.
	Path string
	// Medium is empty for the node's disk, or "Memory".
	Medium string
	// SizeLimit is a quantity such as "1Gi"; empty for none.
	SizeLimit string
}

// Workload names something that can be scaled. Kind is one of StatefulSet, Deployment and DeploymentConfig, in any case.
type Workload struct {
	Kind, Namespace, Name string
}

// String is "Kind namespace/name".
func (w Workload) String() string { return w.Kind + " " + w.Namespace + "/" + w.Name }

// Scaler scales workloads.
type Scaler interface {
	// Scale sets the number of replicas and returns the number there was before the first call with this token,
	// also when an earlier call had already changed it. The token names the phase of the run; it is recorded on
	// the workload and replaced by the next one.
	Scale(ctx context.Context, w Workload, replicas int32, token string) (original int32, err error)
	// AwaitScaled returns when the workload has exactly this number of ready pods and no others, or ctx ends.
	AwaitScaled(ctx context.Context, w Workload, replicas int32) error
}

// Getter reads objects.
type Getter interface {
	// Get returns the object as its JSON would decode. An absent one is ErrNotFound.
	Get(ctx context.Context, ref Ref) (map[string]any, error)
}

// Objects changes objects.
type Objects interface {
	Getter
	// Create creates the object of a manifest and returns what names it, its resource included. Namespace is for a manifest that names none. The token names the phase of the run
	// and the manifest; it is recorded on the object, and one of that name that carries it was created by an earlier call: that is no error. Any other is
	// ErrExists. A generateName becomes a name that is the same for the same token.
	Create(ctx context.Context, manifest map[string]any, namespace, token string) (Ref, error)
	// Patch applies a strategic merge patch where the object's type has one, else a JSON merge patch, and returns the object as it is afterwards. An
	// absent one is ErrNotFound.
	Patch(ctx context.Context, ref Ref, patch []byte) (map[string]any, error)
	// Delete deletes the object and returns when it is gone, or ctx ends. An absent one is ErrNotFound.
	Delete(ctx context.Context, ref Ref) error
}

// PodLister lists the pods of workloads.
type PodLister interface {
	// WorkloadPods returns the running pods that the workload owns, by name. None is no error.
	WorkloadPods(ctx context.Context, w Workload) ([]PodInfo, error)
}

// PodInfo is what blueprints see of a workload's pod.
type PodInfo struct {
	Name string
	// Containers in the order of the pod's spec.
	Containers []string
	// Claims maps the names of mounted claims to their mount paths.
	Claims map[string]string
	// Started is when the pod began to run.
	Started time.Time
}

// Sweeper removes what a run left behind.
type Sweeper interface {
	// Sweep ends and removes everything that carries all these labels and returns the names of what it could not
	// remove ("pod ns/name: why"). A second call finds nothing and is no error.
	Sweep(ctx context.Context, labels map[string]string) (left []string, err error)
}

// Environment variables of pods. The names are part of the contract between a binding and the agent inside a pod.
const (
	// ProfileEnv names the environment variable that holds the path (not the content) of the profile's file.
	ProfileEnv = "DAVIT_PROFILE_FILE"
	// ResultsEnv names the environment variable that holds the path of a file for results. At most ResultsSize bytes of it are kept.
	ResultsEnv = "DAVIT_RESULTS_FILE"
	// ProgressEnv is set to "1" where the agent shall write progress lines to standard error.
	ProgressEnv = "DAVIT_PROGRESS"
)

// ResultsSize is how much of the file that ResultsEnv names reaches Pod.Results, in bytes: what Kubernetes keeps of a container's termination message.
const ResultsSize = 4096
