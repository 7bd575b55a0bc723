package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/davit-project/davit/location/repository"
)

// progressLine is how far a command is, in the output of --json: one line each second at most.
type progressLine struct {
	Type       string  `json:"type"`
	Files      int64   `json:"files"`
	TotalFiles int64   `json:"totalFiles,omitempty"`
	Bytes      int64   `json:"bytes"`
	TotalBytes int64   `json:"totalBytes,omitempty"`
	Elapsed    float64 `json:"elapsedSeconds"`
	Rate       float64 `json:"bytesPerSecond,omitempty"`
	ETA        float64 `json:"secondsLeft,omitempty"`
}

// watch returns what shows how far a command is, nil where nobody wants to know: with --json a line of it, else a line on a terminal that is written over. Done takes it away.
func (c *repositoryCall) watch() (show func(repository.Progress), done func()) {
	if c.json {
		return c.progressLines(), func() {}
	}
	f, ok := c.stderr.(*os.File)
	if !ok || !isTerminal(f) {
		return nil, func() {}
	}
	show = func(p repository.Progress) {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			width = 80
		}
		_, _ = io.WriteString(f, "\r\x1b[K"+cut(progressText(p), width-1))
	}
	return show, func() { _, _ = io.WriteString(f, "\r\x1b[K") }
}

func (c *repositoryCall) progressLines() func(repository.Progress) {
	var last time.Duration
	return func(p repository.Progress) {
		if !p.Done && p.Elapsed-last < time.Second {
			return
		}
		last = p.Elapsed
		// A reader that went away does not end the work.
		_ = c.printJSON(progressLine{"progress", p.Files, p.TotalFiles, p.Bytes, p.TotalBytes, p.Elapsed.Seconds(), p.Rate, p.ETA.Seconds()})
	}
}

func progressText(p repository.Progress) string {
	text := "  " + size(p.Bytes)
	if p.TotalBytes > 0 {
		text += fmt.Sprintf(" of %s, %d %%", size(p.TotalBytes), int64(100*float64(p.Bytes)/float64(p.TotalBytes)))
	}
	if p.TotalFiles > 0 {
		text += fmt.Sprintf(", %d of %d files", p.Files, p.TotalFiles)
	} else if p.Files > 0 {
		text += fmt.Sprintf(", %d files", p.Files)
	}
	if p.Rate > 0 {
		text += fmt.Sprintf(", %s/s", size(int64(p.Rate)))
	}
	if p.ETA > 0 {
		text += fmt.Sprintf(", %s left", p.ETA.Round(time.Second))
	}
	return text
}
