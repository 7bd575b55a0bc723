package template

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	text "text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// benchTexts are the strings of testdata/texts.yaml or, where DAVIT_CORPUS names a folder of blueprints, those of all YAML files in it.
func benchTexts(b *testing.B) []string {
	folder := os.Getenv("DAVIT_CORPUS")
	if folder == "" {
		return yamlStrings(b, "testdata/texts.yaml")
	}
	var out []string
	require.NoError(b, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, "aml") {
			out = append(out, yamlStrings(b, path)...)
		}
		return err
	}))
	return out
}

func yamlStrings(b *testing.B, path string) []string {
	data, err := os.ReadFile(path)
	require.NoError(b, err)
	var out []string
	for dec := yaml.NewDecoder(strings.NewReader(string(data))); ; {
		var doc yaml.Node
		if dec.Decode(&doc) != nil {
			return out
		}
		out = appendStrings(out, &doc)
	}
}

func appendStrings(out []string, n *yaml.Node) []string {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "{{") { // a text without actions costs nothing at all
		return append(out, n.Value)
	}
	for _, child := range n.Content {
		out = appendStrings(out, child)
	}
	return out
}

// compileAll leaves out what is no template.
func compileAll(texts []string) (ok []string, compiled []*Template) {
	for _, s := range texts {
		if t, err := (*Env)(nil).Compile("x", s); err == nil {
			ok, compiled = append(ok, s), append(compiled, t)
		}
	}
	return ok, compiled
}

func renderAll(compiled []*Template, data any) {
	for _, t := range compiled {
		_, _ = t.Render(data) // a text that reads what the parameters lack fails in both ways
	}
}

func parseAndRenderAll(texts []string, data any) {
	for _, s := range texts {
		t, err := text.New("config").Option("missingkey=error").Funcs(sprig.TxtFuncMap()).Parse(s)
		if err == nil {
			var out strings.Builder
			_ = t.Execute(&out, data)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	_, compiled := compileAll(benchTexts(b))
	data := fullParams()
	b.ReportAllocs()
	for b.Loop() {
		renderAll(compiled, data)
	}
}

// BenchmarkParseEachTime is what Kanister does.
func BenchmarkParseEachTime(b *testing.B) {
	texts, _ := compileAll(benchTexts(b))
	data := fullParams()
	b.ReportAllocs()
	for b.Loop() {
		parseAndRenderAll(texts, data)
	}
}

func BenchmarkCompile(b *testing.B) {
	texts := benchTexts(b)
	b.ReportAllocs()
	for b.Loop() {
		compileAll(texts)
	}
}

// BenchmarkPromiseCompiledOnce measures how much faster it is to compile once than to parse at each rendering.
func BenchmarkPromiseCompiledOnce(b *testing.B) {
	texts, compiled := compileAll(benchTexts(b))
	data := fullParams()
	var once, each time.Duration
	for b.Loop() {
		each += timed(func() { parseAndRenderAll(texts, data) })
		for range 10 {
			once += timed(func() { renderAll(compiled, data) }) / 10
		}
	}
	promise("template-compiled-once", float64(each)/float64(once), "x", 10, true)
}

// BenchmarkPromiseHostileMemory measures the most memory any of the hostile templates holds at a time, sampled, above what was there before.
func BenchmarkPromiseHostileMemory(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	data := fullParams()
	worst := 0.0
	for b.Loop() {
		for _, s := range hostile {
			t, err := (*Env)(nil).Compile("x", s)
			require.NoError(b, err)
			worst = max(worst, peak(func() { _, _ = t.Render(data) }))
		}
	}
	promise("template-hostile-memory", worst, "MiB", 64, false)
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// peak is the largest growth of the heap in MiB while f runs.
func peak(f func()) float64 {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before, most := heap(), uint64(0)
	stop := make(chan struct{})
	var sampler sync.WaitGroup
	sampler.Go(func() {
		for {
			most = max(most, heap())
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Microsecond):
			}
		}
	})
	f()
	close(stop)
	sampler.Wait()
	return float64(max(most, before)-before) / (1 << 20)
}

// promise prints a line of make bench. More tells whether more than the bound is better.
func promise(name string, figure float64, unit string, bound float64, more bool) {
	sign, holds := "<=", figure <= bound
	if more {
		sign, holds = ">=", figure >= bound
	}
	verdict := "short"
	if holds {
		verdict = "holds"
	}
	fmt.Printf("promise %s %.1f%s %s%.0f%s %s\n", name, figure, unit, sign, bound, unit, verdict) //nolint:forbidigo // the line is the benchmark's result
}
