package repository

import (
	"sync"
	"sync/atomic"
	"time"
)

// Progress is how far a backup, a restore or a check is.
type Progress struct {
	// Files and Bytes are done, those that need no work included.
	Files, Bytes int64
	// TotalFiles and TotalBytes are how many there are, as far as is known: they may grow, and are 0 while nothing is known.
	TotalFiles, TotalBytes int64
	// Elapsed is since the beginning.
	Elapsed time.Duration
	// Rate is that of the last seconds, in bytes a second.
	Rate float64
	// ETA is how long it will take from now, 0 if that cannot be told.
	ETA time.Duration
	// Done is true in the last call, after a failure too.
	Done bool
}

const (
	// meterTick is the time between calls.
	meterTick = 250 * time.Millisecond
	// meterMemory is about how long what has happened counts for the rate.
	meterMemory = 5 * time.Second
)

// meter counts, and calls a function at most four times a second, and once at the end; never twice at a time. A nil meter counts nothing.
type meter struct {
	files, bytes, totalFiles, totalBytes atomic.Int64

	call  func(Progress)
	start time.Time
	stop  chan struct{}
	ended sync.WaitGroup
	once  sync.Once

	// last, lastBytes and rate are those of the latest call.
	last      time.Time
	lastBytes int64
	rate      float64
}

// newMeter begins to count; it is nil, and costs nothing, without a function to call. It must be ended by finish.
func newMeter(call func(Progress)) *meter {
	if call == nil {
		return nil
	}
	now := time.Now()
	m := &meter{call: call, start: now, last: now, stop: make(chan struct{})}
	m.ended.Go(func() {
		tick := time.NewTicker(meterTick)
		defer tick.Stop()
		for {
			select {
			case <-m.stop:
				return
			case <-tick.C:
				m.call(m.progress(time.Now()))
			}
		}
	})
	return m
}

// add counts what is done.
func (m *meter) add(files, bytes int64) {
	if m != nil {
		m.files.Add(files)
		m.bytes.Add(bytes)
	}
}

// total counts what is to be done.
func (m *meter) total(files, bytes int64) {
	if m != nil {
		m.totalFiles.Add(files)
		m.totalBytes.Add(bytes)
	}
}

// settle says that all is done that there was to do.
func (m *meter) settle() {
	if m != nil {
		m.totalFiles.Store(m.files.Load())
		m.totalBytes.Store(m.bytes.Load())
	}
}

// finish makes the last call. A second finish does nothing.
func (m *meter) finish() {
	if m == nil {
		return
	}
	m.once.Do(func() {
		close(m.stop)
		m.ended.Wait()
		p := m.progress(time.Now())
		p.Done, p.ETA = true, 0
		m.call(p)
	})
}

func (m *meter) progress(now time.Time) Progress {
	p := Progress{
		Files: m.files.Load(), Bytes: m.bytes.Load(), TotalFiles: m.totalFiles.Load(), TotalBytes: m.totalBytes.Load(), Elapsed: now.Sub(m.start),
	}
	if passed := now.Sub(m.last); passed > 0 {
		// Until meterMemory has passed, the rate is the average since the beginning.
		weight := max(float64(passed)/float64(max(p.Elapsed, passed)), float64(passed)/float64(meterMemory+passed))
		m.rate += weight * (float64(p.Bytes-m.lastBytes)/passed.Seconds() - m.rate)
		m.last, m.lastBytes = now, p.Bytes
	}
	p.Rate = m.rate
	if left := p.TotalBytes - p.Bytes; left > 0 && p.Rate > 0 {
		if eta := float64(left) / p.Rate * float64(time.Second); eta < float64(maxETA) {
			p.ETA = time.Duration(eta)
		}
	}
	return p
}

// maxETA is the longest that is told.
const maxETA = 1000 * time.Hour
