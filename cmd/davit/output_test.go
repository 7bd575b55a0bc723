package main

import (
	"bytes"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func lines() []line {
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	return []line{
		{Time: at(0), Event: string(engine.RunStarted), Run: "r1", Insecure: []string{"backup"}},
		{Time: at(0), Event: string(engine.PhaseStarted), Run: "r1", Action: "backup", Phase: "dump", Func: "KubeTask", Attempt: 1},
		{Time: at(2), Event: progress, Run: "r1", Action: "backup", Phase: "dump", Bytes: 3 << 20, TotalBytes: 12 << 20, Note: "table a"},
		{Time: at(2.05), Event: progress, Run: "r1", Action: "backup", Phase: "dump", Bytes: 4 << 20, TotalBytes: 12 << 20},
		{Time: at(3), Event: string(engine.AttemptFailed), Run: "r1", Action: "backup", Phase: "dump", Attempt: 1, Error: "exit code 1\x1b[2J", WaitSeconds: 1.5},
		{Time: at(5), Event: string(engine.PhaseStarted), Run: "r1", Action: "backup", Phase: "dump", Func: "KubeTask", Attempt: 2},
		{Time: at(6), Event: string(engine.PhaseComplete), Run: "r1", Action: "backup", Phase: "dump", Outputs: map[string]any{"path": "a<b"}},
		{Time: at(6), Event: string(engine.ActionEnded), Run: "r1", Action: "backup", State: "complete",
			Artifacts: map[string]any{"copy": map[string]any{"keyValue": map[string]any{"path": "a<b", "at": "x"}}}},
		{Time: at(20), Event: string(engine.RunEnded), Run: "r1", State: "complete", Left: []string{"pod ns/x: busy"}},
	}
}

func show(r reporter) {
	for _, l := range lines() {
		if l.Event == progress {
			r.progress(l)
		} else {
			r.event(l)
		}
	}
	r.close()
}

func TestTerminal(t *testing.T) {
	var out bytes.Buffer
	show(newTerminal(&out, func() int { return 80 }))
	assert.Equal(t, strings.Join([]string{
		"run r1 started",
		"  backup  insecure: the profile turns the verification of the store's certificates off",
		"  backup/dump  KubeTask",
		"\r\x1b[K  backup/dump  3.0 MiB of 12.0 MiB, 25 %, 1.5 MiB/s  table a\r\x1b[K  backup/dump  failed: exit code 1\uFFFD[2J; again in 1.5s",
		"  backup/dump  KubeTask, attempt 2",
		"  backup/dump  complete in 1s",
		"  backup  artifact copy at=x path=a<b",
		"run r1 complete in 20s",
		"left behind, remove by hand:",
		"  pod ns/x: busy",
		"",
	}, "\n"), out.String())
}

func TestTerminalCutsTheLiveLine(t *testing.T) {
	var out bytes.Buffer
	term := newTerminal(&out, func() int { return 12 })
	term.progress(line{Time: start, Action: "backup", Phase: "dümp", Note: "long"})
	assert.Equal(t, "\r\x1b[K  backup/dü", out.String())
}

func TestJSONLines(t *testing.T) {
	var out bytes.Buffer
	show(newJSONLines(&out))
	assert.Equal(t, strings.Join([]string{
		`{"time":"2026-01-02T03:04:05Z","event":"run-started","run":"r1","insecure":["backup"]}`,
		`{"time":"2026-01-02T03:04:05Z","event":"phase-started","run":"r1","action":"backup","phase":"dump","func":"KubeTask","attempt":1}`,
		`{"time":"2026-01-02T03:04:07Z","event":"progress","run":"r1","action":"backup","phase":"dump","bytes":3145728,"totalBytes":12582912,"note":"table a"}`,
		`{"time":"2026-01-02T03:04:08Z","event":"attempt-failed","run":"r1","action":"backup","phase":"dump","attempt":1,"error":"exit code 1\u001b[2J","waitSeconds":1.5}`,
		`{"time":"2026-01-02T03:04:10Z","event":"phase-started","run":"r1","action":"backup","phase":"dump","func":"KubeTask","attempt":2}`,
		`{"time":"2026-01-02T03:04:11Z","event":"phase-complete","run":"r1","action":"backup","phase":"dump","outputs":{"path":"a<b"}}`,
		`{"time":"2026-01-02T03:04:11Z","event":"action-ended","run":"r1","action":"backup","state":"complete","artifacts":{"copy":{"keyValue":{"at":"x","path":"a<b"}}}}`,
		`{"time":"2026-01-02T03:04:25Z","event":"run-ended","run":"r1","state":"complete","left":["pod ns/x: busy"]}`,
		"",
	}, "\n"), out.String())
}

func TestProgressNotesStayOnOneLine(t *testing.T) {
	var n names
	l := n.progressLine(start, engine.PhaseRef{Action: "a", Phase: "p"}, function.Progress{Note: "one\n\ttwo\x1b" + strings.Repeat("é", 300)})
	assert.True(t, strings.HasPrefix(l.Note, "one two\uFFFDé"), l.Note)
	assert.Less(t, len(l.Note), 410)
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 30: "5.0 GiB", 1<<63 - 1: "8.0 EiB"} {
		assert.Equal(t, want, size(n))
	}
}

func TestVersionLine(t *testing.T) {
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}}
	assert.Regexp(t, `^davit \(devel\) abc \(modified\) go1\.`, versionLine(info))
	info.Main.Version = "v1.2.3"
	assert.Regexp(t, `^davit v1\.2\.3 abc`, versionLine(info))
}
