package rehearsal

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"
)

// writePause is between two transactions of a writer.
const writePause = 2 * time.Millisecond

// Writer adds rows to the ledger, one in a transaction, each once the one before has been acknowledged. Every transaction also counts them in a
// second table.
type Writer struct {
	acknowledged atomic.Int64
	stopping     chan struct{}
	done         chan struct{}
	// err is why it ended, once done is closed.
	err error
}

// StartWriter returns when the first transactions have been acknowledged. First is the number of the first one.
func (r *Rehearsal) StartWriter(ctx context.Context, first int) (*Writer, error) {
	w := &Writer{stopping: make(chan struct{}), done: make(chan struct{})}
	w.acknowledged.Store(int64(first - 1))
	begun := make(chan struct{})
	in, commands := io.Pipe()
	acks := make(chan int)
	go func() {
		defer close(w.done)
		ctx, cancel := context.WithCancelCause(ctx)
		fed := make(chan struct{})
		go func() {
			defer close(fed)
			err := w.feed(ctx, r.db, commands, acks, first, begun)
			if err != nil {
				cancel(err)
			}
			_ = commands.CloseWithError(err) // the end of the client's input
		}()
		w.err = r.exec(ctx, r.client(shop), in, &lines{each: acknowledge(ctx, acks)})
		cancel(w.err)
		_ = in.Close() // for a feed that still writes
		<-fed
		if w.err != nil {
			w.err = context.Cause(ctx) // what ended first
		}
	}()
	select {
	case <-begun:
		return w, nil
	case <-w.done:
		return nil, fmt.Errorf("the writer ended: %w", w.err)
	}
}

// acknowledge passes on the numbers that the client prints.
func acknowledge(ctx context.Context, acks chan<- int) func(string) error {
	return func(line string) error {
		n, err := strconv.Atoi(line)
		if err != nil {
			return err
		}
		select {
		case acks <- n:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// feed writes transactions until the writer is to stop.
func (w *Writer) feed(ctx context.Context, db *Database, commands io.Writer, acks <-chan int, first int, begun chan<- struct{}) error {
	const some = 10
	for n := first; ; n++ {
		_, err := fmt.Fprintf(commands, "BEGIN; INSERT INTO ledger VALUES (%d, %s); UPDATE counter SET total = %d; COMMIT; SELECT %d;\n", n, db.text(entry(n)), n, n)
		if err != nil {
			return err
		}
		select {
		case got := <-acks:
			if got != n {
				return fmt.Errorf("transaction %d was acknowledged as %d", n, got)
			}
			w.acknowledged.Store(int64(n))
		case <-ctx.Done():
			return ctx.Err()
		}
		if n == first+some {
			close(begun)
		}
		select {
		case <-w.stopping:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(writePause):
		}
	}
}

// Acknowledged is how many transactions the database has acknowledged, those before the writer's first included.
func (w *Writer) Acknowledged() int { return int(w.acknowledged.Load()) }

// Stop ends the writer and returns how many transactions were acknowledged. A writer that had ended before is an error.
func (w *Writer) Stop() (int, error) {
	select {
	case <-w.done:
		return w.Acknowledged(), fmt.Errorf("the writer ended before it was stopped: %w", w.err)
	default:
	}
	close(w.stopping)
	<-w.done
	return w.Acknowledged(), w.err
}
