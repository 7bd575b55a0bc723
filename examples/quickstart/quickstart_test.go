//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/engine"
)

// built is the program without the race detector: with it each of the many short processes takes a second to end.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "quickstart-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built = filepath.Join(dir, "quickstart")
	build := exec.Command("go", "build", "-o", built, ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	code := 1
	if build.Run() == nil {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// command is the program with a folder for temporary files of its own.
func command(t *testing.T, args ...string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	tmp = t.TempDir()
	cmd = exec.Command(built, args...)
	cmd.Dir = tmp
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	return cmd, tmp
}

// processes returns the ids of those whose environment or command line names the folder. The program ends them all, so that waiting
// for them is no part of this.
func processes(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	all, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, dir := range all {
		for _, name := range []string{"environ", "cmdline"} {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil && bytes.Contains(text, []byte(folder)) {
				found = append(found, dir+": "+string(text))
			}
		}
	}
	return found
}

func requireEmpty(t *testing.T, folder string) {
	t.Helper()
	require.Empty(t, processes(t, folder), "processes that are left")
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, entries, "files that are left")
}

// figure returns what the pattern finds in the text, as numbers.
func figures(t *testing.T, text, pattern string) []uint64 {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	require.NotNil(t, found, "%s in:\n%s", pattern, text)
	var numbers []uint64
	for _, f := range found[1:] {
		n, err := strconv.ParseUint(f, 10, 64)
		require.NoError(t, err)
		numbers = append(numbers, n)
	}
	return numbers
}

// requireFigures checks what the closing table says, and returns the number of records in the backup.
func requireFigures(t *testing.T, text string, first uint64) uint64 {
	t.Helper()
	backup := figures(t, text, `(?m)^backup    (\d+) records, (\d+) bytes`)
	records, bytes := backup[0], int64(backup[1])
	require.GreaterOrEqual(t, records, first)
	require.Equal(t, dumpSize(records), bytes)
	require.Equal(t, []uint64{records, records}, figures(t, text, `(?m)^verified  (\d+) of (\d+) records`))
	written := figures(t, text, `(?m)^written   (\d+) records acknowledged, (\d+) of them`)
	require.Equal(t, records, written[1])
	require.Greater(t, written[0], records, "records written during the backup")
	for _, phase := range []string{"backup    snapshot   KubeExec", "backup    dump       KubeTask", "backup    release    KubeExec",
		"restore   locate     KubeExec", "restore   load       KubeTask", "restore   check      KubeExec",
		"delete    delete     LocationDelete"} {
		row := regexp.MustCompile(`(?m)^` + phase + ` +complete +[0-9.]+ m?s(.*)$`).FindStringSubmatch(text)
		require.NotNil(t, row, "%s in:\n%s", phase, text)
		if strings.Contains(phase, "KubeTask") {
			require.Contains(t, row[1], size(bytes), phase)
		}
	}
	for line := range strings.Lines(text) {
		if !strings.Contains(line, os.TempDir()) {
			require.LessOrEqual(t, len([]rune(line)), 81, line)
		}
	}
	require.NotContains(t, text, "\x1b", "colours and the like, where there is no terminal")
	return records
}

// open makes a story that is told in the test's own process, with the race detector.
func open(t *testing.T, records uint64) (d *demo, out *bytes.Buffer) {
	t.Helper()
	out = &bytes.Buffer{}
	h, err := openHost(t.Context(), t.TempDir(), built, &report{out: out})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, h.close())
		require.Empty(t, processes(t, h.dir))
	})
	return &demo{host: h, app: app{h.cluster}, records: records}, out
}

func TestFiguresAreThoseOfTheDatabase(t *testing.T) {
	h, out := open(t, 3000)
	require.NoError(t, h.tell(t.Context()))
	require.NoError(t, h.close())
	records := requireFigures(t, out.String(), 3000)

	databases, err := filepath.Glob(filepath.Join(h.dir, "cluster", "claims", namespace, "*", "records.db"))
	require.NoError(t, err)
	require.Len(t, databases, 1)
	s, err := openStore(databases[0])
	require.NoError(t, err)
	defer s.close()
	found, err := s.check()
	require.NoError(t, err)
	require.Equal(t, records, found)

	for _, action := range []string{"backup", "restore", "delete"} {
		journal, err := engine.ReadFile(h.journal(action))
		require.NoError(t, err)
		events, err := journal.Events(t.Context())
		require.NoError(t, err)
		state, err := engine.Reduce(events)
		require.NoError(t, err)
		require.Equal(t, engine.Complete, state.State)
		require.Empty(t, state.Left)
	}
}

