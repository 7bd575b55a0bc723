package kube

import (
	"bytes"
	"maps"
	"slices"

	"github.com/davit-project/davit/cluster"
)

// results keeps what a container left in the file for results, up to cluster.ResultsSize bytes: the outputs once more, each a line as in the
// log. A log can lose lines, when it is rotated or its stream breaks; the file does not. It never fails.
type results struct{ text []byte }

func (r *results) Write(p []byte) (int, error) {
	r.text = append(r.text, p[:min(len(p), cluster.ResultsSize-len(r.text))]...)
	return len(p), nil
}

// addTo adds the outputs whose keys the log did not have. Lines that are no outputs, or malformed or cut ones, are ignored.
func (r *results) addTo(c *capture) error {
	found := newOutputs(defaultLimits())
	for line := range bytes.Lines(r.text) {
		w := lineWriter{
			limits: defaultLimits(), outputs: found,
			log: func([]byte) {}, output: func(string) {}, progress: func(int64, int64) {},
		}
		_, _ = w.Write(line) // a malformed line is ignored
		_ = w.Close()
	}
	values, have := found.all(), c.outputs.all()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if _, ok := have[key]; ok {
			continue
		}
		if err := c.outputs.set(key, values[key]); err != nil {
			return err
		}
		c.stdout.output(key)
	}
	return nil
}
