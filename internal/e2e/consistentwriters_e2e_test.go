//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
)

// writers write transactions with increasing numbers, each once the one before has been acknowledged.
type writers struct {
	mu     sync.Mutex
	all    [][]written // by writer, by number
	failed failures
	stop   chan struct{}
	wg     sync.WaitGroup
}

// startWriters starts three, each with a connection of its own. They are as many transactions ahead of each other as it happens.
func (s *dbSite) startWriters() *writers {
	t := s.t
	t.Helper()
	const count = 3
	w := &writers{all: make([][]written, count), stop: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	for i := range count {
		w.wg.Go(func() { w.failed.add(s.write(ctx, w, i)) })
	}
	t.Cleanup(func() {
		cancel()
		w.wg.Wait()
	})
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(w.logs(), func(log []written) bool { return len(log) <= 20 })
	}, 3*time.Minute, 10*time.Millisecond, "the writers write; they have ended with: %v", &w.failed)
	return w
}

func (s *dbSite) write(ctx context.Context, w *writers, writer int) error {
	in, commands := io.Pipe()
	out, acks := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := s.cluster.Exec(ctx, cluster.Command{
			Namespace: s.namespace, Pod: "db", Container: "server", Args: s.databaseClient(), Stdin: in, Stdout: acks,
		})
		_, _ = in.Close(), acks.CloseWithError(err)
		done <- err
	}()
	lines := bufio.NewScanner(out)
	for n := 1; ; n++ {
		select {
		case <-w.stop:
			return errors.Join(commands.Close(), <-done)
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		w.begin(writer)
		_, err := fmt.Fprintln(commands, s.db.transaction(writer, n))
		if err != nil {
			return err
		}
		if !lines.Scan() {
			return fmt.Errorf("the client of writer %d ended: %w", writer, <-done)
		}
		if lines.Text() != strconv.Itoa(n) {
			return fmt.Errorf("writer %d: transaction %d was acknowledged as %q", writer, n, lines.Text())
		}
		w.acked(writer)
	}
}

func (w *writers) begin(writer int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[writer] = append(w.all[writer], written{sent: time.Now()})
}

func (w *writers) acked(writer int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all[writer]
	all[len(all)-1].acked = time.Now()
}

// logs are the transactions of all writers until now.
func (w *writers) logs() [][]written {
	w.mu.Lock()
	defer w.mu.Unlock()
	logs := make([][]written, len(w.all))
	for i, all := range w.all {
		logs[i] = slices.Clone(all)
	}
	return logs
}

// wroteSince tells whether every writer has had a transaction acknowledged that it sent after then.
func (w *writers) wroteSince(then time.Time) bool {
	for _, log := range w.logs() {
		if !slices.ContainsFunc(log, func(one written) bool { return one.sent.After(then) && !one.acked.IsZero() }) {
			return false
		}
	}
	return true
}

// goOn waits until every writer has written something that it sent from now on. It fails when that takes longer.
func (w *writers) goOn(t *testing.T, longest time.Duration) {
	t.Helper()
	now := time.Now()
	require.Eventually(t, func() bool { return w.wroteSince(now) }, longest, 5*time.Millisecond, "the writers go on; they have ended with: %v", &w.failed)
}

// end stops the writers; none may have failed.
func (w *writers) end(t *testing.T) {
	t.Helper()
	close(w.stop)
	w.wg.Wait()
	require.NoError(t, w.failed.err())
}

// failures are errors of several.
type failures struct {
	mu  sync.Mutex
	all []error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, err)
}

func (f *failures) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.all...)
}

// String is for messages that are made when they are needed.
func (f *failures) String() string { return fmt.Sprint(f.err()) }