func TestADamagedBackupIsNotRestored(t *testing.T) {
	d, _ := open(t, 500)
	require.NoError(t, d.fill(t.Context()))
	saved, err := d.backUp(t.Context())
	require.NoError(t, err)
	dump := filepath.Join(d.location(), saved.artifacts["dump"].KeyValue["path"])
	data, err := os.ReadFile(dump)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(dump, data, 0o600))

	before, err := d.number(t.Context(), "count")
	require.NoError(t, err)
	require.ErrorIs(t, d.restore(t.Context(), saved), engine.ErrFailed)
	after, err := d.number(t.Context(), "check")
	require.NoError(t, err)
	require.Equal(t, before, after, "the database is as it was")
}

func TestADumpThatFailsLeavesNoBackup(t *testing.T) {
	d, out := open(t, 100)
	require.NoError(t, d.fill(t.Context()))
	_, err := d.run(t.Context(), "backup", map[string]string{"maxRate": "much"}, nil)
	require.ErrorIs(t, err, engine.ErrFailed)
	require.Contains(t, out.String(), "release", "the deferred phase ran")
	require.NoError(t, d.nothingStored())
}

func TestKeep(t *testing.T) {
	cmd, tmp := command(t, "--records", "10", "--keep")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Empty(t, processes(t, tmp))
	kept, err := filepath.Glob(filepath.Join(tmp, "davit-quickstart-*"))
	require.NoError(t, err)
	require.Len(t, kept, 1)
	require.Contains(t, string(out), "kept: "+kept[0])
	require.FileExists(t, filepath.Join(kept[0], "backup.journal"))
}

func TestNothingIsLeft(t *testing.T) {
	cmd, tmp := command(t, "--records", "1000")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	requireFigures(t, string(out), 1000)
	requireEmpty(t, tmp)
}

func TestCrash(t *testing.T) {
	t.Parallel()
	cmd, tmp := command(t, "--records", "2000", "--crash")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	requireFigures(t, string(out), 2000)
	require.Regexp(t, `Process \d+ is dead \(signal: killed\). Its journal ends with phase-started.`, string(out))
	require.Contains(t, string(out), "The database was dumped once; no phase was repeated.")
	requireEmpty(t, tmp)
}

func TestInterrupt(t *testing.T) {
	tests := map[string]struct {
		args []string
		when string
	}{
		"while it fills":    {[]string{"--records", "20000"}, "1. Fill"},
		"while it backs up": {[]string{"--records", "20000"}, "2. Back up"},
		"before the crash":  {[]string{"--records", "2000", "--crash"}, "snapshot  KubeExec"},
		"after the crash":   {[]string{"--records", "2000", "--crash"}, "is dead"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, tmp := command(t, tc.args...)
			var complaint bytes.Buffer
			cmd.Stderr = &complaint
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			scanner := bufio.NewScanner(out)
			for scanner.Scan() {
				if strings.Contains(scanner.Text(), tc.when) {
					require.NoError(t, cmd.Process.Signal(os.Interrupt))
				}
			}
			exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
			require.True(t, ok)
			require.Equal(t, exitInterrupted, exit.ExitCode(), complaint.String())
			require.Equal(t, "quickstart: interrupted\n", complaint.String())
			requireEmpty(t, tmp)
		})
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"--records", "0"}, {"--records", "x"}, {"more"}, {"--nonsense"}} {
		cmd, tmp := command(t, args...)
		out, err := cmd.CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		require.True(t, ok, "%q", args)
		require.Equal(t, exitUsage, exit.ExitCode(), string(out))
		require.NotEmpty(t, out)
		requireEmpty(t, tmp)
	}
}

// direct executes the commands of compare on a store, without a cluster.
type direct struct{ *store }

func (d direct) Exec(_ context.Context, cmd cluster.Command) error {
	switch name := cmd.Args[2]; cmd.Args[1] {
	case "snapshot":
		count, err := d.snapshot(name)
		_, _ = io.WriteString(cmd.Stdout, strconv.FormatUint(count, 10))
		return err
	case "dump":
		return d.dump(name, cmd.Stdout)
	default:
		return d.release(name)
	}
}

func TestCompareFindsWhatIsWrong(t *testing.T) {
	s := filled(t, 10)
	count, err := app{direct{s}}.compare(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(10), count)
	require.Empty(t, s.snapshots)

	require.NoError(t, s.put([]uint64{7}, [][]byte{makeRecord(8)}))
	_, err = app{direct{s}}.compare(t.Context())
	require.ErrorContains(t, err, "record 7 holds the data of record 8")
	require.NoError(t, s.release("compare"))

	require.NoError(t, s.put([]uint64{7, 12}, [][]byte{makeRecord(7), makeRecord(12)}))
	_, err = app{direct{s}}.compare(t.Context())
	require.ErrorContains(t, err, "record 11 is missing")
}
