package data

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/execstream"
	"github.com/davit-project/davit/location/repository"
)

// tarScript packs files. $1 is the folder, $2 is 1 for an archive of its own for each, so that a second name of a file has the content too; then come the names, as
// printf %b takes them.
const tarScript = `cd "${DAVIT_ROOT-}$1" || exit 3
one=$2
shift 2
export LC_ALL=C
for f; do
shift
case $f in
*\\*)
f=$(printf '%b_' "$f")
f=${f%_} ;;
esac
if [ "$one" = 1 ]; then
tar -cf - "$f" || code=$?
else
set -- "$@" "$f"
fi
done
[ "$one" = 1 ] || exec tar -cf - "$@"
exit $code
`

const (
	tarBlock = 512
	// maxPadding is how many zeros may stand between two archives and behind the last: a record of tar has 10 KiB, or what its user has set.
	maxPadding = 1 << 20
	// maxComplaints bounds what is kept of standard error.
	maxComplaints = 64 << 10
)

var errTar = fmt.Errorf("%w: the container sent an archive that is not the one that was asked for", repository.ErrSource)

// archives reads tar archives that follow each other, as tar writes them when it is called several times.
type archives struct {
	in      *bufio.Reader
	current *tar.Reader
}

func newArchives(r io.Reader) *archives { return &archives{in: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next entry, or io.EOF behind the last archive.
func (a *archives) next() (*tar.Header, error) {
	for {
		if a.current == nil {
			if err := a.skipPadding(); err != nil {
				return nil, err
			}
			a.current = tar.NewReader(a.in)
		}
		h, err := a.current.Next()
		if err == nil {
			return h, nil
		}
		if !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: %w", errTar, err)
		}
		a.current = nil
	}
}

// skipPadding skips zeros up to the next archive; io.EOF without one.
func (a *archives) skipPadding() error {
	var zero [tarBlock]byte
	for range maxPadding / tarBlock {
		block, err := a.in.Peek(tarBlock)
		switch {
		case errors.Is(err, io.EOF) && len(block) == 0:
			return io.EOF
		case err != nil:
			return fmt.Errorf("%w: %w", errTar, unexpected(err))
		case !bytes.Equal(block, zero[:]):
			return nil
		}
		if _, err := a.in.Discard(tarBlock); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: it has more than %d zeros at its end", errTar, maxPadding)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// reading is a command in the container whose output is read while it comes, verified.
type reading struct {
	*io.PipeReader
	end  context.CancelFunc
	done chan error
	errs *complaints
	once sync.Once
	err  error
}

// start runs a script in the container. It has to be settled or closed.
func start(ctx context.Context, e cluster.Executor, at container, script string, args ...string) *reading {
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	r := &reading{PipeReader: pr, end: cancel, done: make(chan error, 1), errs: &complaints{}}
	go func() {
		_, err := execstream.Read(ctx, e, cluster.Command{
			Namespace: at.namespace, Pod: at.pod, Container: at.name,
			Args: append([]string{"sh", "-c", script, "sh"}, args...), Stdout: pw, Stderr: r.errs,
		}, nil)
		_ = pw.CloseWithError(endOf(err))
		r.done <- err
	}()
	return r
}

// endOf is how the stream ends for who reads it: a command that failed has an output all the same.
func endOf(err error) error {
	if exit := (*cluster.ExitError)(nil); errors.As(err, &exit) {
		return io.EOF
	}
	return err
}

// settle waits until the output has been verified. What was read may be used then, unless there is an error. The command's own complaints are an error if they are not among
// those that are allowed.
func (r *reading) settle(allowed ...string) error {
	r.once.Do(func() {
		r.err = <-r.done
		_ = r.Close()
		r.end()
	})
	exit := (*cluster.ExitError)(nil)
	switch {
	case r.err == nil:
		return nil
	case !errors.As(r.err, &exit):
		return fmt.Errorf("%w: %w", repository.ErrSource, r.err)
	}
	return r.errs.judge(exit, allowed)
}

// stop ends the command, where it still runs.
func (r *reading) stop() {
	r.end()
	_ = r.Close()
	_ = r.settle()
}

// complaints are what a command writes to standard error.
type complaints struct {
	mu   sync.Mutex
	text []byte
	more bool
}

func (c *complaints) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(p), maxComplaints-len(c.text))
	c.text, c.more = append(c.text, p[:n]...), c.more || n < len(p)
	return len(p), nil
}

// judge returns an error for a command that failed for another reason than the allowed ones.
func (c *complaints) judge(exit *cluster.ExitError, allowed []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	some := false
	for line := range strings.Lines(string(c.text)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		some = true
		if !containsAny(line, allowed) {
			return fmt.Errorf("%w: %s: exit code %d: %.300q", repository.ErrSource, exit.What, exit.Code, line)
		}
	}
	if !some || c.more {
		return fmt.Errorf("%w: %s: exit code %d, for reasons that are not known", repository.ErrSource, exit.What, exit.Code)
	}
	return nil
}

func containsAny(line string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(line, part) {
			return true
		}
	}
	return false
}

// What find, stat and tar complain of that is dealt with otherwise: files that went away, that changed, that may not be read.
var (
	listComplaints = []string{"No such file or directory", "Permission denied"} //nolint:gochecknoglobals // never changed
	tarComplaints  = []string{                                                  //nolint:gochecknoglobals // never changed
		"No such file or directory", "Permission denied", "file changed as we read it", "File removed before we read it", "File shrank by", "short read",
		"socket ignored", "Exiting with failure status due to previous errors", "error exit delayed from previous errors",
	}
)

// tell passes on the first lines.
func (c *complaints) tell(to func(string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	const shown = 20
	n := 0
	for line := range strings.Lines(string(c.text)) {
		if n++; n > shown {
			return
		}
		to(strings.TrimSpace(line))
	}
}
