package agent

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/davit-project/davit/cluster"
)

// progressMarker begins a progress line on standard error.
const progressMarker = "###Phase-progress###: "

// progressEvery is the least time between two lines.
const progressEvery = 250 * time.Millisecond

// progress writes at most four lines a second, and one at the end.
type progress struct {
	s     Streams
	on    bool
	total int64
	last  time.Time
}

func newProgress(s Streams, total int64) *progress {
	return &progress{s: s, on: s.Env(cluster.ProgressEnv) == "1", total: total, last: time.Now()}
}

func (p *progress) at(bytes int64) {
	if now := time.Now(); now.Sub(p.last) >= progressEvery {
		p.last = now
		p.print(bytes)
	}
}

func (p *progress) end(bytes int64) { p.print(bytes) }

func (p *progress) print(bytes int64) {
	if !p.on {
		return
	}
	text, err := json.Marshal(struct {
		Bytes int64 `json:"bytes"`
		Total int64 `json:"total,omitempty"`
	}{bytes, p.total})
	if err == nil {
		fmt.Fprintf(p.s.Err, "%s%s\n", progressMarker, text)
	}
}
