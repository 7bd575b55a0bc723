package repository

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// checkPiece is how much of a pack is read at once, in bytes.
const checkPiece = 4 << 20

// readData says which packs are read.
type readData struct {
	// share of the packs, from 0 to 1.
	share float64
	// bytes of packs.
	bytes int64
	// part of so many parts; parts is 0 where that does not count.
	part, parts uint64
}

// parseReadData reads CheckOptions.ReadData.
func parseReadData(s string) (readData, error) {
	bad := fmt.Errorf("read data %.40q: it is none of all, 5%%, 500M and 1/7", s)
	switch part, parts, isPart := strings.Cut(s, "/"); {
	case s == "":
		return readData{}, nil
	case s == "all":
		return readData{share: 1}, nil
	case isPart:
		n, err1 := strconv.ParseUint(part, 10, 8)
		m, err2 := strconv.ParseUint(parts, 10, 16)
		if err1 != nil || err2 != nil || n < 1 || n > m || m > 256 {
			return readData{}, fmt.Errorf("%w: parts go from 1/m to m/m, and there are at most 256", bad)
		}
		return readData{part: n - 1, parts: m}, nil
	}
	if share, ok := strings.CutSuffix(s, "%"); ok {
		f, err := strconv.ParseFloat(share, 64)
		if err != nil || !(f > 0 && f <= 100) {
			return readData{}, bad
		}
		return readData{share: f / 100}, nil
	}
	number, factor := s, int64(1)
	if i := strings.IndexAny(strings.ToUpper(s), "KMGT"); i == len(s)-1 {
		number, factor = s[:i], int64(1)<<(10*(1+strings.Index("KMGT", strings.ToUpper(s[i:]))))
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > 1<<62/factor {
		return readData{}, bad
	}
	return readData{bytes: n * factor}, nil
}

// choose returns the numbers of the packs to be read, of those that are there.
func (d readData) choose(v *view, sizes []int64) []uint32 {
	var there []uint32
	for n, size := range sizes {
		if size >= 0 {
			there = append(there, uint32(n)) //nolint:gosec // there are fewer
		}
	}
	switch {
	case d.share >= 1:
		return there
	case d.parts > 0:
		return slices.DeleteFunc(there, func(n uint32) bool { return uint64(v.idx.packs[n].id[0])%d.parts != d.part })
	case d.share == 0 && d.bytes == 0:
		return nil
	}
	rand.Shuffle(len(there), func(i, j int) { there[i], there[j] = there[j], there[i] })
	if d.share > 0 && len(there) > 0 {
		return there[:max(1, int(d.share*float64(len(there))))]
	}
	var sum int64
	for i, n := range there {
		if sum += sizes[n]; sum >= d.bytes {
			return there[:i+1]
		}
	}
	return there
}

// readPacks verifies packs.
func (c *checker) readPacks(ctx context.Context, part readData) error {
	packs := part.choose(c.v, c.packs)
	var total int64
	for _, n := range packs {
		total += c.packs[n]
	}
	c.meter.total(0, total)
	return c.v.eachPack(ctx, packs, c.readPack)
}

// eachPack calls do for each of the packs, Options.Connections at once, with buffers to read into.
func (v *view) eachPack(ctx context.Context, packs []uint32, do func(ctx context.Context, n uint32, b *checkBuffers) error) error {
	work := make(chan uint32)
	tasks, tctx := errgroup.WithContext(ctx)
	tasks.Go(func() error {
		defer close(work)
		for _, n := range packs {
			select {
			case work <- n:
			case <-tctx.Done():
				return nil
			}
		}
		return nil
	})
	for range min(v.opts.Connections, len(packs)) {
		tasks.Go(func() error {
			b := &checkBuffers{held: make([]byte, 0, checkPiece)}
			for n := range work {
				if err := do(tctx, n, b); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return tasks.Wait()
}

// checkBuffers are what a worker reads and unpacks into.
type checkBuffers struct{ held, content []byte }

// readPack verifies a pack. What is wrong is read once more before it is reported.
func (c *checker) readPack(ctx context.Context, pack uint32, b *checkBuffers) error {
	size := c.packs[pack]
	result, err := c.v.verifyPack(ctx, pack, size, b, c.meter)
	if err == nil && !result.good() {
		first := result
		if result, err = c.v.verifyPack(ctx, pack, size, b, nil); err == nil && result.good() {
			c.r.log.WarnContext(ctx, "a pack was read wrong, and right when it was read again", "pack", c.v.idx.packs[pack].id.Short(), "error", first.String())
		}
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.report.PacksRead++
	c.report.BytesRead += size
	c.mu.Unlock()
	if result.good() {
		return nil
	}
	f := Finding{
		Kind: FoundPackDamaged, Object: c.v.idx.packs[pack].id.String(), What: result.String(), Do: doPack,
		Means: "files and folders that have parts in the bad blobs cannot be restored, unless there are copies of them",
	}
	if len(result.bad) == 0 {
		f.Means = "all blobs in it are good; nothing is lost yet"
	}
	if len(result.bad) == 0 && result.header != nil {
		f.Kind = FoundPackHeader
	}
	if errors.Is(result.first, location.ErrNotFound) {
		f.Kind, f.Do = FoundPackMissing, doIndex+", then "+doSnapshots
	}
	found := c.found(f)
	for _, n := range result.bad {
		c.hurts(n, found)
	}
	return nil
}

// packCheck is what came of the check of a pack.
type packCheck struct {
	// blobs are how many the index says it has, bad the entries of those that cannot be had, first why the first of them cannot.
	blobs int
	bad   []uint32
	first error
	// hash is right, header is what is wrong with the header.
	hash   bool
	header error
}

func (p *packCheck) good() bool { return p.hash && len(p.bad) == 0 && p.header == nil }

func (p *packCheck) String() string {
	var parts []string
	if len(p.bad) > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d blobs cannot be read: %s", len(p.bad), p.blobs, p.first))
	}
	if !p.hash {
		parts = append(parts, "its content has another hash than its name")
	}
	if p.header != nil {
		parts = append(parts, p.header.Error())
	}
	return strings.Join(parts, "; ")
}

// packReader reads a pack from its beginning to its end.
type packReader struct {
	v    *view
	pack format.ID
	size int64
	// held are the bytes from at to read.
	*checkBuffers
	at, read int64
	// tail is where the header begins, by the index.
	tail int64
}

// verifyPack reads a pack and looks at each blob that the index says is in it.
func (v *view) verifyPack(ctx context.Context, pack uint32, size int64, b *checkBuffers, m *meter) (packCheck, error) {
	entries := v.sorted(pack)
	result := packCheck{blobs: len(entries)}
	r := &packReader{v: v, pack: v.idx.packs[pack].id, size: size, checkBuffers: b}
	r.held = r.held[:0]
	r.tail = size - format.Overhead - format.FooterSize
	for _, n := range entries {
		r.tail -= headerEntry(v.blob(n))
	}
	r.tail = max(0, r.tail)
	sum := sha256.New()
	left := entries
	for r.read < size {
		n := r.piece(left)
		err := v.again(ctx, func() (err error) {
			got, err := v.objects.Read(ctx, v.file(packFile, r.pack), r.read, n, r.held)
			if err == nil {
				r.held = got
			}
			return err
		})
		if err != nil {
			if !damaged(err) {
				return result, err
			}
			result.spoil(err, left...)
			return result, nil
		}
		_, _ = sum.Write(r.held[int64(len(r.held))-n:]) // never fails
		r.read += n
		m.add(0, n)
		left = r.blobs(left, &result)
		if ctx.Err() != nil {
			return result, context.Cause(ctx)
		}
	}
	result.spoil(fmt.Errorf("%w: it would be beyond the end of the pack", ErrDamaged), left...)
	result.hash = format.ID(sum.Sum(nil)) == r.pack
	result.header = r.header(ctx, entries)
	return result, nil
}

// piece is how much is read next: what fits the buffer, or as much as the next blob takes.
func (r *packReader) piece(left []uint32) int64 {
	n := int64(checkPiece)
	if len(left) > 0 {
		b := r.v.blob(left[0])
		n = max(n, int64(b.Offset)+int64(b.Length)-r.at)
	}
	return min(max(n-int64(len(r.held)), 64<<10), r.size-r.read)
}

// spoil notes blobs that cannot be had.
func (p *packCheck) spoil(err error, entries ...uint32) {
	if len(entries) > 0 && p.first == nil {
		p.first = err
	}
	p.bad = append(p.bad, entries...)
}

// sorted are the entries of a pack by their offsets.
func (v *view) sorted(pack uint32) []uint32 {
	entries := make([]uint32, v.idx.packs[pack].entries)
	for i := range entries {
		entries[i] = v.first[pack] + uint32(i) //nolint:gosec // there are fewer
	}
	slices.SortFunc(entries, func(a, b uint32) int { return cmp.Compare(v.idx.entry(a).offset, v.idx.entry(b).offset) })
	return entries
}

// blobs verifies the blobs that were read in whole, drops what is not needed any more, and returns those that are left.
func (r *packReader) blobs(entries []uint32, result *packCheck) []uint32 {
	for len(entries) > 0 {
		b := r.v.blob(entries[0])
		if int64(b.Offset)+int64(b.Length) > r.read {
			break
		}
		err := fmt.Errorf("%w: the blob lies within another", ErrDamaged)
		if from := int64(b.Offset) - r.at; from >= 0 {
			var content []byte
			if content, err = r.v.openBlob(b, r.held[from:from+int64(b.Length)], r.content[:0]); cap(content) > cap(r.content) {
				r.content = content
			}
		}
		if err != nil {
			result.spoil(fmt.Errorf("blob %s: %w", b.Handle, err), entries[0])
		}
		entries = entries[1:]
	}
	keep := r.tail
	if len(entries) > 0 {
		keep = min(keep, int64(r.v.idx.entry(entries[0]).offset))
	}
	if keep = min(keep, r.read); keep > r.at {
		r.held = r.held[:copy(r.held, r.held[keep-r.at:])]
		r.at = keep
	}
	return entries
}

// header compares the header with the index.
func (r *packReader) header(ctx context.Context, entries []uint32) error {
	sealed := r.held[max(0, r.tail-r.at):]
	var blobs []format.Blob
	err := fmt.Errorf("%w: the pack is too short for its header", ErrDamaged)
	if len(sealed) > format.FooterSize {
		footer := bytes.Clone(sealed[len(sealed)-format.FooterSize:])
		var length int
		if length, err = format.HeaderLength(footer, r.size); err == nil && length+format.FooterSize == len(sealed) {
			blobs, err = format.ParseHeader(sealed[:length], r.v.key, r.size)
		} else if err == nil {
			blobs, err = r.v.packHeader(ctx, r.pack, r.size)
		}
	}
	if err != nil {
		return fmt.Errorf("its header cannot be read: %w", err)
	}
	same := len(blobs) == len(entries)
	for i := 0; same && i < len(blobs); i++ {
		same = blobs[i] == r.v.blob(entries[i])
	}
	if !same {
		return fmt.Errorf("%w: its header lists %d blobs, the index others (%d)", ErrDamaged, len(blobs), len(entries))
	}
	return nil
}

// packHeader reads the header of a pack.
func (r *Repository) packHeader(ctx context.Context, pack format.ID, size int64) ([]format.Blob, error) {
	const guess = 64 << 10
	var blobs []format.Blob
	err := r.again(ctx, func() error {
		n := min(guess, size)
		if n < format.FooterSize {
			return fmt.Errorf("%w: a pack of %d bytes has none", ErrDamaged, size)
		}
		tail, err := r.objects.Read(ctx, r.file(packFile, pack), size-n, n, nil)
		if err != nil {
			return err
		}
		length, err := format.HeaderLength(tail[max(0, len(tail)-format.FooterSize):], size)
		if err != nil {
			return err
		}
		if whole := int64(length) + format.FooterSize; whole > n {
			if tail, err = r.objects.Read(ctx, r.file(packFile, pack), size-whole, whole, nil); err != nil {
				return err
			}
		}
		end := len(tail) - format.FooterSize
		blobs, err = format.ParseHeader(tail[end-length:end], r.key, size)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("header of the pack %s: %w", pack.Short(), err)
	}
	return blobs, nil
}
