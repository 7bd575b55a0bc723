//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/testserver"
)

// What streams to and from S3 are measured by. DAVIT_S3_STREAM_MIB and DAVIT_S3_STREAM_ROUNDS make a quick run of it.
const (
	s3StreamMiB    = 2048
	s3StreamRounds = 5
	// mostS3Memory is that of a whole process that pushes, in MiB, however long the stream is.
	mostS3Memory = 110
	// leastPull is what a verified pull promises of the throughput of one through the SDK with a SHA-256 beside it. The rest goes into looking at the
	// record first, and at every read for a connection that has died.
	leastPull = 0.8
)

// s3Way is one way to move the stream, and what it has cost in each round.
type s3Way struct {
	name string
	args []string
	// seconds and CPU seconds, and the peak in MiB.
	took, cpu, memory []float64
}

// TestPromiseS3Stream pushes a stream to a real store and pulls it back: through a location, through the AWS SDK's transfer manager, through the SDK with a
// SHA-256 beside it, and with rclone; each in a process of its own, in turns, on the same machine as the store. A pull through a location verifies every
// byte, which neither the SDK nor rclone cat does, so it is held against the SDK with a SHA-256.
func TestPromiseS3Stream(t *testing.T) {
	mib, rounds := fromEnv(t, "DAVIT_S3_STREAM_MIB", s3StreamMiB), fromEnv(t, "DAVIT_S3_STREAM_ROUNDS", s3StreamRounds)
	s := testserver.MinIO(t)
	dir, bucket := t.TempDir(), s.Bucket(t)
	stream := filepath.Join(dir, "stream")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", stream, "github.com/davit-project/davit/location/s3/internal/stream")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	source := filepath.Join(dir, "source")
	f, err := os.Create(source)
	require.NoError(t, err)
	_, err = io.CopyN(f, rand.Reader, int64(mib)<<20)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	rclone := []string{testserver.Rclone(t), "--config", os.DevNull, "--s3-provider", "Minio", "--s3-endpoint", s.Endpoint, "--s3-env-auth", "--s3-no-check-bucket"}
	ways := []*s3Way{
		{name: "davit-push", args: []string{stream, "davit-push", "davit"}},
		{name: "sdk-push", args: []string{stream, "sdk-push", "sdk"}},
		{name: "rclone-push", args: append(slices.Clone(rclone), "rcat", ":s3:"+bucket+"/rclone")},
		{name: "davit-pull", args: []string{stream, "davit-pull", "davit"}},
		{name: "sdk-pull", args: []string{stream, "sdk-pull", "davit"}},
		{name: "sdk-sha256-pull", args: []string{stream, "sdk-pull-sha256", "davit"}},
		{name: "rclone-pull", args: append(slices.Clone(rclone), "cat", ":s3:"+bucket+"/davit")},
	}
	env := append(os.Environ(), "AWS_ACCESS_KEY_ID="+s.AccessKey, "AWS_SECRET_ACCESS_KEY="+s.SecretKey, "AWS_REGION="+s.Region, "AWS_EC2_METADATA_DISABLED=true",
		"STREAM_ENDPOINT="+s.Endpoint, "STREAM_BUCKET="+bucket)
	for range rounds {
		for _, w := range ways {
			w.run(t, env, source)
		}
	}
	by := map[string]*s3Way{}
	for _, w := range ways {
		by[w.name] = w
		t.Logf("%-16s %.2f s (%.0f MB/s), %.2f CPU s, %.0f MiB", w.name, median(w.took), float64(mib<<20)/median(w.took)/1e6, median(w.cpu), median(w.memory))
	}
	reportS3(t, by)
}

func reportS3(t *testing.T, by map[string]*s3Way) {
	t.Helper()
	took := func(way string) float64 { return median(by[way].took) }
	atLeast := func(name string, figure float64) { promise(name, figure, ">=1.0", figure >= 1) }
	atLeast("s3-push-throughput-over-best-of-sdk-and-rclone", min(took("sdk-push"), took("rclone-push"))/took("davit-push"))
	cpu := median(by["davit-push"].cpu) / median(by["sdk-push"].cpu)
	promise("s3-push-cpu-over-sdk", cpu, "<=1.0", cpu <= 1)
	most := slices.Max(by["davit-push"].memory)
	promise("s3-push-memory-MiB", most, fmt.Sprintf("<=%d", mostS3Memory), most <= mostS3Memory)
	require.LessOrEqual(t, most, float64(mostS3Memory))
	pull := took("sdk-sha256-pull") / took("davit-pull")
	promise("s3-pull-throughput-over-sdk-with-sha256", pull, fmt.Sprintf(">=%.1f", leastPull), pull >= leastPull)
	t.Logf("a verified pull beside unverified ones: %.2f of the throughput of the SDK, %.2f of rclone cat; %.2f of the CPU of the SDK with SHA-256, %.2f without",
		took("sdk-pull")/took("davit-pull"), took("rclone-pull")/took("davit-pull"),
		median(by["davit-pull"].cpu)/median(by["sdk-sha256-pull"].cpu), median(by["davit-pull"].cpu)/median(by["sdk-pull"].cpu))
}

func (w *s3Way) run(t *testing.T, env []string, source string) {
	t.Helper()
	in, err := os.Open(source)
	require.NoError(t, err)
	defer in.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer null.Close()
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), w.args[0], w.args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = in, null, &said, env
	begin := time.Now()
	require.NoError(t, cmd.Run(), "%s: %s", w.name, &said)
	w.took = append(w.took, time.Since(begin).Seconds())
	w.cpu = append(w.cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	peak := float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	if _, own, ok := strings.Cut(said.String(), "peak "); ok { // what the system says may be this process's, from before the exec
		peak, err = strconv.ParseFloat(strings.Fields(own)[0], 64)
		require.NoError(t, err)
	}
	w.memory = append(w.memory, peak/1024)
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func fromEnv(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	require.Positive(t, n, name)
	return n
}
