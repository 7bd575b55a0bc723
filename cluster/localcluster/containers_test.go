//go:build unix

package localcluster

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
)

func side(name, script string) cluster.Container {
	return cluster.Container{Name: name, Command: []string{"sh", "-c", script}}
}

func TestRunPodWithSeveralContainers(t *testing.T) {
	c := open(t)
	var text bytes.Buffer
	pod := task("several", "read x <tmp/pipe; echo $x; cat tmp/first", &text)
	pod.Container = "output"
	pod.Init = []cluster.Container{side("init", "mkfifo tmp/pipe"), side("second", "echo second >tmp/first; echo not in the log")}
	pod.Others = []cluster.Container{side("background", "echo through >tmp/pipe; echo not in the log")}
	pod.Shared = &cluster.SharedVolume{Path: "/tmp/", Medium: "Memory", SizeLimit: "1Gi"}
	pod.ServiceAccount = "ignored"
	require.NoError(t, c.RunPod(t.Context(), pod))
	require.Equal(t, "through\nsecond\n", text.String())
	text.Reset()
	require.NoError(t, c.RunPod(t.Context(), pod), "the pod is adopted")
	require.Equal(t, "through\nsecond\n", text.String())
}

func TestFailureOfAnyContainerIsThePods(t *testing.T) {
	c := open(t)
	for name, pod := range map[string]cluster.Pod{
		"init":       {Init: []cluster.Container{side("init", "exit 3")}},
		"background": {Others: []cluster.Container{side("background", "exit 3")}},
	} {
		var text bytes.Buffer
		p := task("failing-"+name, "echo main", &text)
		p.Container, p.Init, p.Others = "output", pod.Init, pod.Others
		var exit *cluster.ExitError
		require.ErrorAs(t, c.RunPod(t.Context(), p), &exit, name)
		require.Equal(t, cluster.ExitError{What: "pod app/failing-" + name + ", container " + name, Code: 3}, *exit)
		require.Equal(t, name != "init", text.String() == "main\n", "nothing runs after an init container that failed")
	}
	// the main container speaks first
	p := task("both", "echo last words; exit 4", nil)
	p.Others = []cluster.Container{side("a-background", "exit 3")}
	var exit *cluster.ExitError
	require.ErrorAs(t, c.RunPod(t.Context(), p), &exit)
	require.Equal(t, 4, exit.Code)
	require.Equal(t, "last words\n", exit.Tail)
}

func TestPodEndsWhenAllContainersHaveEnded(t *testing.T) {
	c := open(t)
	pod := task("waits", "true", nil)
	pod.Others = []cluster.Container{side("slow", "sleep 0.3; echo done >slow")}
	begun := time.Now()
	require.NoError(t, c.RunPod(t.Context(), pod))
	require.Greater(t, time.Since(begun), 300*time.Millisecond)
}

func TestContainersAreChecked(t *testing.T) {
	c := open(t)
	for name, edit := range map[string]func(*cluster.Pod){
		"same name":        func(p *cluster.Pod) { p.Others = []cluster.Container{side("container", "true")} },
		"bad name":         func(p *cluster.Pod) { p.Container = "a b" },
		"no command":       func(p *cluster.Pod) { p.Init = []cluster.Container{{Name: "init"}} },
		"medium":           func(p *cluster.Pod) { p.Shared = &cluster.SharedVolume{Path: "/tmp", Medium: "Tape"} },
		"size":             func(p *cluster.Pod) { p.Shared = &cluster.SharedVolume{Path: "/tmp", SizeLimit: "much"} },
		"path":             func(p *cluster.Pod) { p.Shared = &cluster.SharedVolume{Path: "/"} },
		"path that leaves": func(p *cluster.Pod) { p.Shared = &cluster.SharedVolume{Path: "../x"} },
	} {
		pod := task("bad", "true", nil)
		edit(&pod)
		require.ErrorIs(t, c.RunPod(t.Context(), pod), cluster.ErrInvalid, name)
	}
}

func TestResults(t *testing.T) {
	c := open(t)
	for name, test := range map[string]struct{ script, want string }{
		"none":     {"true", ""},
		"some":     {`echo a >>"$DAVIT_RESULTS_FILE"; echo b >>"$DAVIT_RESULTS_FILE"`, "a\nb\n"},
		"too-much": {`head -c 10000 /dev/zero | tr '\0' x >"$DAVIT_RESULTS_FILE"; echo end >>"$DAVIT_RESULTS_FILE"`, strings.Repeat("x", cluster.ResultsSize-4) + "end\n"},
		"failing":  {`echo a >"$DAVIT_RESULTS_FILE"; exit 2`, "a\n"},
		"link":     {`ln -s /etc/hostname "$DAVIT_RESULTS_FILE"`, ""},
		"fifo":     {`mkfifo "$DAVIT_RESULTS_FILE"`, ""},
		"folder":   {`mkdir "$DAVIT_RESULTS_FILE"`, ""},
	} {
		var results, text bytes.Buffer
		pod := task("results-"+name, test.script, &text)
		pod.Results = &results
		for range 2 { // the second time the pod is adopted
			results.Reset()
			require.Equal(t, name == "failing", c.RunPod(t.Context(), pod) != nil, text.String())
			require.Equal(t, test.want, results.String(), name)
		}
	}
}

// Only the main container of RunPod leaves results: commands that run in other pods write to their standard output alone.
func TestResultsAreOfTheMainContainer(t *testing.T) {
	c, _ := database(t)
	out, _, err := run(c, "db-0", `echo "[$DAVIT_RESULTS_FILE]"`)
	require.NoError(t, err)
	require.Equal(t, "[]\n", out)
	var text bytes.Buffer
	pod := task("one", `cat tmp/other`, &text)
	pod.Shared = &cluster.SharedVolume{Path: "/tmp"}
	pod.Init = []cluster.Container{side("init", `echo "[$DAVIT_RESULTS_FILE]" >tmp/other`)}
	require.NoError(t, c.RunPod(t.Context(), pod))
	require.Equal(t, "[]\n", text.String())

	broken := task("broken", `echo a >"$DAVIT_RESULTS_FILE"`, nil)
	full := errFull{}
	broken.Results = failingWriter{full}
	require.ErrorIs(t, c.RunPod(t.Context(), broken), full)
	require.NoDirExists(t, c.podPath("app", "broken"))
}

type errFull struct{}

func (errFull) Error() string { return "results are full" }

func TestForeignPodExists(t *testing.T) {
	c := open(t)
	require.NoError(t, c.RunPod(t.Context(), task("same", "true", nil)))
	other := task("same", "true", nil)
	other.Labels = map[string]string{"run": "r2"}
	err := c.RunPod(t.Context(), other)
	require.ErrorIs(t, err, cluster.ErrExists)
	require.ErrorIs(t, err, cluster.ErrInvalid)
}
