//go:build unix

// Package pgserver runs a PostgreSQL of this machine, for tests and examples: an empty server with TLS, on a port of 127.0.0.1, that ends with its program.
// It needs Debian's package postgresql or the like.
//
// # Errors
//
// A server that does not start is an error with its log.
//
// # Concurrency
//
// Several servers may run at once.
package pgserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startTime is how long a server may take to start.
const startTime = 2 * time.Minute

// Server is a PostgreSQL that runs. Its user is postgres.
type Server struct {
	// Port of 127.0.0.1 and Password.
	Port     int
	Password string
	// CA is the certificate, in PEM, that the server's is signed with.
	CA []byte

	root     string // without a slash at its end; empty for this machine's own
	dir      string // below root, as bin
	bin      string
	language string
	cmd      *exec.Cmd
	// ended is closed when the server has ended, with err.
	ended chan struct{}
	err   error
}

// Options of a server.
type Options struct {
	// Language of its messages, such as "de", which must be installed with it. Default: English.
	Language string
	// Root is the folder of another Debian, which is unpacked there, with package postgresql: another version's. The server sees nothing but that. It needs root. Default: this machine.
	Root string
	// Settings such as "ssl=off". Default: none.
	Settings []string
}

// Start starts a server with settings. Close ends it.
func Start(ctx context.Context, settings ...string) (*Server, error) {
	return New(ctx, &Options{Settings: settings})
}

// New starts a server. Close ends it.
func New(ctx context.Context, o *Options) (_ *Server, err error) {
	s := &Server{Password: rand.Text(), root: strings.TrimSuffix(o.Root, "/"), language: o.Language, ended: make(chan struct{})}
	if s.bin, err = programs(s.root); err != nil {
		return nil, err
	}
	if s.root != "" {
		if err = users(s.root); err != nil {
			return nil, fmt.Errorf("prepare %q for a PostgreSQL: %w", s.root, err)
		}
	}
	temp := ""
	if s.root != "" {
		temp = filepath.Join(s.root, "tmp")
	}
	if s.dir, err = os.MkdirTemp(temp, "davit-postgres-"); err != nil {
		return nil, err
	}
	if err = s.start(ctx, o.Settings); err != nil {
		return nil, errors.Join(fmt.Errorf("start a PostgreSQL: %w", err), s.Close())
	}
	return s, nil
}

// programs finds the folder of the server's programs: Debian keeps it out of PATH.
func programs(root string) (string, error) {
	found, err := filepath.Glob(root + "/usr/lib/postgresql/*/bin/postgres")
	if len(found) > 0 {
		return filepath.Dir(slices.Max(found)), nil
	}
	if root != "" {
		return "", fmt.Errorf("there is no PostgreSQL in %q", root)
	}
	name, lookErr := exec.LookPath("postgres")
	if err = errors.Join(err, lookErr); err == nil {
		name, err = filepath.EvalSymlinks(name) // beside it are the others
	}
	if err != nil {
		return "", fmt.Errorf("there is no PostgreSQL on this machine: install the package postgresql: %w", err)
	}
	return filepath.Dir(name), nil
}

// users makes the folders and the user that the server needs in a system that was only unpacked.
func users(root string) error {
	uid, gid, other, err := runner()
	if err == nil && !other {
		err = errors.New("only root changes into another system")
	}
	if err != nil {
		return err
	}
	for _, dir := range []string{"dev", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil { //nolint:gosec // all may read it
			return err
		}
	}
	passwd := fmt.Sprintf("postgres:x:%d:%d::/:/bin/sh\n", uid, gid)
	null := filepath.Join(root, "dev", "null")                                                    // a file does
	return errors.Join(os.WriteFile(filepath.Join(root, "etc", "passwd"), []byte(passwd), 0o644), //nolint:gosec // all read it
		os.WriteFile(null, nil, 0o666), os.Chmod(null, 0o666)) //nolint:gosec // all may write to it
}

// inside is a path as the server sees it.
func (s *Server) inside(path string) string { return strings.TrimPrefix(path, s.root) }

