//go:build unix

package main

import (
	"bufio"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

// maxPending bounds the records that a client has sent but not committed, in bytes.
const maxPending = 16 << 20

// server serves a store on a socket. A client sends "auth PASSWORD" first, then one command a line, and reads "ok ..." or
// "error ..." for each:
//
//	put N LENGTH     followed by so many bytes; answered by the next commit
//	commit           makes what was put durable
//	count            ok COUNT
//	snapshot NAME    ok COUNT; holds the records as they are now
//	dump NAME        ok, then a dump of that snapshot
//	release NAME     ok; also when there is no such snapshot
//	load             followed by a dump; ok COUNT
//	wipe             ok COUNT; removes every record
//	check            ok COUNT; reads every page and record
//	dumps            ok COUNT; how many dumps were begun since the server started
type server struct {
	store    *store
	password string
}

// serve answers until ctx ends.
func (s *server) serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		clients.Go(func() {
			defer conn.Close() //nolint:errcheck // the client has its answers
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			s.converse(conn)
		})
	}
}

// converse serves one client until it hangs up.
func (s *server) converse(conn net.Conn) {
	c := &session{server: s, in: bufio.NewReaderSize(conn, 64<<10), out: bufio.NewWriterSize(conn, 64<<10)}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return
		}
		answer, err := c.do(strings.Fields(string(line)))
		switch {
		case errors.Is(err, errHangUp):
			return
		case err != nil:
			_, err = fmt.Fprintf(c.out, "error %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		case answer != "":
			_, err = fmt.Fprintf(c.out, "%s\n", answer)
		}
		if err != nil || c.out.Flush() != nil {
			return
		}
	}
}

// errHangUp ends a conversation in which the next line can no longer be found.
var errHangUp = errors.New("hang up")

// session is what the server knows of one client.
type session struct {
	*server
	in      *bufio.Reader
	out     *bufio.Writer
	known   bool
	numbers []uint64
	values  [][]byte
	pending int
}

// do executes one command; an empty answer means that none is due.
func (c *session) do(words []string) (answer string, err error) {
	if len(words) == 0 {
		return "", errors.New("no command")
	}
	if !c.known {
		if len(words) != 2 || words[0] != "auth" || subtle.ConstantTimeCompare([]byte(words[1]), []byte(c.password)) != 1 {
			return "", errors.New("wrong password")
		}
		c.known = true
		return "ok", nil
	}
	name := words[len(words)-1]
	switch words[0] {
	case "put":
		return "", c.put(words[1:])
	case "commit":
		err = c.store.put(c.numbers, c.values)
		c.numbers, c.values, c.pending = nil, nil, 0
		return "ok", err
	case "count":
		return counted(c.store.count())
	case "snapshot":
		return counted(c.store.snapshot(name))
	case "release":
		return "ok", c.store.release(name)
	case "dump":
		return "", c.dump(name)
	case "load":
		count, err := c.store.load(c.in)
		if err != nil {
			// the rest of the dump may still be on its way
			_, _ = fmt.Fprintf(c.out, "error %s\n", err)
			_ = c.out.Flush()
			return "", errHangUp
		}
		return counted(count, err)
	case "wipe":
		return counted(c.store.wipe())
	case "check":
		return counted(c.store.check())
	case "dumps":
		return counted(c.store.dumpsBegun(), nil)
	default:
		return "", fmt.Errorf("unknown command %q", words[0])
	}
}

func counted(count uint64, err error) (string, error) { return fmt.Sprintf("ok %d", count), err }

func (c *session) put(words []string) error {
	if len(words) != 2 {
		return errHangUp
	}
	n, err1 := strconv.ParseUint(words[0], 10, 64)
	length, err2 := strconv.Atoi(words[1])
	if err1 != nil || err2 != nil || length < 0 || length > maxValue || c.pending+length > maxPending {
		return errHangUp
	}
	value := make([]byte, length)
	if _, err := io.ReadFull(c.in, value); err != nil {
		return errHangUp
	}
	c.numbers, c.values, c.pending = append(c.numbers, n), append(c.values, value), c.pending+length
	return nil
}

// dump leaves a stream that fails without its end, which its reader finds out.
func (c *session) dump(name string) error {
	if _, err := fmt.Fprint(c.out, "ok\n"); err != nil {
		return errHangUp
	}
	if err := c.store.dump(name, c.out); err != nil {
		fmt.Fprintf(os.Stderr, "quickstart-db: dump %s: %s\n", name, err)
		return errHangUp
	}
	return nil
}
