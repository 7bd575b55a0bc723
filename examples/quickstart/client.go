//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// dbName is the name that the database's program is called by.
const dbName = "quickstart-db"

// The environment of the database's programs.
const (
	addressEnv  = "DB_ADDRESS"  // path of the server's socket; that in the working directory if unset
	passwordEnv = "DB_PASSWORD" // from the Secret
	fileEnv     = "DB_FILE"     // the server's file
	socketName  = "db.sock"
)

const dbUsage = `usage: quickstart-db COMMAND
  serve                         run the server
  write FIRST LAST BATCH PAUSE  write records, without end when LAST is 0; print the last one of each commit
  address                       print the path of the server's socket
  snapshot NAME                 hold the records as they are; print their number
  release NAME                  end a snapshot
  dump NAME [RATE]              write a snapshot to standard output, at most RATE bytes per second
  load                          replace all records by the dump on standard input; print their number
  count | wipe | check | dumps  print a number`

// dbMain is the program quickstart-db: the server and its client.
func dbMain(args []string) error {
	if len(args) == 0 {
		return errors.New(dbUsage)
	}
	switch args[0] {
	case "serve":
		return serveMain()
	case "address":
		dir, err := os.Getwd()
		fmt.Println(filepath.Join(dir, socketName))
		return err
	}
	c, err := dial(os.Getenv(addressEnv), os.Getenv(passwordEnv))
	if err != nil {
		return err
	}
	defer c.conn.Close() //nolint:errcheck // the server has answered
	switch {
	case args[0] == "write" && len(args) == 5:
		return c.write(args[1:])
	case args[0] == "dump" && len(args) == 2:
		return c.dump(args[1], os.Stdout)
	case args[0] == "dump" && len(args) == 3:
		rate, err := strconv.ParseInt(args[2], 10, 64)
		if err != nil || rate < 1 {
			return fmt.Errorf("rate %q: want bytes per second", args[2])
		}
		return c.dump(args[1], &slowWriter{w: os.Stdout, rate: rate})
	case args[0] == "load" && len(args) == 1:
		return c.load(os.Stdin)
	default:
		answer, err := c.call(strings.Join(args, " "))
		if err == nil && len(answer) > 0 {
			fmt.Println(strings.Join(answer, " "))
		}
		return err
	}
}

func serveMain() (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	store, err := openStore(os.Getenv(fileEnv))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	// bbolt lets one process open the file, so a socket that is there is a dead one's
	if err := os.Remove(socketName); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", socketName)
	if err != nil {
		return err
	}
	fmt.Println("serving", os.Getenv(fileEnv))
	return (&server{store: store, password: os.Getenv(passwordEnv)}).serve(ctx, l)
}

type client struct {
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
}

// dial waits for the server up to a minute: it may be starting.
func dial(address, password string) (*client, error) {
	if address != "" {
		// the path of a socket has room for about a hundred bytes
		if err := os.Chdir(filepath.Dir(address)); err != nil {
			return nil, err
		}
	}
	conn, err := net.Dial("unix", socketName)
	for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
		conn, err = net.Dial("unix", socketName)
	}
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, in: bufio.NewReaderSize(conn, 256<<10), out: bufio.NewWriterSize(conn, 256<<10)}
	_, err = c.call("auth " + password)
	return c, err
}

// call sends a command and returns the words of the answer.
func (c *client) call(command string) ([]string, error) {
	if _, err := c.out.WriteString(command + "\n"); err != nil {
		return nil, err
	}
	if err := c.out.Flush(); err != nil {
		return nil, err
	}
	return c.answer()
}

func (c *client) answer() ([]string, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the server hung up: %w", err)
	}
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "ok" {
		return nil, errors.New(strings.TrimPrefix(strings.TrimSpace(line), "error "))
	}
	return words[1:], nil
}

// write writes records in batches of one commit each and says after each what is durable.
func (c *client) write(args []string) error {
	first, err1 := strconv.ParseUint(args[0], 10, 64)
	last, err2 := strconv.ParseUint(args[1], 10, 64)
	batch, err3 := strconv.ParseUint(args[2], 10, 64)
	pause, err4 := time.ParseDuration(args[3])
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	for n := first; last == 0 || n <= last; {
		end := n + batch
		if last != 0 {
			end = min(end, last+1)
		}
		for ; n < end; n++ {
			value := makeRecord(n)
			fmt.Fprintf(c.out, "put %d %d\n", n, len(value))
			if _, err := c.out.Write(value); err != nil {
				return err
			}
		}
		if _, err := c.call("commit"); err != nil {
			return err
		}
		if _, err := fmt.Println(n - 1); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return nil
}

// dump fails unless the whole dump came.
func (c *client) dump(name string, w io.Writer) error {
	if _, err := c.call("dump " + name); err != nil {
		return err
	}
	copied := io.TeeReader(c.in, w)
	in := newDumpReader(copied)
	for {
		if _, _, err := in.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// slowWriter writes no faster than its rate, in bytes per second, so that the database has time for others.
type slowWriter struct {
	w       io.Writer
	rate    int64
	started time.Time
	written int64
}

func (s *slowWriter) Write(p []byte) (int, error) {
	if s.started.IsZero() {
		s.started = time.Now()
	}
	s.written += int64(len(p))
	time.Sleep(time.Until(s.started.Add(time.Duration(float64(s.written) / float64(s.rate) * float64(time.Second)))))
	return s.w.Write(p)
}

func (c *client) load(r io.Reader) error {
	if _, err := c.out.WriteString("load\n"); err != nil {
		return err
	}
	_, err := c.out.ReadFrom(r)
	if err == nil {
		err = c.out.Flush()
	}
	if half, ok := c.conn.(*net.UnixConn); ok {
		err = errors.Join(err, half.CloseWrite())
	}
	answer, answerErr := c.answer()
	if answerErr != nil {
		return errors.Join(answerErr, err)
	}
	fmt.Println(strings.Join(answer, " "))
	return nil
}
