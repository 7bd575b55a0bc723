//go:build unix

package agent_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/agent"
)

// host answers a trailer with the acknowledgement, or with what else it is told to.
type host struct {
	bytes.Buffer
	in     *io.PipeWriter
	answer string
}

func (h *host) Write(p []byte) (int, error) {
	n, _ := h.Buffer.Write(p)
	if strings.Contains(h.String(), "NONCE") && bytes.HasSuffix(p, []byte("\n")) {
		go func() {
			_, _ = io.WriteString(h.in, h.answer)
			h.in.Close()
		}()
	}
	return n, nil
}

// stream calls the agent as a host does: it sends the input, and the answer to the trailer.
func stream(t *testing.T, way, input, answer string, args ...string) result {
	t.Helper()
	in, w := io.Pipe()
	h := &host{in: w, answer: answer}
	go func() { _, _ = io.WriteString(w, input) }()
	var errs bytes.Buffer
	args = append([]string{"kando", "stream", way, "NONCE", "--"}, args...)
	code := agent.Main(t.Context(), args, agent.Streams{In: in, Out: h, Err: &errs, Env: func(string) string { return "" }})
	in.Close()
	return result{code, h.String(), errs.String()}
}

func pieces(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%d\n%s", len(p), p)
	}
	fmt.Fprintf(&b, "0 %x\n", hash(strings.Join(parts, "")))
	return b.String()
}

func TestStreamOut(t *testing.T) {
	sum := fmt.Sprintf("%x", hash("data\n"))
	for name, tc := range map[string]struct {
		args []string
		want result
	}{
		"all well":      {[]string{"echo", "data"}, result{0, "data\nNONCE code=0 length=5 sum=" + sum + "\n", ""}},
		"a code":        {[]string{"sh", "-c", "echo data; echo why >&2; exit 3"}, result{0, "data\nNONCE code=3 length=5 sum=" + sum + "\n", "why\n"}},
		"a signal":      {[]string{"sh", "-c", "echo data; kill -TERM $$"}, result{0, "data\nNONCE code=143 length=5 sum=" + sum + "\n", ""}},
		"flags":         {[]string{"echo", "-n", "--", "-v"}, result{0, fmt.Sprintf("-- -vNONCE code=0 length=5 sum=%x\n", hash("-- -v")), ""}},
		"not found":     {[]string{"nosuchprogram"}, result{0, fmt.Sprintf("NONCE code=127 length=0 sum=%x\n", hash("")), "davit stream: exec: \"nosuchprogram\": executable file not found in $PATH\n"}},
		"not to be run": {[]string{"/"}, result{0, fmt.Sprintf("NONCE code=126 length=0 sum=%x\n", hash("")), "davit stream: exec: \"/\": is a directory\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.want, stream(t, "out", "", "NONCE\n", tc.args...))
		})
	}
}

func TestStreamNeedsItsAcknowledgement(t *testing.T) {
	for answer, text := range map[string]string{
		"":                       "the host went away without an acknowledgement",
		"NONCE":                  "the host went away without an acknowledgement",
		"other\n":                "what the host sent is no acknowledgement",
		strings.Repeat("x", 999): "what the host sent is no acknowledgement",
	} {
		got := stream(t, "out", "", answer, "echo", "data")
		require.Equal(t, 1, got.code)
		require.Contains(t, got.out, "data\nNONCE code=0")
		require.Equal(t, "kando stream out: "+text+"\n", got.err)
		got = stream(t, "in", pieces("data"), answer, "cat")
		require.Equal(t, 1, got.code)
		require.Contains(t, got.err, "kando stream in: "+text+"\n")
	}
}

func TestStreamIn(t *testing.T) {
	long := strings.Repeat("0123456789", 100_000)
	for name, tc := range map[string]struct {
		input string
		args  []string
		want  result
	}{
		"all well":   {pieces("da", "ta"), []string{"cat"}, result{0, fmt.Sprintf("NONCE code=0 rest=0 length=4 sum=%x\n", hash("data")), "data"}},
		"nothing":    {pieces(), []string{"cat"}, result{0, fmt.Sprintf("NONCE code=0 rest=0 length=0 sum=%x\n", hash("")), ""}},
		"a code":     {pieces("da", "ta"), []string{"sh", "-c", "cat; exit 3"}, result{0, fmt.Sprintf("NONCE code=3 rest=0 length=4 sum=%x\n", hash("data")), "data"}},
		"input left": {pieces(long, long), []string{"true"}, result{0, "NONCE code=0 rest=1\n", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.want, stream(t, "in", tc.input, "NONCE\n", tc.args...))
		})
	}
}

// What is not what the host sent never becomes the whole input of a command.
func TestStreamInDamaged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "whole")
	for name, input := range map[string]string{
		"another sum":     "4\ndata0 " + fmt.Sprintf("%x", hash("dats")) + "\n",
		"no sum":          "4\ndata0 \n",
		"no number":       "4\ndatafour\n",
		"a negative size": "-4\ndata",
		"no size":         "4\ndata\n",
		"zero alone":      "4\ndata0\n",
		"too large":       "1048577\n" + strings.Repeat("x", 2000),
		"a long line":     strings.Repeat("1", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			got := stream(t, "in", input, "", "sh", "-c", `trap "" TERM; cat >/dev/null; : >"$0"`, file)
			require.Equal(t, 1, got.code)
			require.Regexp(t, `^NONCE code=\d+ damaged=1\n$`, got.out)
			require.Equal(t, "kando stream in: what arrived is not what the host sent\n", got.err)
			require.NoFileExists(t, file)
		})
	}
}

func TestStreamUsage(t *testing.T) {
	for _, args := range [][]string{
		{"out"}, {"out", "NONCE"}, {"out", "NONCE", "--"}, {"out", "NONCE", "true"}, {"in", "--", "NONCE", "true"}, {"in", "NONCE", "more", "--", "true"}, {"in", "", "--", "true"},
	} {
		got := call(t, nil, nil, append([]string{"stream"}, args...)...)
		require.Equal(t, result{2, "", "kando stream " + args[0] + ": takes a nonce, -- and a command\n"}, got)
	}
	require.Equal(t, result{2, "", "kando stream: needs a command: in, out\n"}, call(t, nil, nil, "stream"))
}

// A signal ends the command too, which is asked before it is killed. On a machine that stalls, the second it has for an answer may be over at once.
func TestStreamSignal(t *testing.T) {
	for _, way := range []string{"out", "in"} {
		asked := false
		for n := 0; n < 5 && !asked; n++ {
			asked = signalStream(t, way)
		}
		require.True(t, asked, way)
	}
}

// signalStream tells whether the command could answer the signal that its agent got.
func signalStream(t *testing.T, way string) bool {
	t.Helper()
	cmd, errs := process(t, "stream", way, "NONCE", "--", "sh", "-c", "trap 'echo ended >&2; exit 0' TERM; echo begun >&2; while :; do sleep 0.05; done")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	cmd.Stderr = w
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	require.NoError(t, cmd.Start())
	w.Close()
	line := make([]byte, len("begun\n"))
	_, err = io.ReadFull(r, line)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, 143, exitCode(cmd.Wait()), errs)
	return strings.Contains(string(rest), "ended\n")
}
