package kubecluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/davit-project/davit/cluster"
)

var _ cluster.Executor = (*Cluster)(nil)

// Exec runs a command in a container that runs, init and ephemeral ones included. It goes through a WebSocket, or through SPDY where the server has no
// WebSocket. Without a container's name it is the pod's only one, or the one that annotation kubectl.kubernetes.io/default-container names. The tail
// of an *cluster.ExitError is that of standard error.
//
// Kubernetes has no way to end a command: it can only close its streams. So where Exec returns early, because ctx ended, a writer or Stdin failed or the
// connection was lost, the process may run on; it sees the end of its input, whether that was all or not, and ends or hangs when it writes. A Read of
// Stdin or a Write that hangs then may outlast Exec, as may the Read for more input that a command did not ask for; no other begins.
//
// A connection that ends without the command's status is an error: how the command ended is not known. Still, output can lack its end while the status
// says success, where somebody on the way has lost it (kubernetes#124571); package execstream finds out. And who translates a WebSocket to SPDY, API servers
// before Kubernetes 1.36 and kubelets since, takes it for success when its own connection to the container runtime is lost (so says its source).
// A command that leaves more than about 150 KB of its input unread can seem not to end: containerd 1.6 waits for the rest to be read, so Exec waits
// until ctx ends. Servers close a connection on which neither side has sent data for hours, kubelets after 4.
//
// The verbs are get on pods, and get and create on pods/exec: a WebSocket begins with a GET, and servers want create besides. A refusal is not evaded by SPDY, which
// would need create alone.
func (c *Cluster) Exec(ctx context.Context, cmd cluster.Command) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if cmd.Namespace == "" || cmd.Pod == "" {
		return fmt.Errorf("%w: exec needs a namespace and a pod, has %q and %q", cluster.ErrInvalid, cmd.Namespace, cmd.Pod)
	}
	if len(cmd.Args) == 0 {
		return fmt.Errorf("%w: pod %s/%s: no command", cluster.ErrInvalid, cmd.Namespace, cmd.Pod)
	}
	container, err := c.runningContainer(ctx, cmd)
	if err != nil {
		return err
	}
	cmd.Container = container
	x, running := c.execution(ctx, cmd)
	defer x.end(nil)
	type outcome struct {
		status []byte
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		defer close(x.over)
		status, err := c.transport(running, x)
		done <- outcome{status, err}
	}()
	var o outcome
	select {
	case o = <-done:
	case <-running.Done():
		o.err = context.Cause(running)
	}
	x.close()
	return x.verdict(ctx, o.status, o.err)
}

// execution is a command that runs.
type execution struct {
	*streams
	what           string // names the place in errors
	url            *url.URL
	stdin          io.Reader // nil for none
	stdout, stderr io.Writer // stdout is nil when nobody wants it
	tail           *tail
}

// execution prepares a command. The context ends when one of its streams fails.
func (c *Cluster) execution(ctx context.Context, cmd cluster.Command) (*execution, context.Context) {
	running, end := context.WithCancelCause(ctx)
	s := newStreams(end)
	x := &execution{streams: s, what: fmt.Sprintf("pod %s/%s, container %s", cmd.Namespace, cmd.Pod, cmd.Container), tail: &tail{}}
	x.stderr = &sink{s, cmd.Stderr, x.tail}
	if cmd.Stdout != nil {
		x.stdout = &sink{s, cmd.Stdout, nil}
	}
	if cmd.Stdin != nil {
		x.stdin = &source{s, cmd.Stdin}
	}
	x.url = c.clients.Kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(cmd.Namespace).Name(cmd.Pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: cmd.Container, Command: cmd.Args, Stdin: x.stdin != nil, Stdout: x.stdout != nil, Stderr: true},
			scheme.ParameterCodec).URL()
	return x, running
}

// execSettings are for tests, which cannot wait as long as hosts do.
type execSettings struct {
	transport transport
	pulse     pulse
}

// transport is what a command's streams go through.
type transport int

const (
	webSocketFirst transport = iota
	webSocketOnly
	spdyOnly
)

// transport runs the command and returns its status as the server sent it.
func (c *Cluster) transport(ctx context.Context, x *execution) ([]byte, error) {
	if c.exec.transport == spdyOnly {
		return c.spdy(ctx, x)
	}
	status, err := c.webSocket(ctx, x)
	if c.exec.transport == webSocketFirst && lacksWebSocket(err) {
		c.opts.Logger.WarnContext(ctx, "the server has no WebSocket for exec; using SPDY, which can lose the end of a stream", "error", err)
		return c.spdy(ctx, x)
	}
	return status, err
}

// lacksWebSocket tells whether a request for a WebSocket failed because somebody on the way does not have that. The command did not begin then. What the API
// server itself says about the pod, or about permissions, is no reason to try again, and neither is a WebSocket that was opened for another protocol.
func lacksWebSocket(err error) bool {
	failure, ok := errors.AsType[*httpstream.UpgradeFailureError](err)
	if !ok {
		return httpstream.IsHTTPSProxyError(err)
	}
	if status, ok := errors.AsType[*apierrors.StatusError](failure.Cause); ok {
		return apierrors.IsBadRequest(status)
	}
	return errors.Is(failure.Cause, errHandshake)
}

// verdict is what Exec returns.
func (x *execution) verdict(ctx context.Context, status []byte, err error) error {
	fault := x.fault()
	if deadline, ok := ctx.Deadline(); err != nil && ok && !time.Now().Before(deadline) {
		<-ctx.Done() // the connection has the same deadline, and may be first
	}
	switch {
	case fault == nil && err == nil:
		return x.result(status)
	case ctx.Err() != nil:
		fault = context.Cause(ctx)
	case fault == nil:
		return x.explain(err)
	}
	return fmt.Errorf("%s: %w; the command's streams are closed, but Kubernetes cannot end it: it may run on", x.what, fault)
}

// explain sorts the failure of a request.
func (x *execution) explain(err error) error {
	if failure, ok := errors.AsType[*httpstream.UpgradeFailureError](err); ok {
		err = failure.Cause
	}
	kind := classify(err)
	if apierrors.IsForbidden(err) && !strings.Contains(err.Error(), "denied the request") && !strings.Contains(err.Error(), "denied request") {
		// the authorizer, who gives no reason when it misses create; only webhooks and admission policies refuse exec otherwise
		return fmt.Errorf("%s: exec: %w: get and create on pods/exec are needed: %w", x.what, cluster.ErrDenied, err)
	}
	if kind != nil {
		return fmt.Errorf("%s: exec: %w: %w", x.what, kind, err)
	}
	return fmt.Errorf("%s: exec: %w", x.what, err)
}
