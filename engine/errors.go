package engine

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of runs.
var (
	// ErrInvalid means that the request is wrong; nothing was touched.
	ErrInvalid = errors.New("invalid run")
	// ErrFailed means that the run ended without success.
	ErrFailed = errors.New("run failed")
	// ErrCancelled means that the run was cancelled.
	ErrCancelled = errors.New("cancelled")
	// ErrTimeout means that a phase did not end within its timeout.
	ErrTimeout = errors.New("timed out")
	// ErrMaxHold means that what a phase did, such as quiescing a database, was not to last any longer.
	ErrMaxHold = errors.New("held for too long")
	// ErrUnknownOutcome means that the host died while a function ran that is not safe to repeat.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrJournal means that the journal could not be read or written.
	ErrJournal = errors.New("journal")
	// ErrBusy means that another process executes the run.
	ErrBusy = errors.New("the run is being executed by another process")
	// ErrOutputTooLarge means that the outputs of a phase, or the artifacts of an action, exceed the limit.
	ErrOutputTooLarge = errors.New("outputs too large")
)

// PhaseError says which phase failed and why. Its text and that of Err are masked.
type PhaseError struct {
	// Action is the action's label, Phase the phase's name.
	Action, Phase string
	// Func is the function's name.
	Func string
	// Attempt is the last one, from 1; 0 when the phase failed before its function was called.
	Attempt int
	Err     error
}

// Error names the phase and the cause.
func (e *PhaseError) Error() string {
	s := fmt.Sprintf("action %q, phase %q (%s)", e.Action, e.Phase, e.Func)
	if e.Attempt > 1 {
		s += fmt.Sprintf(", attempt %d", e.Attempt)
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *PhaseError) Unwrap() error { return e.Err }

// maskedError has the masked text of an error and can still be matched.
type maskedError struct {
	text string
	err  error
}

func (e *maskedError) Error() string        { return e.text }
func (e *maskedError) Is(target error) bool { return errors.Is(e.err, target) }
func (e *maskedError) As(target any) bool   { return errors.As(e.err, target) }

// codes of errors in the journal, so that a result read from it matches like the first one.
var errorCodes = []struct {
	code string
	err  error
}{
	{"unknown-outcome", ErrUnknownOutcome},
	{"timeout", ErrTimeout},
	{"max-hold", ErrMaxHold},
	{"cancelled", ErrCancelled},
	{"output-too-large", ErrOutputTooLarge},
}

// Failure is an error in an event.
type Failure struct {
	// Message is masked. Of a long one the middle is left out.
	Message string `json:"message"`
	// Code is unknown-outcome, timeout, max-hold, cancelled, output-too-large or empty.
	Code string `json:"code,omitempty"`
}

// maxMessage bounds the text of an error in the journal, in bytes: an event that the journal cannot hold would stop the run for good.
const maxMessage = 64 << 10

// shorten leaves out the middle of a text that is too long.
func shorten(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	const half = maxMessage/2 - 32
	note := fmt.Sprintf("… %d bytes left out …", len(s)-2*half)
	return strings.ToValidUTF8(s[:half], "") + note + strings.ToValidUTF8(s[len(s)-half:], "")
}

func failure(err error) *Failure {
	f := &Failure{Message: shorten(err.Error())}
	for _, c := range errorCodes {
		if errors.Is(err, c.err) {
			f.Code = c.code
			break
		}
	}
	return f
}

// Error of a failure that came from a journal.
func (f *Failure) asError() error {
	for _, c := range errorCodes {
		if c.code == f.Code {
			return &maskedError{f.Message, c.err}
		}
	}
	return errors.New(f.Message)
}

func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

func journalError(err error) error {
	if errors.Is(err, ErrJournal) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrJournal, err)
}
