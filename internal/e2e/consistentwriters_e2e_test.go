//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
)

// written is a transaction of a writer: when it was sent, and when its acknowledgement came; zero for none.
type written struct{ sent, acked time.Time }

// writers write transactions with increasing numbers, each once the one before has been acknowledged.
type writers struct {
	mu   sync.Mutex
	all  [][]written // by writer, by number
	errs []error
	stop chan struct{}
	wg   sync.WaitGroup
}

// startWriters starts several, each with a connection of its own. They are as many transactions ahead of each other as it happens.
func (s *consistentSite) startWriters(t *testing.T, count int) *writers {
	t.Helper()
	w := &writers{all: make([][]written, count), errs: make([]error, count), stop: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	for i := range count {
		w.wg.Go(func() { w.errs[i] = s.write(ctx, w, i) })
	}
	t.Cleanup(func() {
		cancel()
		w.wg.Wait()
	})
	require.Eventually(t, func() bool { return w.least() > 20 }, 30*time.Second, 10*time.Millisecond, "writers write")
	return w
}

func (s *consistentSite) write(ctx context.Context, w *writers, writer int) error {
	in, commands := io.Pipe()
	out, acks := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := s.cluster.Exec(ctx, cluster.Command{
			Namespace: s.namespace, Pod: "db", Container: "server", Args: append(s.db.client[:len(s.db.client):len(s.db.client)], s.database()...), Stdin: in, Stdout: acks,
		})
		_, _ = in.Close(), acks.CloseWithError(err)
		done <- err
	}()
	lines := bufio.NewScanner(out)
	for n := 1; ; n++ {
		select {
		case <-w.stop:
			return firstError(commands.Close(), <-done)
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		w.begin(writer)
		extra := ""
		if n%40 == 0 {
			extra = s.db.flush
		}
		_, err := fmt.Fprintf(commands, "BEGIN; INSERT INTO ledger VALUES (%d, %d, '%s'); UPDATE counter SET total = %[2]d WHERE writer = %[1]d; COMMIT; %[4]s SELECT %[2]d;\n",
			writer, n, strings.Repeat("x", 500+n%1000), extra)
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

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
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

// least is how many transactions the slowest writer has begun.
func (w *writers) least() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	least := len(w.all[0])
	for _, all := range w.all {
		least = min(least, len(all))
	}
	return least
}

// count counts those of a writer that satisfy.
func (w *writers) count(writer int, satisfy func(written) bool) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all[writer] {
		if satisfy(one) {
			n++
		}
	}
	return n
}

// ackedBefore counts the acknowledgements of all writers until then.
func (w *writers) ackedBefore(then time.Time) (n int) {
	for i := range w.all {
		n += w.count(i, func(one written) bool { return !one.acked.IsZero() && one.acked.Before(then) })
	}
	return n
}

// last is when the latest acknowledgement came.
func (w *writers) last() (last time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, all := range w.all {
		for _, one := range all {
			if one.acked.After(last) {
				last = one.acked
			}
		}
	}
	return last
}

// end stops the writers; none may have failed.
func (w *writers) end(t *testing.T) {
	t.Helper()
	close(w.stop)
	w.wg.Wait()
	for _, err := range w.errs {
		require.NoError(t, err)
	}
}
