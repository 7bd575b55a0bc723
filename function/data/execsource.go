package data

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/location/repository"
)

// maxNames is how much of a command's arguments are names of files, in bytes. They go through the address of a request, which proxies limit.
const maxNames = 16 << 10

// execSource reads a folder of a container with what the container has: a list first, then the files that are wanted as tar streams.
type execSource struct {
	at     container
	folder string
	root   *listed
	warn   func(string)
	// start runs a script in the container.
	start func(script string, args ...string) *reading

	// plan is what will be opened, in that order; next is the number of the first that was not.
	plan []planned
	next int
	// batch is what is being read; it ends before plan[until].
	batch *reading
	tars  *archives
	until int
	ahead *tar.Header
}

// planned is a file that will be opened. Its name begins with "./".
type planned struct {
	name string
	size int64
	// single is true for a file with several names.
	single bool
}

var _ repository.Planner = (*execSource)(nil)

// newExecSource lists the folder.
func newExecSource(ctx context.Context, e cluster.Executor, at container, folder string, warn func(string)) (*execSource, error) {
	s := &execSource{at: at, folder: folder, warn: warn}
	s.start = func(script string, args ...string) *reading { return start(ctx, e, at, script, args...) }
	random := make([]byte, 12) //nolint:mnd // as many as nobody guesses
	_, _ = rand.Read(random)   // never fails
	mark := markOf(random)
	r := s.start(listScript, folder, mark)
	defer r.stop()
	l := newListing(mark)
	err := l.read(r)
	if err == nil {
		err = r.settle(listComplaints...)
	}
	if err != nil {
		return nil, s.failed(ctx, r, err)
	}
	if l.noStat {
		warn("the container has no find or no stat: all files are sent twice")
		return s, s.listTar(ctx, l.now)
	}
	s.root = l.root
	return s, nil
}

// failed says why the list could not be read. A container without what the far end needs is errUnsuitable.
func (s *execSource) failed(ctx context.Context, r *reading, err error) error {
	r.stop()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	exit := (*cluster.ExitError)(nil)
	switch {
	case errors.As(r.err, &exit) && !errors.Is(err, exit):
		return fmt.Errorf("list %s of %s: %w: %w", s.folder, s.at, exit, err)
	case errors.Is(err, cluster.ErrInvalid):
		return fmt.Errorf("list %s of %s: %w: %w", s.folder, s.at, errUnsuitable, err)
	}
	return fmt.Errorf("list %s of %s: %w", s.folder, s.at, err)
}

// Paths has the folder.
func (s *execSource) Paths() []string { return []string{s.folder} }

// Entry describes the folder; nothing is known of those above.
func (s *execSource) Entry(_ context.Context, name string) (*repository.Entry, error) {
	if name != s.folder {
		return nil, fs.ErrNotExist
	}
	e := s.root.entry()
	e.Name = path.Base(s.folder)
	return e, nil
}

// Folder opens the folder.
func (s *execSource) Folder(_ context.Context, name string) (repository.Folder, error) {
	if name != s.folder {
		return nil, fs.ErrNotExist
	}
	return &execFolder{s, s.root, "."}, nil
}

// Open refuses: the path is a folder.
func (s *execSource) Open(context.Context, string) (io.ReadCloser, error) { return nil, fs.ErrNotExist }

// Plan notes what will be opened.
func (s *execSource) Plan(_ context.Context, files func(yield func(path string, e *repository.Entry) bool) error) error {
	s.plan, s.next, s.until = nil, 0, 0
	return files(func(name string, e *repository.Entry) bool {
		rest, _ := strings.CutPrefix(name, strings.TrimSuffix(s.folder, "/")+"/")
		s.plan = append(s.plan, planned{"./" + rest, e.Size, e.Links > 1})
		return true
	})
}

// close ends what still runs.
func (s *execSource) close() {
	if s.batch != nil {
		s.batch.stop()
		s.batch = nil
	}
}

// execFolder is a folder of the list.
type execFolder struct {
	s    *execSource
	node *listed
	name string
}

func (f *execFolder) Entries(context.Context) ([]*repository.Entry, error) {
	if f.node.denied {
		return nil, fmt.Errorf("folder %q: %w", f.name, fs.ErrPermission)
	}
	all := make([]*repository.Entry, len(f.node.children))
	for i, c := range f.node.children {
		all[i] = c.entry()
	}
	return all, nil
}

func (f *execFolder) Folder(_ context.Context, name string) (repository.Folder, error) {
	c := f.node.child(name)
	if c == nil || !c.mode.IsDir() {
		return nil, fs.ErrNotExist
	}
	return &execFolder{f.s, c, f.name + "/" + name}, nil
}

func (f *execFolder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return f.s.open(f.name + "/" + name)
}

func (f *execFolder) Close() error { return nil }

