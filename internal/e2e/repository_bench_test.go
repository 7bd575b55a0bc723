//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/testserver"
)

// What repositories are measured by. DAVIT_REPOSITORY_MIB and DAVIT_REPOSITORY_FILES make a quick run of it, whose figures promise nothing.
const (
	repositoryMiB   = 2048
	repositoryFiles = 50_000
	// latency is what each request to the S3 server takes longer.
	latency = 30 * time.Millisecond
	// mostRepositoryMemory is that of the whole process, in MiB.
	mostRepositoryMemory = 128
	// mostRequests is how many requests restore a GiB.
	mostRequests = 140
)

// contender is one of the two programs, with a repository of its own.
type contender struct {
	name string
	env  []string
	// args makes the arguments of a step: init, backup DIR, restore TARGET, check.
	args func(step, arg string) []string
	// stored is how many bytes the repository takes, requests how many the server has been sent.
	stored, requests func() int64
	// measured are by the names of steps.
	measured map[string]cost
}

// cost is what a step has cost.
type cost struct {
	wall, cpu, memory float64
	// added is how many bytes the repository has grown by.
	added, requests int64
}

func (c *contender) run(t *testing.T, name, step, arg string) {
	t.Helper()
	before, sent := c.stored(), c.requests()
	args := c.args(step, arg)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = c.env
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	begin := time.Now()
	err := cmd.Run()
	require.NoError(t, err, "%s %s: %s", c.name, name, &said)
	now := cost{
		wall: time.Since(begin).Seconds(), cpu: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(),
		memory: float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024, added: c.stored() - before,
		requests: c.requests() - sent,
	}
	c.measured[name] = now
	t.Logf("%-7s %-22s %6.2f s wall %6.2f s CPU %5.0f MiB memory %8.1f MiB new %6d requests", c.name, name, now.wall, now.cpu, now.memory, float64(now.added)/(1<<20), now.requests)
}

// race runs the steps of one kind of location with both programs, in turns.
func race(t *testing.T, where string, both [2]*contender) {
	t.Helper()
	mib, files := fromEnv(t, "DAVIT_REPOSITORY_MIB", repositoryMiB), fromEnv(t, "DAVIT_REPOSITORY_FILES", repositoryFiles)
	dir := t.TempDir()
	volume, small, dump := filepath.Join(dir, "volume"), filepath.Join(dir, "small"), filepath.Join(dir, "dump")
	for _, d := range []string{volume, small, dump} {
		require.NoError(t, os.Mkdir(d, 0o755))
	}
	step := func(name, kind, arg string) {
		for _, c := range both {
			to := arg
			if kind == "restore" {
				to = filepath.Join(dir, "target")
			}
			c.run(t, name, kind, to)
			if kind == "restore" {
				requireSameTree(t, arg, filepath.Join(to, arg))
				require.NoError(t, os.RemoveAll(to))
			}
		}
	}
	step("init", "init", "")
	writeVolume(t, volume, mib)
	step("first", "backup", volume)
	step("no-change", "backup", volume)
	step("restore", "restore", volume)
	step("check", "check", "")
	changePages(t, volume, changedRun, 11)
	step("pages-in-runs", "backup", volume)
	changePages(t, volume, 1, 12)
	step("pages-evenly", "backup", volume)
	require.NoError(t, os.RemoveAll(volume))
	writeDump(t, dump, mib/5, false)
	step("dump", "backup", dump)
	writeDump(t, dump, mib/5, true)
	step("rows-inserted", "backup", dump)
	writeSmallFiles(t, small, files)
	step("small-first", "backup", small)
	step("small-no-change", "backup", small)
	step("small-restore", "restore", small)
	step("small-check", "check", "")
	report(t, where, both)
}

func report(t *testing.T, where string, both [2]*contender) {
	t.Helper()
	ours, theirs := both[0].measured, both[1].measured
	atMost := func(name string, figure, bound float64) {
		promise("repository-"+where+"-"+name, figure, fmt.Sprintf("<=%.2f", bound), figure <= bound)
	}
	for _, set := range []string{"first", "small-first"} {
		atMost(set+"-cpu-over-restic", ours[set].cpu/theirs[set].cpu, 0.5)
		atMost(set+"-stored-over-restic", float64(ours[set].added)/float64(theirs[set].added), 1.05)
	}
	for set, bound := range map[string]float64{"pages-in-runs": 0.65, "pages-evenly": 0.45, "rows-inserted": 0.2} {
		atMost(set+"-new-over-restic", float64(ours[set].added)/float64(theirs[set].added), bound)
	}
	for _, set := range []string{"no-change", "restore", "check", "small-no-change", "small-restore", "small-check"} {
		atMost(set+"-cpu-over-restic", ours[set].cpu/theirs[set].cpu, 1)
		atMost(set+"-wall-over-restic", ours[set].wall/theirs[set].wall, 1)
	}
	most := 0.0
	for _, c := range ours {
		most = max(most, c.memory)
	}
	atMost("memory-MiB", most, mostRepositoryMemory)
}

