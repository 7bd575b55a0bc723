package repository

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// runReader reads ranges of packs as streams: it holds one blob, however long the range is. It is not safe for concurrent use.
type runReader struct {
	r             *Repository
	sealed, plain []byte
	// few spares system calls where blobs are small; large ones are read past it.
	few *bufio.Reader
}

const fewBytes = 64 << 10

// packStream is the range that is being read, from at on.
type packStream struct {
	in io.ReadCloser
	at int64
}

func (s *packStream) close() {
	if s.in != nil {
		_ = s.in.Close() // it was only read
		s.in = nil
	}
}

// run reads blobs of one pack, sorted by their offsets, that do not overlap, in one request, and hands over each with its content, verified and valid until each returns, or with
// why it cannot be had. A read that breaks is taken up again where it was; a blob that is damaged is read once more by itself, then from other packs that have it. An error of each
// ends it.
func (p *runReader) run(ctx context.Context, pack format.ID, blobs []format.Blob, each func(b format.Blob, content []byte, err error) error) error {
	if len(blobs) == 0 {
		return nil
	}
	s := &packStream{}
	defer s.close()
	end := blobEnd(blobs[len(blobs)-1])
	for _, b := range blobs {
		content, err := p.next(ctx, s, pack, b, end)
		if err != nil && ctx.Err() == nil {
			p.r.log.DebugContext(ctx, "a blob is read once more", "blob", b.String(), "pack", pack.Short(), "error", err)
			content, err = p.r.loadBlob(ctx, b.Handle, p.plain[:0])
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			p.plain = content
		}
		if err := each(b, content, err); err != nil {
			return err
		}
	}
	return nil
}

// next reads the next blob of the range that ends at end.
func (p *runReader) next(ctx context.Context, s *packStream, pack format.ID, b format.Blob, end int64) ([]byte, error) {
	p.sealed = slices.Grow(p.sealed[:0], int(b.Length))[:b.Length]
	err := p.fill(ctx, s, pack, int64(b.Offset), end)
	if err != nil && !lasting(err) && ctx.Err() == nil {
		err = p.fill(ctx, s, pack, int64(b.Offset), end)
	}
	if err != nil {
		return nil, err
	}
	return p.r.openBlob(b, p.sealed, p.plain[:0])
}

// fill reads what is at offset. After a failure the range is opened anew by the next call.
func (p *runReader) fill(ctx context.Context, s *packStream, pack format.ID, offset, end int64) (err error) {
	if s.in == nil {
		if s.in, err = p.r.objects.Range(ctx, p.r.file(packFile, pack), offset, end-offset); err != nil {
			s.in = nil
			return err
		}
		if s.at = offset; p.few == nil {
			p.few = bufio.NewReaderSize(nil, fewBytes)
		}
		p.few.Reset(s.in)
	}
	if _, err = p.few.Discard(int(offset - s.at)); err == nil {
		_, err = io.ReadFull(p.few, p.sealed)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: pack %s is shorter than the index says", location.ErrCorrupt, pack.Short())
	}
	if err != nil {
		s.close()
		return err
	}
	s.at = offset + int64(len(p.sealed))
	return nil
}

// beyondRepair tells whether an error is of the blob alone; any other is the store's, and others would fail as well.
func beyondRepair(err error) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, location.ErrCorrupt) || errors.Is(err, location.ErrNotFound)
}