// open returns the content of the next file of the plan.
func (s *execSource) open(name string) (io.ReadCloser, error) {
	if s.next >= len(s.plan) || s.plan[s.next].name != name {
		return nil, fmt.Errorf("%w: file %q was not planned to be read now", repository.ErrSource, name)
	}
	want := s.plan[s.next]
	if s.next == s.until {
		s.begin()
	}
	s.next++
	h, err := s.header()
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, s.broken(err)
	case err == nil && s.named(h, want):
		s.ahead = nil
		return s.content(h, want)
	case err == nil && !s.later(h):
		return nil, s.broken(fmt.Errorf("%w: it has %.100q, which is not next", errTar, h.Name))
	}
	if err := s.settled(); err != nil {
		return nil, err
	}
	return nil, s.missing(want.name)
}

// begin asks for the next files of the plan.
func (s *execSource) begin() {
	single, one, size := s.plan[s.next].single, "0", 0
	if single {
		one = "1"
	}
	args := []string{s.folder, one}
	for s.until = s.next; s.until < len(s.plan); s.until++ {
		p := s.plan[s.until]
		text := escaped(p.name)
		if p.single != single || size+len(text) > maxNames && size > 0 {
			break
		}
		size += len(text) + 1
		args = append(args, text)
	}
	s.batch = s.start(tarScript, args...)
	s.tars, s.ahead = newArchives(s.batch), nil
}

// header is that of the next entry, which stays the next one.
func (s *execSource) header() (*tar.Header, error) {
	if s.ahead == nil {
		h, err := s.tars.next()
		if err != nil {
			return nil, err
		}
		s.ahead = h
	}
	return s.ahead, nil
}

// named tells whether an entry has the name of a file.
func (s *execSource) named(h *tar.Header, p planned) bool {
	return h.Name == p.name || "./"+h.Name == p.name
}

// later tells whether an entry is one that comes later in the batch, so that what is wanted is not in the stream.
func (s *execSource) later(h *tar.Header) bool {
	for _, p := range s.plan[s.next:s.until] {
		if s.named(h, p) {
			return true
		}
	}
	return false
}

// grown is how much larger than listed a file may be: it may have grown since.
func grown(size int64) int64 { return 2*size + 1<<30 }

// content reads an entry.
func (s *execSource) content(h *tar.Header, p planned) (io.ReadCloser, error) {
	if h.Typeflag != tar.TypeReg || h.Size < 0 || h.Size > grown(p.size) {
		return nil, s.broken(fmt.Errorf("%w: %.100q is an entry of type %q with %d bytes, a file of %d was asked for", errTar, h.Name, h.Typeflag, h.Size, p.size))
	}
	return &execFile{s: s, r: s.tars.current, changed: h.Size != p.size}, nil
}

// settled makes sure, behind the last file of a batch, that the stream has ended and that it was all true.
func (s *execSource) settled() error {
	if s.next < s.until || s.batch == nil {
		return nil
	}
	if h, err := s.header(); err == nil {
		return s.broken(fmt.Errorf("%w: it has %.100q at its end", errTar, h.Name))
	} else if !errors.Is(err, io.EOF) {
		return s.broken(err)
	}
	err := s.batch.settle(tarComplaints...)
	s.batch.errs.tell(s.warn)
	s.batch = nil
	return err
}

// broken ends the stream.
func (s *execSource) broken(err error) error {
	if s.batch != nil {
		s.batch.end()
		_ = s.batch.Close()
		if settled := s.batch.settle(); settled != nil && !errors.Is(err, errTar) {
			err = settled
		}
		s.batch = nil
	}
	if !errors.Is(err, repository.ErrSource) {
		err = fmt.Errorf("%w: %w", repository.ErrSource, err)
	}
	return fmt.Errorf("read files of %s: %w", s.at, err)
}

// missing says what became of a file that tar has left out.
func (s *execSource) missing(name string) error {
	const script = `cd "${DAVIT_ROOT-}$1" || exit 3; f=$(printf '%b_' "$2"); f=${f%_}; if [ -e "$f" ] || [ -L "$f" ]; then echo there; else echo gone; fi`
	r := s.start(script, s.folder, escaped(name))
	defer r.stop()
	text, err := io.ReadAll(io.LimitReader(r, tarBlock))
	if err == nil && len(text) < tarBlock {
		err = r.settle()
	}
	switch {
	case err != nil:
		return s.broken(err)
	case string(text) == "gone\n":
		return fmt.Errorf("file %q: %w", name, fs.ErrNotExist)
	default:
		return fmt.Errorf("file %q: tar could not read it: %w", name, fs.ErrPermission)
	}
}

// execFile is the content of a file.
type execFile struct {
	s       *execSource
	r       io.Reader
	changed bool
	ended   bool
}

var _ repository.ChangeReader = (*execFile)(nil)

// Read ends, for the last file of a batch, once the whole stream has been verified.
func (f *execFile) Read(p []byte) (int, error) {
	if f.ended {
		return 0, io.EOF
	}
	n, err := f.r.Read(p)
	if err == nil || n > 0 && errors.Is(err, io.EOF) {
		return n, nil
	}
	if !errors.Is(err, io.EOF) {
		return n, f.s.broken(fmt.Errorf("%w: %w", errTar, err))
	}
	f.ended = true
	if err := f.s.settled(); err != nil {
		return 0, err
	}
	return 0, io.EOF
}

// Changed tells whether it has another size than listed.
func (f *execFile) Changed() bool { return f.changed }

// Close leaves the rest to be skipped.
func (f *execFile) Close() error { return nil }