// TestPromiseRepositoryFolder measures davit repository beside restic on a folder of this machine.
func TestPromiseRepositoryFolder(t *testing.T) {
	dir := t.TempDir()
	both := contenders(t, func(name string) (string, string) {
		at := filepath.Join(dir, name)
		return "file://" + at, at
	}, os.Environ())
	for _, c := range both {
		c.stored = func() int64 { return diskUsage(t, filepath.Join(dir, c.name)) }
		c.requests = func() int64 { return 0 }
	}
	race(t, "folder", both)
}

// TestPromiseRepositoryS3 measures both on an S3 server that takes 30 ms longer for each request.
func TestPromiseRepositoryS3(t *testing.T) {
	s := testserver.VersityGW(t)
	proxy := testserver.NewProxy(t, s.Endpoint)
	proxy.KeepHost = true
	var requests atomic.Int64
	proxy.See = func(r *http.Request) {
		requests.Add(1)
		time.Sleep(latency)
	}
	bucket := s.Bucket(t)
	env := append(os.Environ(), "AWS_ACCESS_KEY_ID="+s.AccessKey, "AWS_SECRET_ACCESS_KEY="+s.SecretKey, "AWS_REGION="+s.Region, "AWS_DEFAULT_REGION="+s.Region,
		"AWS_EC2_METADATA_DISABLED=true")
	both := contenders(t, func(name string) (string, string) {
		return "s3://" + bucket + "/" + name + "?endpoint=" + proxy.URL + "&region=" + s.Region, "s3:" + proxy.URL + "/" + bucket + "/" + name
	}, env)
	for _, c := range both {
		c.stored = func() int64 { return diskUsage(t, filepath.Join(s.Folder, bucket, c.name)) }
		c.requests = requests.Load
	}
	race(t, "s3", both)
	gib := float64(fromEnv(t, "DAVIT_REPOSITORY_MIB", repositoryMiB)) / 1024
	figure := float64(both[0].measured["restore"].requests) / gib
	promise("repository-s3-requests-per-GiB-restored", figure, fmt.Sprintf("<=%d", mostRequests), figure <= mostRequests)
}

func contenders(t *testing.T, place func(name string) (davitURL, resticURL string), env []string) [2]*contender {
	t.Helper()
	davit := filepath.Join(t.TempDir(), "davit")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", davit, "github.com/davit-project/davit/cmd/davit").CombinedOutput()
	require.NoError(t, err, string(out))
	url, _ := place("davit")
	_, at := place("restic")
	cache := filepath.Join(t.TempDir(), "cache")
	ours := &contender{name: "davit", env: slices.Concat(env, []string{"DAVIT_PASSWORD=password of the test"}), measured: map[string]cost{}}
	ours.args = func(step, arg string) []string {
		switch step {
		case "backup":
			return []string{davit, "repository", "backup", "--location", url, arg}
		case "restore":
			return []string{davit, "repository", "restore", "--location", url, "latest", "--target", arg}
		default:
			return []string{davit, "repository", step, "--location", url}
		}
	}
	theirs := &contender{name: "restic", env: slices.Concat(env, []string{"RESTIC_PASSWORD=password of the test", "RESTIC_CACHE_DIR=" + cache}), measured: map[string]cost{}}
	theirs.args = func(step, arg string) []string {
		switch step {
		case "backup":
			return []string{"restic", "-q", "-r", at, "backup", arg}
		case "restore":
			return []string{"restic", "-q", "-r", at, "restore", "latest", "--target", arg}
		default:
			return []string{"restic", "-q", "-r", at, step}
		}
	}
	return [2]*contender{ours, theirs}
}

func diskUsage(t *testing.T, dir string) int64 {
	t.Helper()
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	return sum
}

// requireSameTree compares names, types, modes, times and contents.
func requireSameTree(t *testing.T, want, got string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "diff", "-r", "-q", "--no-dereference", want, got).CombinedOutput()
	require.NoError(t, err, "%s", out)
	err = filepath.WalkDir(want, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(want, name)
		if err != nil {
			return err
		}
		a, err := os.Lstat(name)
		if err != nil {
			return err
		}
		b, err := os.Lstat(filepath.Join(got, rel))
		if err != nil {
			return err
		}
		if a.Mode() != b.Mode() || !a.ModTime().Equal(b.ModTime()) {
			return fmt.Errorf("%s: %s %s, restored %s %s", rel, a.Mode(), a.ModTime(), b.Mode(), b.ModTime())
		}
		return nil
	})
	require.NoError(t, err)
}
