package pgdump

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

const (
	// sessionBuffer is what a session holds before psql gets it.
	sessionBuffer = 64 << 10
	// maxAnswer bounds what is kept of an answer, in bytes.
	maxAnswer = 1 << 20
	// endTime is how long a program that was told to end may take.
	endTime = 5 * time.Second
)

// errOldPsql means that a dump from the bucket could start programs in the pod.
var errOldPsql = errors.New("this psql has no restricted mode, so that a dump could run commands in the pod: use an image with PostgreSQL's client programs " +
	"of 13.22, 14.19, 15.14, 16.10, 17.6 or later")

// answer is what a server says to a question.
type answer struct {
	fields []string
	// cut tells that there was more than maxAnswer.
	cut bool
}

// session is one psql at work on a database, in its restricted mode: it refuses all of its own commands. The first error ends it. It is for one goroutine.
type session struct {
	database string
	// tx tells that all is one transaction, which finish commits.
	tx     bool
	server *server
	cmd    *exec.Cmd
	cancel context.CancelFunc
	pipe   io.WriteCloser
	in     *bufio.Writer
	errs   *lines
	// token ends an answer: psql prints it when it has executed all that came before.
	token   string
	answers chan answer
	// fault tells that the last that psql has said is an error; state is its SQLSTATE, place where in the server's source it is from, details that more of it follows.
	fault, details bool
	state, place   string
	// exited is closed when psql has ended, with err.
	exited chan struct{}
	err    error
	end    sync.Once
}

// open starts a session.
func (s *server) open(ctx context.Context, database string, tx bool) (*session, error) {
	if !s.restricts {
		return nil, errOldPsql
	}
	key := rand.Text()
	out := &session{database: database, tx: tx, server: s, token: "davit-" + rand.Text(), answers: make(chan answer, 1), exited: make(chan struct{}), fault: true}
	out.errs = &lines{each: out.hear}
	ctx, out.cancel = context.WithCancel(ctx)
	out.cmd = exec.CommandContext(ctx, "psql", "--no-psqlrc", "--quiet", "--no-password", "--no-align", "--tuples-only", "--record-separator-zero", "--field-separator-zero",
		"--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", "--set=SHOW_CONTEXT=never", "--file=-", keepAlive)
	out.cmd.Env, out.cmd.Stderr, out.cmd.WaitDelay = s.env(database), out.errs, endTime
	pipe, err := out.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := out.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := out.cmd.Start(); err != nil {
		out.cancel()
		return nil, missing("psql", err)
	}
	out.pipe, out.in = pipe, bufio.NewWriterSize(pipe, sessionBuffer)
	go func() {
		out.listen(stdout)
		out.err = out.cmd.Wait()
		close(out.exited)
	}()
	begin := "\\restrict " + key + "\n" + s.prelude
	if tx {
		begin += "BEGIN;\n"
	}
	if err := out.write([]byte(begin)); err != nil {
		out.kill()
		return nil, err
	}
	return out, nil
}

// manage starts a session that asks about databases and makes them. No time limit of the server ends it, and no object of a user's comes in between.
func (s *server) manage(ctx context.Context) (*session, error) {
	out, err := s.open(ctx, "postgres", false)
	if err != nil {
		return nil, err
	}
	_, err = out.ask(ctx, "SET search_path = ''; SET client_encoding = 'UTF8'; SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings "+
		"WHERE name IN ('idle_session_timeout', 'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout'); "+
		"SET default_transaction_read_only = off;")
	if err != nil {
		out.kill()
		return nil, err
	}
	return out, nil
}

// listen sorts what psql prints into answers.
func (s *session) listen(from io.Reader) {
	in := bufio.NewReader(from)
	var got answer
	var field []byte
	size := 0
	for {
		b, err := in.ReadByte()
		if err != nil {
			return
		}
		if b != 0 {
			if len(field) < maxAnswer {
				field = append(field, b)
			}
			continue
		}
		switch {
		case string(field) == s.token:
			select {
			case s.answers <- got:
			default: // nobody has asked
			}
			got, size = answer{}, 0
		case size+len(field) < maxAnswer && !got.cut:
			got.fields = append(got.fields, string(field))
			size += len(field) + 1
		default:
			got.cut = true
		}
		field = field[:0]
	}
}

// write gives psql what it is to execute. An error of an earlier statement comes at some later call, at finish at the latest.
func (s *session) write(p []byte) error {
	if _, err := s.in.Write(p); err != nil {
		return s.failed(err)
	}
	return nil
}

// flush has psql execute what it was given.
func (s *session) flush() error {
	if err := s.in.Flush(); err != nil {
		return s.failed(err)
	}
	return nil
}

// ask executes a statement and returns the fields of its rows, all of them, when all before it is executed too.
func (s *session) ask(ctx context.Context, statement string) ([]string, error) {
	got, err := s.question(ctx, statement)
	if err == nil && got.cut {
		err = fmt.Errorf("database %q: the answer to %.60q is longer than %d bytes", s.database, statement, maxAnswer)
	}
	return got.fields, err
}

// settle executes a statement when all before it is executed, and passes over what they return.
func (s *session) settle(ctx context.Context, statement string) error {
	_, err := s.question(ctx, statement)
	return err
}

func (s *session) question(ctx context.Context, statement string) (answer, error) {
	_, _ = s.in.WriteString(statement + "\nSELECT '" + s.token + "';\n")
	if err := s.in.Flush(); err != nil {
		return answer{}, s.failed(err)
	}
	select {
	case got := <-s.answers:
		return got, nil
	case <-s.exited:
		select {
		case got := <-s.answers: // it came just before
			return got, nil
		default:
		}
		return answer{}, s.failed(s.err)
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	}
}

// finish executes what is left, commits, and ends psql.
func (s *session) finish(ctx context.Context) error {
	last := ""
	if s.tx {
		last = "COMMIT;"
	}
	if err := s.settle(ctx, last); err != nil {
		return err
	}
	s.kill()
	return nil
}

// kill ends psql; the server rolls an open transaction back.
func (s *session) kill() {
	s.end.Do(func() {
		_ = s.pipe.Close() // psql ends with its input; what it holds was answered for, or is not wanted
		timer := time.NewTimer(endTime / 5)
		defer timer.Stop()
		select {
		case <-s.exited:
		case <-timer.C:
		}
		s.cancel()
		<-s.exited
	})
}

// failed is why psql has ended, or does not take more.
func (s *session) failed(err error) error {
	s.kill()
	if tail := s.errs.tail(); tail != "" {
		return fmt.Errorf("database %q: %s%s", s.database, s.server.masked(tail), s.hint(tail))
	}
	if s.err != nil {
		err = s.err
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("database %q: psql ended without a word: %w", s.database, err)
}
