package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// streamGrace is how long a command has to end when the host is gone, before it is killed.
const streamGrace = time.Second

// streamBuffer is how much is read and written at once. A write costs at every station to the host, so they are large.
const streamBuffer = 256 << 10

var errHostGone = errors.New("the host went away without an acknowledgement")

// streamCommand is the far end of package cluster/execstream, where the protocol is described. It is not for people.
func streamCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:    "stream",
		Short:  "Runs a command whose input or output a host verifies",
		Long:   "Runs a command whose input or output a host verifies. Davit's own hosts call it.",
		Hidden: true,
		RunE:   group,
		Args:   cobra.ArbitraryArgs,
	}
	for _, way := range []struct {
		name, short string
		run         func(farEnd, context.Context) error
	}{
		{"out", "Sends what the command prints", farEnd.out},
		{"in", "Feeds the command what the host sends", farEnd.in},
	} {
		cmd.AddCommand(&cobra.Command{
			Use:   way.name + " NONCE -- COMMAND [ARGUMENT...]",
			Short: way.short,
			Args: func(c *cobra.Command, args []string) error {
				if c.ArgsLenAtDash() != 1 || len(args) < 2 || args[0] == "" {
					return usage("takes a nonce, -- and a command")
				}
				return nil
			},
			RunE: func(c *cobra.Command, args []string) error {
				return untilSignal(c.Context(), graceful(true), func(ctx context.Context) error {
					return way.run(farEnd{s: s, nonce: args[0], args: args[1:]}, ctx)
				})
			},
		})
	}
	return cmd
}

// farEnd is one call of stream.
type farEnd struct {
	s     Streams
	nonce string
	args  []string
}

// out runs the command and passes on what it prints, then the trailer, and waits for the acknowledgement.
func (f farEnd) out(ctx context.Context) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // nothing is lost in it
	widen(w)
	widen(f.s.Out)
	c := f.start(nil, w)
	_ = w.Close()
	host := make(chan error, 1)
	go func() { host <- f.awaitAck(newFrames(f.s.In)) }()
	sum := sha256.New()
	sent := make(chan copied, 1)
	go func() {
		n, err := copyLarge(f.s.Out, r, sum)
		if err == nil {
			<-c.ended
		}
		sent <- copied{n, err}
	}()
	for sent != nil || host != nil {
		select {
		case all := <-sent:
			sent = nil
			if err = all.err; err == nil {
				err = f.trailer("code=%d length=%d sum=%x", c.code, all.n, sum.Sum(nil))
			}
		case err = <-host:
			host = nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil { // no trailer any more: the command is ended early, whatever code it makes of that
			c.end()
			return err
		}
	}
	return nil
}

// copied is how much was copied, and why not all.
type copied struct {
	n   int64
	err error
}

// copyLarge copies and sums with a buffer of its own.
func copyLarge(w io.Writer, r io.Reader, sum hash.Hash) (int64, error) {
	buf := make([]byte, streamBuffer)
	var total int64
	for {
		n, err := r.Read(buf)
		sum.Write(buf[:n])
		if _, werr := w.Write(buf[:n]); werr != nil {
			return total, fmt.Errorf("send the output: %w", werr)
		}
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func (f farEnd) trailer(format string, args ...any) error {
	if _, err := fmt.Fprintf(f.s.Out, f.nonce+" "+format+"\n", args...); err != nil {
		return fmt.Errorf("send the trailer: %w", err)
	}
	return nil
}

// awaitAck returns nil once the host has acknowledged the trailer.
func (f farEnd) awaitAck(in *frames) error {
	line, err := in.line()
	if errors.Is(err, errDamaged) || err == nil && line != f.nonce {
		return errors.New("what the host sent is no acknowledgement")
	}
	return err
}

// child is the command, in a process group of its own.
type child struct {
	cmd *exec.Cmd
	// ended is closed when the command has; code is set then.
	ended chan struct{}
	code  int
}

// start runs the command. One that cannot be started has ended, with the code a shell gives it. What it prints goes to
// standard error where there is no stdout for it.
func (f farEnd) start(stdin, stdout *os.File) *child {
	c := &child{cmd: exec.Command(f.args[0], f.args[1:]...), ended: make(chan struct{})}
	c.cmd.Stderr, c.cmd.Stdout = f.s.Err, f.s.Err
	if stdin != nil {
		c.cmd.Stdin = stdin
	}
	if stdout != nil {
		c.cmd.Stdout = stdout
	}
	ownGroup(c.cmd)
	if err := c.cmd.Start(); err != nil {
		c.code = 126
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			c.code = 127
		}
		fmt.Fprintf(f.s.Err, "davit stream: %s\n", oneLine(err.Error()))
		close(c.ended)
		return c
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait() // the state has it
		c.code = c.cmd.ProcessState.ExitCode()
		if ws, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			c.code = 128 + int(ws.Signal())
		}
	}()
	return c
}

// end ends the command's group: it asks, and kills what is left a moment later.
func (c *child) end() {
	if c.cmd.Process == nil {
		return
	}
	endGroup(c.cmd, false)
	timer := time.NewTimer(streamGrace)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
	}
	endGroup(c.cmd, true)
	<-c.ended
}
