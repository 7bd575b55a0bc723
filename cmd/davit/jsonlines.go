package main

import (
	"encoding/json"
	"io"
	"time"
)

// jsonLines writes a JSON object for each event, and of the progress of a phase one each second at most.
type jsonLines struct {
	enc  *json.Encoder
	last map[string]time.Time
}

var _ reporter = (*jsonLines)(nil)

func newJSONLines(w io.Writer) *jsonLines {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &jsonLines{enc: enc, last: map[string]time.Time{}}
}

// A reader that went away does not end a run: errors of the writer are dropped.
func (j *jsonLines) event(l line) { _ = j.enc.Encode(l) }

func (j *jsonLines) progress(l line) {
	phase := l.Action + "\x00" + l.Phase
	if last, ok := j.last[phase]; ok && l.Time.Sub(last) < time.Second {
		return
	}
	j.last[phase] = l.Time
	_ = j.enc.Encode(l)
}

func (j *jsonLines) close() {}
