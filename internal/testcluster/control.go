package testcluster

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Parts of the cluster that a test can stop and start.
const (
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubelet           = "kubelet"
)

// Stop kills a part, without notice. The test starts it again, or its end does.
func (c *Client) Stop(t testing.TB, part string) {
	t.Helper()
	c.order(t, "stop/"+part)
	t.Cleanup(func() {
		if !c.runs(part) {
			c.Start(t, part)
		}
	})
}

// Start starts a part that was stopped and returns when the API server answers and, after the kubelet, the node is ready.
func (c *Client) Start(t testing.TB, part string) {
	t.Helper()
	c.order(t, "start/"+part)
	require.Eventually(t, func() bool { return c.runs(part) }, time.Minute, 100*time.Millisecond, "%s runs again", part)
}

// runs asks the part itself.
func (c *Client) runs(part string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	ports := map[string]string{Kubelet: "10248", ControllerManager: "10257", Scheduler: "10259"}
	port, other := ports[part]
	if !other {
		return c.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+port)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// Import adds an image to the node from an archive.
func (c *Client) Import(t testing.TB, archive string) {
	t.Helper()
	c.order(t, "import?"+url.Values{"path": {archive}}.Encode())
}

func (c *Client) order(t testing.TB, what string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(c.Dir, "control"))
	}}}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://cluster/"+what, nil)
	require.NoError(t, err)
	answer, err := client.Do(r)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }() // read below
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode, "%s: %s", what, text)
}
