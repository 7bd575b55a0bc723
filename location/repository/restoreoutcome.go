package repository

import (
	"errors"
	"fmt"
	"sync"
)

const (
	// maxFailures is how many errors are kept, maxWarnings how many warnings.
	maxFailures = 20
	maxWarnings = 100
)

// outcome collects what a restore has done.
type outcome struct {
	mu       sync.Mutex
	summary  RestoreSummary
	failures []error
}

// count changes the summary.
func (o *outcome) count(change func(s *RestoreSummary)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.summary)
}

// fail reports an entry that could not be restored.
func (o *outcome) fail(path string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.summary.Failed++
	if len(o.failures) < maxFailures {
		o.failures = append(o.failures, fmt.Errorf("%q: %w", path, err))
	}
}

// warn reports metadata that could not be set.
func (o *outcome) warn(path string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.summary.WarningCount++
	if len(o.summary.Warnings) < maxWarnings {
		o.summary.Warnings = append(o.summary.Warnings, fmt.Sprintf("%q: %v", path, err))
	}
}

func (o *outcome) failed() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.summary.Failed
}

// err joins the failures.
func (o *outcome) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	failures := o.failures
	if more := o.summary.Failed - int64(len(failures)); more > 0 {
		failures = append(failures[:len(failures):len(failures)], fmt.Errorf("and %d more could not be restored", more))
	}
	return errors.Join(failures...)
}
