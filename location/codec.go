package location

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

// ErrCodec means that an object cannot be read as this bucket is set up: it needs a codec, or a key, that the bucket does not have, or lacks one that the bucket
// requires.
var ErrCodec = errors.New("the object cannot be decoded")

// Codec is what a stream goes through on its way to the store, and back: encryption, compression. Package location/codec has some. Both ways are streams: what
// they hold in memory must not grow with the object.
type Codec struct {
	// Name is recorded with each object: lower-case letters, digits and hyphens.
	Name string
	// Encode returns what writes the encoded stream to w; its Close ends the stream and does not close w. Nil: objects are written without
	// this codec, which is for reading then.
	Encode func(w io.Writer) (io.WriteCloser, error)
	// Decode returns what reads the decoded stream from r. It must refuse a stream that was cut, and end with it. Nil: objects can be written with this codec but not
	// read, for want of a key.
	Decode func(r io.Reader) (io.Reader, error)
	// Required makes Read refuse objects without this codec. Default: they are read as they are.
	Required bool
}

var codecName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

func checkCodecs(codecs []Codec) error {
	seen := map[string]bool{}
	for _, c := range codecs {
		switch {
		case !codecName.MatchString(c.Name):
			return fmt.Errorf("%w: the name of codec %q is not of lower-case letters, digits and hyphens", ErrCodec, short(c.Name))
		case seen[c.Name]:
			return fmt.Errorf("%w: codec %s stands twice", ErrCodec, c.Name)
		case c.Encode == nil && c.Decode == nil:
			return fmt.Errorf("%w: codec %s does nothing", ErrCodec, c.Name)
		case c.Required && c.Decode != nil && c.Encode == nil:
			// Objects written here could not be read here.
			return fmt.Errorf("%w: codec %s is required and cannot be written", ErrCodec, c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}

// codecKey is the name of the metadata that holds the names of codecs, for objects whose record is lost.
const codecKey = "davit-codecs"

func codecsOf(metadata map[string]string) []string {
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if strings.EqualFold(strings.ReplaceAll(key, "_", "-"), codecKey) && metadata[key] != "" {
			return strings.Split(metadata[key], ",")
		}
	}
	return nil
}

// contentOf is the size of what has no record, before its codecs: -1 if there are any.
func contentOf(info Info) int64 {
	if len(info.Codecs) > 0 {
		return -1
	}
	return info.Size
}

// metadata is what the store keeps with a new object, if it keeps any.
func (b *Bucket) metadata() map[string]string {
	names := b.writes()
	var none NoMetadata
	if len(names) == 0 || b.blob.As(&none) {
		return nil
	}
	return map[string]string{codecKey: strings.Join(names, ",")}
}

// writes are the names of the codecs that new objects go through.
func (b *Bucket) writes() (names []string) {
	for _, c := range b.codecs {
		if c.Encode != nil {
			names = append(names, c.Name)
		}
	}
	return names
}

// written is how the object was written, as far as that is known.
func (d *download) written(ctx context.Context) (Info, error) {
	b, rec := d.b, d.rec
	info := Info{Key: b.relative(d.full), Size: d.size, Content: d.size, ModTime: d.modTime}
	if rec != nil {
		if s := rec.ofSize(d.size); s != nil {
			info.Codecs, info.Content = s.Codecs, s.content()
		}
		return info, nil
	}
	var none NoMetadata
	if b.blob.As(&none) {
		return info, nil
	}
	attrs, err := b.blob.Attributes(ctx, d.full)
	if err != nil {
		return Info{}, b.absentOr(ctx, "look up object", d.full, err)
	}
	info.Codecs = codecsOf(attrs.Metadata)
	info.Content = contentOf(info)
	return info, nil
}

// decoder undoes the codecs of these names.
func (b *Bucket) decoder(full string, names []string, r io.Reader) (io.Reader, error) {
	for _, name := range slices.Backward(names) {
		i := slices.IndexFunc(b.codecs, func(c Codec) bool { return c.Name == name })
		switch {
		case i < 0:
			return nil, fmt.Errorf("%w: object %q was written with %q, which this location is not set up for", ErrCodec, full, short(name))
		case b.codecs[i].Decode == nil:
			return nil, fmt.Errorf("%w: object %q was written with %s, and there is no key to read it: give one", ErrCodec, full, name)
		}
		var err error
		if r, err = b.codecs[i].Decode(r); err != nil {
			return nil, fmt.Errorf("%w: object %q, codec %s: %w", ErrCodec, full, name, err)
		}
	}
	return r, nil
}

// requires tells whether there is a codec that every object must have.
func (b *Bucket) requires() bool {
	return slices.ContainsFunc(b.codecs, func(c Codec) bool { return c.Required })
}

// readable refuses an object before anything of it is read.
func (b *Bucket) readable(full string, names []string) error {
	for _, c := range b.codecs {
		if c.Required && !slices.Contains(names, c.Name) {
			return fmt.Errorf("%w: object %q was written without %s, which this location requires: somebody else may have put it there", ErrCodec, full, c.Name)
		}
	}
	for _, name := range names {
		i := slices.IndexFunc(b.codecs, func(c Codec) bool { return c.Name == name })
		if i < 0 || b.codecs[i].Decode == nil {
			_, err := b.decoder(full, []string{name}, nil)
			return err
		}
	}
	return nil
}

// decoded copies the object to w, back through its codecs.
func (d *download) decoded(ctx context.Context, as Info, w io.Writer, progress func(int64)) (measured, int64, error) {
	b := d.b
	pr, pw := io.Pipe()
	type outcome struct {
		n   int64
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		var n int64
		r, err := b.decoder(d.full, as.Codecs, pr)
		if err == nil {
			n, err = b.drain(d.full, r, w, as.Content)
		}
		if err == nil {
			err = nothingLeft(d.full, pr)
		}
		_ = pr.CloseWithError(err) // what comes after it is no part of the stream
		done <- outcome{n, err}
	}()
	got, err := d.copyTo(ctx, pw, progress)
	_ = pw.CloseWithError(err)
	out := <-done
	if out.err != nil && (err == nil || errors.Is(err, out.err)) {
		return measured{}, 0, out.err
	}
	return got, out.n, err
}

// drain copies what the codecs give, which is to be so many bytes; -1 is any number.
func (b *Bucket) drain(full string, r io.Reader, w io.Writer, want int64) (n int64, err error) {
	buf := b.buffers.Get().(*buffer)
	defer b.buffers.Put(buf)
	for {
		got, err := r.Read(buf[:])
		if got > 0 {
			n += int64(got)
			if want >= 0 && n > want {
				return n, fmt.Errorf("%w: object %q becomes more than the %d bytes that were recorded", ErrCorrupt, full, want)
			}
			if wrote, err := w.Write(buf[:got]); err != nil || wrote != got {
				if err == nil {
					err = io.ErrShortWrite
				}
				return n, &callers{fmt.Errorf("hand over what was read: %w", err)}
			}
		}
		if err == io.EOF && n < want { // a reader that wraps io.EOF reports a failure
			return n, fmt.Errorf("%w: object %q becomes %d bytes, recorded were %d", ErrCorrupt, full, n, want)
		}
		if err == io.EOF { // a reader that wraps io.EOF reports a failure
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("%w: object %q: %w", ErrCodec, full, err)
		}
	}
}

func nothingLeft(full string, r io.Reader) error {
	var one [1]byte
	n, err := r.Read(one[:])
	if n > 0 || err == nil {
		return fmt.Errorf("%w: object %q goes on behind the end of what was encoded", ErrCodec, full)
	}
	if err == io.EOF { // a reader that wraps io.EOF reports a failure
		return nil
	}
	return err
}

// encoded is r as it goes to the store; content is how much of r was read. Whoever reads it must read to its end, or close it.
func (b *Bucket) encoded(r io.Reader) (_ io.ReadCloser, content *counter) {
	content = &counter{r: r}
	if len(b.writes()) == 0 {
		return io.NopCloser(content), content
	}
	pr, pw := io.Pipe()
	go func() { _ = pw.CloseWithError(b.encode(content, pw)) }()
	return pr, content
}

func (b *Bucket) encode(r io.Reader, w io.Writer) error {
	var open []io.WriteCloser
	for _, c := range slices.Backward(b.codecs) {
		if c.Encode == nil {
			continue
		}
		enc, err := c.Encode(w)
		if err != nil {
			return fmt.Errorf("%w: codec %s: %w", ErrCodec, c.Name, err)
		}
		open, w = append(open, enc), enc
	}
	buf := b.buffers.Get().(*buffer)
	defer b.buffers.Put(buf)
	for {
		n, err := readFull(r, buf[:])
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF { //nolint:errorlint // a reader that wraps io.EOF reports a failure
			break
		}
		if err != nil {
			return err
		}
	}
	for _, enc := range slices.Backward(open) {
		if err := enc.Close(); err != nil {
			return err
		}
	}
	return nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
