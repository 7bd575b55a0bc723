package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkPromiseMask compares masking a log with many secrets known to one pass of strings.Replacer for each secret: the cost must grow
// with the text, not with the text times the secrets.
func BenchmarkPromiseMask(b *testing.B) {
	v := newVault()
	for i := range 200 {
		v.add(secretRef{Name: "s", Key: fmt.Sprint(i)}, fmt.Sprintf("secret-value-%03d-%d", i, i*7919))
	}
	text := strings.Repeat("2026-01-01T00:00:00Z copied 4096 bytes from data/base/1234 to the location, nothing unusual here\n", 100)
	one := measure(func() { v.mask(text) })
	length := 0
	each := measure(func() {
		for _, list := range v.index {
			for _, e := range list {
				length += len(strings.ReplaceAll(text, e.value, masked))
			}
		}
	})
	require.Positive(b, length)
	promise(b, "mask-speed-over-pass-per-secret", each/one, 5)
}

// BenchmarkPromiseResume compares carrying on a long run to executing it: what finished costs a fraction.
func BenchmarkPromiseResume(b *testing.B) {
	text := header + "  backup:\n    phases:\n"
	for i := range 200 {
		text += fmt.Sprintf("    - {func: Echo, name: p%d, args: {value: '{{ .Time }} %d'}}\n", i, i)
	}
	w := newWorld()
	reg, source := w.registry(b), newObjects()
	j := &MemoryJournal{}
	e := New(reg, source, nil)
	_, err := e.Run(b.Context(), specOf(b, text, "backup"), j)
	require.NoError(b, err)
	spec := specOf(b, text, "backup")
	run := measure(func() { _, _ = e.Run(b.Context(), spec, &MemoryJournal{}) })
	again := measure(func() { _, _ = e.Resume(b.Context(), j) })
	promise(b, "finished-run-speed-over-executing", run/again, 2)
}

// measure returns the median time of one call, over calls of half a second in all, in nanoseconds.
func measure(f func()) float64 {
	var times []time.Duration
	for begin := time.Now(); time.Since(begin) < 500*time.Millisecond; {
		start := time.Now()
		f()
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return float64(times[len(times)/2])
}

// promise prints a line of make bench.
func promise(b *testing.B, name string, figure, bound float64) {
	verdict := "holds"
	if figure < bound {
		verdict = "short"
	}
	fmt.Printf("promise %s %.1fx >=%.0fx %s\n", name, figure, bound, verdict) //nolint:forbidigo // the line is the benchmark's result
	b.ReportMetric(figure, "ratio")
}
