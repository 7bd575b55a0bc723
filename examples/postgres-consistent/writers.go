package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/davit-project/davit/cluster"
)

// written is a transaction: when it was sent, and when its acknowledgement came; zero for none.
type written struct{ sent, acked time.Time }

// writer adds rows to the ledger, one in a transaction, each once the one before has been acknowledged.
type writer struct {
	mu  sync.Mutex
	all []written
}

// write writes until stop is closed.
func (h *host) write(ctx context.Context, w *writer, number int, stop <-chan struct{}) error {
	in, commands := io.Pipe()
	out, acks := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := h.cluster.Exec(ctx, cluster.Command{
			Namespace: h.namespace, Pod: server + "-0", Container: "server", Stdin: in, Stdout: acks,
			Args: []string{"psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--username=postgres"},
		})
		done <- errors.Join(err, in.Close(), acks.CloseWithError(err))
	}()
	lines := bufio.NewScanner(out)
	for n := 1; ; n++ {
		select {
		case <-stop:
			return errors.Join(commands.Close(), <-done)
		default:
		}
		w.note(written{sent: time.Now()})
		_, err := fmt.Fprintf(commands, "BEGIN; INSERT INTO ledger VALUES (%d, %d); UPDATE counter SET total = %[2]d WHERE writer = %[1]d; COMMIT; SELECT %[2]d;\n", number, n)
		if err != nil {
			return fmt.Errorf("writer %d: %w", number, err)
		}
		if !lines.Scan() || lines.Text() != strconv.Itoa(n) {
			return fmt.Errorf("writer %d: transaction %d was not acknowledged: %w", number, n, lines.Err())
		}
		w.acknowledged()
	}
}

func (w *writer) note(one written) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, one)
}

func (w *writer) acknowledged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[len(w.all)-1].acked = time.Now()
}

// count counts the transactions that satisfy.
func (w *writer) count(satisfy func(written) bool) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		if satisfy(one) {
			n++
		}
	}
	return n
}
