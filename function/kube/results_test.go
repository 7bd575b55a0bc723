package kube

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

func line(key, value string) string {
	return outputMarker + ` {"key":"` + key + `","value":"` + value + `"}` + "\n"
}

// Outputs come by two ways; what one loses, the other has.
func TestResultsOfPods(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log, left string
		want      function.Outputs
	}{
		"both":           {line("a", "log"), line("a", "file"), function.Outputs{"a": "log"}},
		"only the file":  {"", line("a", "1") + line("b", "2"), function.Outputs{"a": "1", "b": "2"}},
		"one was lost":   {line("a", "log"), line("a", "file") + line("b", "file"), function.Outputs{"a": "log", "b": "file"}},
		"the last wins":  {"", line("a", "1") + line("a", "2"), function.Outputs{"a": "2"}},
		"without an end": {"", strings.TrimSuffix(line("a", "1"), "\n"), function.Outputs{"a": "1"}},
		"malformed ones": {line("a", "log"), "cut\"}\nsome text\n" + outputMarker + " no\n" + line("b", "file") + outputMarker + ` {"key":"c","val`, function.Outputs{"a": "log", "b": "file"}},
		"far too much":   {"", strings.Repeat("x", cluster.ResultsSize-len(line("a", "1"))+1) + "\n" + line("a", "1") + line("b", "2"), function.Outputs{}},
		"no lines":       {"", strings.Repeat("x", 1<<20), function.Outputs{}},
		"zeros":          {"", "\x00\x00\n\xff" + line("a", "1"), function.Outputs{"a": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, of := range []string{"KubeTask", "PrepareData", "MultiContainerRun"} {
				f := does(c.log, "", nil)
				f.left = c.left
				f.set("p", map[string]any{})
				call, rec := functiontest.NewCall("id")
				out, err := get(t, f.deps(), of).Exec(t.Context(), call, goodArgs(of))
				require.NoError(t, err)
				require.Equal(t, c.want, out)
				for key := range out {
					require.Equal(t, 1, strings.Count(rec.Log(), "key="+key), "each key is logged once")
				}
				require.NotContains(t, rec.Log(), "file")
			}
		})
	}
}

func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	var r results
	for range 10 {
		n, err := r.Write(make([]byte, 1<<20))
		require.NoError(t, err)
		require.Equal(t, 1<<20, n)
	}
	require.Len(t, r.text, cluster.ResultsSize)
}

// A failed command has no outputs, but for PrepareData that ignores the failure.
func TestResultsOfAFailedCommand(t *testing.T) {
	t.Parallel()
	for _, of := range []string{"KubeTask", "PrepareData"} {
		f := does(line("a", "log"), "", &cluster.ExitError{Code: 1})
		f.left = line("b", "file")
		f.set("p", map[string]any{})
		args := goodArgs(of)
		if of == "PrepareData" {
			args["failOnError"] = false
		}
		call, _ := functiontest.NewCall("id")
		out, err := get(t, f.deps(), of).Exec(t.Context(), call, args)
		if of == "PrepareData" {
			require.NoError(t, err)
			require.Equal(t, function.Outputs{"a": "log", "b": "file"}, out)
			continue
		}
		require.Error(t, err)
		require.Nil(t, out)
	}
}

func FuzzResults(f *testing.F) {
	f.Add(line("a", "b") + "x\r" + outputMarker)
	f.Fuzz(func(t *testing.T, text string) {
		call, _ := functiontest.NewCall("id")
		c := newCapture(t.Context(), call)
		var r results
		_, _ = r.Write([]byte(text))
		if err := r.addTo(c); err != nil {
			t.Fatal(err)
		}
	})
}