func (s *Server) start(ctx context.Context, settings []string) error {
	ca, err := certificates(s.dir)
	if err != nil {
		return err
	}
	s.CA = ca
	if err := os.WriteFile(filepath.Join(s.dir, "password"), []byte(s.Password+"\n"), 0o600); err != nil {
		return err
	}
	if err := s.own(); err != nil {
		return err
	}
	dir := s.inside(s.dir)
	data := filepath.Join(dir, "data")
	initdb := s.program(ctx, "initdb", "--pgdata="+data, "--username=postgres", "--pwfile="+filepath.Join(dir, "password"),
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if s.Port, err = freePort(ctx); err != nil {
		return err
	}
	args := []string{"-D", data, "-p", strconv.Itoa(s.Port)}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "jit=off", "logging_collector=off", "shared_buffers=16MB",
		"ssl=on", "ssl_cert_file=" + filepath.Join(dir, "server.crt"), "ssl_key_file=" + filepath.Join(dir, "server.key"),
	}, settings...) {
		args = append(args, "-c", setting)
	}
	s.cmd = s.program(context.WithoutCancel(ctx), "postgres", args...)
	said := &bytes.Buffer{}
	s.cmd.Stdout, s.cmd.Stderr = said, said
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	return s.ready(ctx, said)
}

// ready waits until the server answers.
func (s *Server) ready(ctx context.Context, said *bytes.Buffer) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		_, err := s.SQL(ctx, "postgres", "SELECT 1;")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-s.ended:
			return fmt.Errorf("it has ended: %w: %s", s.err, said.Bytes())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// own gives the folder to another user where this one is root, as whom the server does not run.
func (s *Server) own() error {
	uid, gid, other, err := runner()
	if err != nil || !other {
		return err
	}
	return filepath.WalkDir(s.dir, func(name string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(name, int(uid), int(gid)))
	})
}

// runner is the user that the server runs as, where it is not this one.
func runner() (uid, gid uint32, other bool, err error) {
	if os.Geteuid() != 0 {
		return 0, 0, false, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		return 0, 0, false, fmt.Errorf("PostgreSQL does not run as root, and there is no other user for it: %w", err)
	}
	u, uerr := strconv.ParseUint(who.Uid, 10, 32)
	g, gerr := strconv.ParseUint(who.Gid, 10, 32)
	return uint32(u), uint32(g), true, errors.Join(uerr, gerr)
}

// program prepares a program of the server's.
func (s *Server) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	dir := s.inside(s.dir)
	cmd := exec.CommandContext(ctx, filepath.Join(s.inside(s.bin), name), args...) //nolint:gosec // paths are ours
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + dir}
	if s.language != "" { // it goes before the locale, unless that is C itself
		cmd.Env = append(cmd.Env, "LANGUAGE="+s.language)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Chroot: s.root}
	if uid, gid, other, err := runner(); err == nil && other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	return cmd
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // nothing was written
	return l.Addr().(*net.TCPAddr).Port, nil
}

// SQL runs statements in a database, until one fails, and returns what they print: rows on lines, columns between bars.
func (s *Server) SQL(ctx context.Context, database, statements string) (string, error) {
	cmd := s.program(ctx, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + s.inside(s.dir), "PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(s.Port), "PGUSER=postgres", "PGPASSWORD=" + s.Password,
		"PGDATABASE=" + database, "PGCONNECT_TIMEOUT=5",
	}
	cmd.Stdin = strings.NewReader(statements)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, errs.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// Kill ends the server and its sessions as a failure of their machine would. Linux only.
func (s *Server) Kill() error {
	parent := s.cmd.Process.Pid
	err := syscall.Kill(parent, syscall.SIGSTOP) // it makes no more
	stats, globErr := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, readErr := os.ReadFile(name)
		_, after, _ := strings.Cut(string(text), ") ") // state, and the parent
		pid, convErr := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if fields := strings.Fields(after); readErr == nil && convErr == nil && len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
	return errors.Join(err, globErr, syscall.Kill(parent, syscall.SIGKILL))
}

// Close ends the server and removes its data. A second call does nothing.
func (s *Server) Close() error {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // at once; it may have ended
		select {
		case <-s.ended:
		case <-time.After(startTime):
			_ = s.Kill()
			<-s.ended
		}
		s.cmd = nil
	}
	return os.RemoveAll(s.dir)
}
