//go:build linux

// Package testserver starts real storage servers for tests: each on an address of 127.0.0.1, with its data in the test's temporary folder, until the test
// ends. The programs are built or installed once, into the user's cache folder; Fetch does so while there is a network.
//
//	name         what                        for
//	VersityGW    versitygw, posix backend    S3: checksums, conditions, versions, object lock
//	MinIO        MinIO                       S3: a second opinion, lifecycle
//	GCS          fake-gcs-server             Google Cloud Storage; it ignores conditions on deletes
//	Azurite      azurite                     Azure Blob Storage, with accounts' keys and SAS
//	Rclone       rclone, a program           a peer in comparisons
//
// # NFS
//
// There is no server of NFS here: to mount one needs the NFS client of the kernel (CONFIG_NFS_FS), which small kernels such as those of virtual machines in CI
// are built without. What NFS does to a folder that other tests need, such as errors that come late, is simulated there.
//
// # Errors
//
// A server that does not come up fails the test, with the end of its log. None is skipped.
package testserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	startTime = time.Minute // on a busy machine
	tailSize  = 4 << 10
)

// server is a process to start.
type server struct {
	program string
	// args and env are those of the process that listens on the port.
	args func(port int) []string
	env  []string
	// ready is the path that answers, with any status below 500, once the server is up.
	ready string
	// client asks; http.DefaultClient without one.
	client *http.Client
}

// start runs the server until the test ends and returns its port. A port that somebody else has taken in the meantime is given up for another one.
func (s *server) start(t testing.TB) int {
	t.Helper()
	var err error
	for range 3 {
		var port int
		if port, err = freePort(); err != nil {
			break
		}
		if err = s.startAt(t, port); err == nil {
			return port
		}
	}
	require.NoError(t, err)
	return 0
}

func (s *server) startAt(t testing.TB, port int) error {
	out, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		return err
	}
	args := s.args(port)
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // a server of ours, ended by the test's cleanup
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = filepath.Dir(out.Name())
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}, s.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, out.Close())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ends is in its log
		_ = out.Close()
	}()
	stop := func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-ended
	}
	if err := s.await(t.Context(), port, ended); err != nil {
		stop()
		return fmt.Errorf("start %s on port %d: %w; its log ends with:\n%s", s.program, port, err, tail(out.Name()))
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("the log of %s ends with:\n%s", s.program, tail(out.Name()))
		}
	})
	return nil
}

// await returns when the server answers.
func (s *server) await(ctx context.Context, port int, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	client, scheme := http.DefaultClient, "http"
	if s.client != nil {
		client, scheme = s.client, "https"
	}
	url := fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, port, s.ready)
	for {
		err := answers(ctx, client, url)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it has ended")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func answers(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusInternalServerError {
		return errors.New(resp.Status)
	}
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// tail is the end of a file.
func tail(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > tailSize {
		_, _ = f.Seek(-tailSize, io.SeekEnd) // else the beginning
	}
	text, _ := io.ReadAll(io.LimitReader(f, tailSize))
	return string(text)
}

// random is a name that nobody else has.
func random() string { return strings.ToLower(rand.Text()) }

// local is the address a server listens on.
func local(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
