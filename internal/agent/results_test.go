//go:build unix

package agent_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/cluster"
)

func outputLine(key, value string) string {
	return `###Phase-output###: {"key":"` + key + `","value":"` + value + `"}` + "\n"
}

func resultsFile(t *testing.T) (string, map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "results")
	return path, map[string]string{cluster.ResultsEnv: path}
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func TestOutputAddsToTheResults(t *testing.T) {
	path, env := resultsFile(t)
	require.Equal(t, result{out: outputLine("a", "1")}, call(t, env, nil, "output", "a", "1"))
	require.Equal(t, result{out: outputLine("b", "2")}, call(t, env, nil, "output", "b", "2"))
	require.Equal(t, outputLine("a", "1")+outputLine("b", "2"), content(t, path))
	require.Equal(t, 2, call(t, env, nil, "output", "bad-key", "3").code)
	require.Equal(t, outputLine("a", "1")+outputLine("b", "2"), content(t, path), "an output that failed is none")

	require.NoError(t, os.WriteFile(path, []byte("somebody's half line"), 0o600))
	call(t, env, nil, "output", "a", "1")
	require.Equal(t, "somebody's half line\n"+outputLine("a", "1"), content(t, path))
}

func TestResultsAreWholeLinesWithinTheirSize(t *testing.T) {
	path, env := resultsFile(t)
	add := func(size int) { // a line of this size
		line := outputLine("k", "")
		require.Equal(t, 0, call(t, env, nil, "output", "k", strings.Repeat("v", size-len(line))).code)
	}
	add(cluster.ResultsSize + 1)
	require.NoFileExists(t, path)
	add(cluster.ResultsSize - 100)
	add(101)
	require.Len(t, content(t, path), cluster.ResultsSize-100, "a line that does not fit is left out")
	add(100)
	require.Len(t, content(t, path), cluster.ResultsSize, "one that fits is not")
	add(60)
	require.Len(t, content(t, path), cluster.ResultsSize)

	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", cluster.ResultsSize-60)), 0o600))
	add(60)
	require.Len(t, content(t, path), cluster.ResultsSize-60, "the end of the half line needs room too")
}

// Many processes at once fill the file with whole lines.
func TestResultsOfManyProcesses(t *testing.T) {
	path, _ := resultsFile(t)
	const size, processes = 300, 24
	value := strings.Repeat("v", size-len(outputLine("k00", "")))
	var all []*exec.Cmd
	for i := range processes {
		cmd, _ := process(t, "output", "k"+strconv.Itoa(10+i), value)
		cmd.Env = append(cmd.Env, cluster.ResultsEnv+"="+path)
		var out bytes.Buffer
		cmd.Stdout = &out
		require.NoError(t, cmd.Start())
		all = append(all, cmd)
	}
	for i, cmd := range all {
		require.NoError(t, cmd.Wait())
		require.Equal(t, outputLine("k"+strconv.Itoa(10+i), value), cmd.Stdout.(*bytes.Buffer).String())
	}
	lines := strings.SplitAfter(strings.TrimSuffix(content(t, path), "\n"), "\n")
	require.Len(t, lines, cluster.ResultsSize/size)
	seen := map[string]bool{}
	for _, line := range lines {
		require.Len(t, strings.TrimSuffix(line, "\n"), size-1)
		require.False(t, seen[line])
		seen[line] = true
	}
}

// An output whose result cannot be stored is printed all the same, and said nowhere else.
func TestResultsThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, unix.Mkfifo(pipe, 0o600))
	for name, path := range map[string]string{
		"no folder": filepath.Join(dir, "none", "results"),
		"a folder":  dir,
		"a pipe":    pipe,
		"a device":  os.DevNull,
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, map[string]string{cluster.ResultsEnv: path}, nil, "output", "key", "canary")
			require.Equal(t, 0, got.code)
			require.Equal(t, outputLine("key", "canary"), got.out)
			require.Contains(t, got.err, "the output key is not in the file of DAVIT_RESULTS_FILE: ")
			require.Equal(t, 1, strings.Count(got.err, "\n"))
			require.NotContains(t, got.err, "canary")
		})
	}
}

func TestResultsThatSomebodyHolds(t *testing.T) {
	path, env := resultsFile(t)
	holder, err := os.Create(path)
	require.NoError(t, err)
	defer holder.Close()
	require.NoError(t, unix.Flock(int(holder.Fd()), unix.LOCK_EX))
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		got := call(t, env, nil, "output", "key", "canary")
		require.Equal(t, 0, got.code)
		require.Contains(t, got.err, "another process holds it")
		require.Less(t, time.Since(begin), 5*time.Second)

		go func() {
			time.Sleep(time.Second)
			holder.Close()
		}()
		require.Equal(t, result{out: outputLine("key", "v")}, call(t, env, nil, "output", "key", "v"), "it is waited for")
		require.Equal(t, outputLine("key", "v"), content(t, path))
		synctest.Wait()
	})
}
