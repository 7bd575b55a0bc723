package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

// capture follows what one command writes: outputs, progress, the log and the tail for an error.
type capture struct {
	outputs *outputs
	// stdout takes outputs, stderr does not.
	stdout, stderr *lineWriter
	tail           *tail
	mask           func(string) string
	// container is the one that is followed, where others of its pod can fail; else empty.
	container string
}

// newCapture makes a capture. The attributes say where the command runs and become part of each line of the log.
func newCapture(ctx context.Context, call *function.Call, where ...slog.Attr) *capture {
	c := &capture{outputs: newOutputs(defaultLimits()), tail: &tail{}, mask: call.Mask}
	writer := func(o *outputs, attrs ...slog.Attr) *lineWriter {
		return &lineWriter{
			limits:  defaultLimits(),
			outputs: o,
			log: func(line []byte) {
				c.tail.add(line)
				call.Log.LogAttrs(ctx, slog.LevelInfo, string(line), attrs...)
			},
			output: func(key string) {
				call.Log.LogAttrs(ctx, slog.LevelInfo, "output", append(attrs[:len(attrs):len(attrs)], slog.String("key", key))...)
			},
			progress: func(done, total int64) {
				call.Report(ctx, function.Progress{Bytes: done, TotalBytes: total})
			},
		}
	}
	c.stdout = writer(c.outputs, where...)
	c.stderr = writer(nil, append(where[:len(where):len(where)], slog.String("stream", "stderr"))...)
	return c
}

// end returns the outputs, nil when there are none, or says why the command has failed. Err is what running it returned; an
// output that cannot be read comes first, because it is what ended the command.
func (c *capture) end(place string, err error) (*outputs, error) {
	if failed := c.stdout.failed(); failed != nil {
		return nil, fmt.Errorf("%s: %w", place, failed)
	}
	_ = c.stderr.Close() // it takes no outputs and cannot fail
	closed := c.stdout.Close()
	if err != nil {
		return nil, forGood(c.explain(place, err))
	}
	if closed != nil {
		return nil, fmt.Errorf("%s: %w", place, closed)
	}
	return c.outputs, nil
}

// explain gives the error of a command that ended with a code other than zero the last lines of the log, if that is its log. What the binding kept of
// them may hold outputs and is not shown. The place is named once.
func (c *capture) explain(place string, err error) error {
	var exit *cluster.ExitError
	if !errors.As(err, &exit) {
		if strings.HasPrefix(err.Error(), place) {
			return err
		}
		return fmt.Errorf("%s: %w", place, err)
	}
	told := &cluster.ExitError{What: place, Code: exit.Code}
	if strings.HasPrefix(exit.What, place+", container ") {
		told.What = exit.What
	}
	if c.container == "" || told.What == place || told.What == place+", container "+c.container {
		told.Tail = c.tail.text(c.mask)
	}
	if err == error(exit) { //nolint:errorlint // whether anything is wrapped around it
		return told
	}
	return &exitError{told: told, exit: exit, err: err}
}

// exitError is an exit code that the binding has wrapped, because it has more to say: what it could not remove.
type exitError struct {
	told, exit *cluster.ExitError
	err        error
}

func (e *exitError) Error() string {
	return strings.Replace(e.err.Error(), e.exit.Error(), e.told.Error(), 1)
}

func (e *exitError) Unwrap() []error { return []error{e.told, e.err} }
