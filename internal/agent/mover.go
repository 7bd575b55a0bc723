package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/location"
)

// rootEnv names the folder that stands for a pod's root where pods are processes of this machine.
const rootEnv = "DAVIT_ROOT"

// ackTime is how long the near end may take to acknowledge the reply. The work is done by then.
const ackTime = 30 * time.Second

// moverCommand is the far end of package mover. It is not for people.
func moverCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:    "mover [-]",
		Short:  "Moves the files of volumes, as a host asks",
		Long:   "Moves the files of volumes, as a host asks. Davit's own hosts call it: the request is the file of " + cluster.ProfileEnv + ", or comes on standard input.",
		Hidden: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "-" {
				return usage("takes no argument, or - for a request on standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return untilSignal(cmd.Context(), graceful(true), func(ctx context.Context) error {
				if s.Env("GOGC") == "" {
					defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
				}
				if len(args) == 1 {
					return moveFor(ctx, s)
				}
				return answer(ctx, s, func(ctx context.Context, request []byte) ([]byte, error) { return move(ctx, s, request) })
			})
		},
	}
}

// answer has do do what the file says that the binding of the pod has put there, and writes the reply's line that it returns, whatever its error, to standard output and to the
// pod's results.
func answer(ctx context.Context, s Streams, do func(ctx context.Context, request []byte) (reply []byte, err error)) error {
	name := s.Env(cluster.ProfileEnv)
	if name == "" {
		return usage("no request: %s names no file", cluster.ProfileEnv)
	}
	f, err := os.Open(name)
	if err != nil {
		return usage("read the request: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, mover.MaxRequest+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	reply, err := do(ctx, text)
	if resultErr := addResult(s.Env(cluster.ResultsEnv), string(reply)); resultErr != nil { // it is printed too
		fmt.Fprintf(s.Err, "the reply is not in the file of %s: %s\n", cluster.ResultsEnv, oneLine(resultErr.Error()))
	}
	if _, printErr := s.Out.Write(reply); printErr != nil {
		return errors.Join(err, fmt.Errorf("print the reply: %w", printErr))
	}
	return err
}

// moveFor does what comes on standard input, and ends early when that ends.
func moveFor(ctx context.Context, s Streams) error {
	if _, err := io.WriteString(s.Out, mover.Hello+"\n"); err != nil {
		return fmt.Errorf("greet the host: %w", err)
	}
	in := bufio.NewReader(io.LimitReader(s.In, mover.MaxRequest+int64(len(mover.Ack))+2))
	text, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the request: %w", errHostGone)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	acked := make(chan error, 1)
	go func() {
		line, err := in.ReadString('\n')
		if err != nil || line != mover.Ack+"\n" {
			cancel(errHostGone)
			acked <- errHostGone
			return
		}
		acked <- nil
	}()
	reply, err := move(ctx, s, text)
	if _, printErr := s.Out.Write(reply); printErr != nil {
		return errors.Join(err, fmt.Errorf("send the reply: %w", printErr))
	}
	timer := time.NewTimer(ackTime)
	defer timer.Stop()
	select {
	case ackErr := <-acked:
		return errors.Join(err, ackErr)
	case <-timer.C:
		return errors.Join(err, errHostGone)
	}
}

// move does what a request says and returns the reply. A part of the error is in it.
func move(ctx context.Context, s Streams, text []byte) ([]byte, error) {
	req, err := mover.ParseRequest(text)
	var result mover.Result
	if err == nil {
		result, err = mover.Do(ctx, req, mover.Env{
			Open:     func(ctx context.Context, profile []byte) (*location.Bucket, error) { return openPlain(ctx, s, profile) },
			Root:     s.Env(rootEnv),
			Progress: func(p mover.Progress) { _, _ = s.Err.Write(p.Line()) },
			Warn:     func(text string) { fmt.Fprintln(s.Err, oneLine(text)) },
		})
	}
	return mover.ReplyOf(result, err).Line(), err
}

// openPlain opens the location of a profile's JSON.
func openPlain(ctx context.Context, s Streams, profile []byte) (*location.Bucket, error) {
	loc, err := location.ParseProfile(profile)
	if err != nil {
		return nil, err
	}
	if name := s.Env(sasFileEnv); name != "" && loc.Type == location.TypeAzure {
		loc.Credential = loc.Credential.WithSASFile(name)
	}
	return location.Open(ctx, loc, s.Openers, nil)
}
