package rds

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

// The credential of the tests. It must be nowhere but in requests.
const (
	keyID, secretKey, sessionToken = "AKIACANARY", "canary-secret-key", "canary-session-token"
	password                       = "canary-password"
)

const profile = `{"Location":{"type":"s3Compliant","bucket":"b","region":"eu-west-1"},"Credential":{"Type":"secret","Secret":{"type":"secrets.kanister.io/aws",` +
	`"data":{"aws_access_key_id":"QUtJQUNBTkFSWQ==","aws_secret_access_key":"Y2FuYXJ5LXNlY3JldC1rZXk=","aws_session_token":"Y2FuYXJ5LXNlc3Npb24tdG9rZW4="}}}}`

// quick are waits for tests. Appear is long: nothing waits for it but what is gone for good.
var quick = Waits{Instance: 20 * time.Second, Snapshot: 20 * time.Second, Cluster: 20 * time.Second, Appear: 10 * time.Second, CleanUp: 300 * time.Millisecond, Interval: time.Millisecond}

// TestMain takes away what the SDK reads for every client that is made, and that no test needs.
func TestMain(m *testing.M) {
	_ = os.Unsetenv("AWS_CA_BUNDLE")
	os.Exit(m.Run())
}

// noPods stands for pods that the tests do without.
type noPods struct{ cluster.PodRunner }

// host is a process that runs functions on a world.
type host struct {
	*deps
	funcs map[string]function.Func
}

func newHost(transport http.RoundTripper, waits Waits) *host {
	d := newDeps(Deps{Pods: noPods{}, DumpImage: "tools", Waits: waits, NewClient: func(ctx context.Context, a Access) (Client, error) {
		return NewClient(ctx, a, &ClientOptions{Endpoint: "http://rds.invalid", HTTPClient: &http.Client{Transport: transport}, MaxBackoff: time.Millisecond})
	}})
	nothing := func(context.Context, *function.Call, dumpRequest) error { return nil }
	d.write, d.read = nothing, nothing
	h := &host{deps: d, funcs: map[string]function.Func{}}
	for _, f := range d.functions() {
		h.funcs[f.Name()] = f
	}
	return h
}

func newCall() (*function.Call, *functiontest.Recorder) { return newCallOf("phase/run/backup/0") }

func newCallOf(key string) (*function.Call, *functiontest.Recorder) {
	call, rec := functiontest.NewCall(key)
	call.Profile = function.NewSecret(profile)
	return call, rec
}

// run calls a function, and looks for the credential in all that it says. The waits are those of a bubble's clock.
func (h *host) run(t *testing.T, name string, args map[string]any) (out function.Outputs, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		call, rec := newCall()
		out, err = h.funcs[name].Exec(t.Context(), call, args)
		noCanary(t, rec, err)
	})
	return out, err
}

func noCanary(t *testing.T, rec *functiontest.Recorder, err error) {
	t.Helper()
	text := rec.Log()
	for _, p := range rec.Progress() {
		text += p.Note
	}
	if err != nil {
		text += err.Error()
	}
	for _, secret := range []string{keyID, secretKey, sessionToken, password} {
		require.NotContains(t, text, secret)
	}
}

// mortal is a transport whose process dies with a request: from then on nothing returns to it. Late is a death after RDS has done what was asked.
type mortal struct {
	next  http.RoundTripper
	at    int
	late  bool
	mu    sync.Mutex
	seen  int
	died  chan struct{}
	burnt chan struct{}
}

func newMortal(next http.RoundTripper, at int, late bool) *mortal {
	return &mortal{next: next, at: at, late: late, died: make(chan struct{}), burnt: make(chan struct{})}
}

func (m *mortal) RoundTrip(req *http.Request) (*http.Response, error) {
	m.mu.Lock()
	m.seen++
	now := m.seen
	m.mu.Unlock()
	if now < m.at {
		return m.next.RoundTrip(req)
	}
	if now == m.at {
		if m.late {
			if resp, err := m.next.RoundTrip(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
			}
		}
		close(m.died)
	}
	<-m.burnt
	return nil, context.Canceled
}

// crash is a test of a function that dies at every one of its requests.
type crash struct {
	function string
	args     map[string]any
	world    func() *world
	// check looks at the world after the call that went on has ended well.
	check func(t *testing.T, w *world, out function.Outputs)
	// stopped looks at it after a call that went on has found its context ended.
	stopped func(t *testing.T, w *world, err error)
	// hook changes the hosts; dir is a folder for what outlives them.
	hook func(h *host, dir string)
}

func (c crash) test(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		for _, ended := range []bool{false, true} {
			t.Run(fmt.Sprintf("late %v, ended %v", late, ended), func(t *testing.T) {
				t.Parallel()
				at := 0
				for more := true; more; {
					at++
					require.Less(t, at, 500)
					synctest.Test(t, func(t *testing.T) { more = c.one(t, at, late, ended) })
				}
				require.Greater(t, at, 3, "the function asks for something")
			})
		}
	}
}

// one dies at one request, by a bubble's clock. It is false once the function ends before.
func (c crash) one(t *testing.T, at int, late, ended bool) bool {
	w := c.world()
	m := newMortal(w, at, late)
	dir := t.TempDir()
	first := newHost(m, quick)
	if c.hook != nil {
		c.hook(first, dir)
	}
	done := make(chan error, 1)
	call, rec := newCall()
	life, end := context.WithCancel(t.Context())
	go func() {
		_, err := first.funcs[c.function].Exec(life, call, c.args)
		done <- err
	}()
	select {
	case err := <-done:
		end()
		require.NoError(t, err)
		return false
	case <-m.died:
	}
	before := strings.Join(w.changes(), "\n")
	again, againRec := newCall()
	again.Resumed = true
	second := newHost(w, quick)
	if c.hook != nil {
		c.hook(second, dir)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if ended {
		cancel()
	}
	out, err := second.funcs[c.function].Exec(ctx, again, c.args)
	cancel()
	end()
	close(m.burnt)
	<-done // the dead process is none of the world's any more: its transport leads nowhere
	noCanary(t, againRec, err)
	noCanary(t, rec, nil)
	if ended {
		require.Error(t, err)
		c.stopped(t, w, err)
		require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			require.True(t, err != nil || d.IsDir(), "%s outlives a call that was stopped", name)
			return err
		}))
	} else {
		require.NoError(t, err, "died at request %d, late %v; changes before:\n%s", at, late, before)
		c.check(t, w, out)
	}
	return true
}
