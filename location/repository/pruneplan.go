package repository

import (
	"cmp"
	"slices"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// prunePack is a pack, as a prune sees it.
type prunePack struct {
	there bool
	// repack is set when what is kept of it is written anew.
	repack bool
	// size of the file, kept and unused bytes of blobs in it.
	size, kept, unused int64
	keptBlobs, blobs   int
	// kinds of the kept blobs, a bit for each.
	kinds uint8
}

// stays tells whether the pack is left as it is.
func (p *prunePack) stays() bool { return p.there && p.kept > 0 && !p.repack }

// small tells whether the pack should be joined with others.
func (p *prunePack) small() bool {
	if p.kinds == 1<<format.TreeBlob {
		return p.size < treePack/4
	}
	return p.size < dataPack/4
}

// choose decides which copy of each used blob is kept.
func (p *prune) choose(used bitset) {
	v := p.v
	p.keep = newBitset(v.entries())
	worth := make([]packWorth, len(p.packs))
	for n := range v.entries() {
		e := v.idx.entry(n)
		if v.idx.packs[e.pack>>1].lost {
			continue
		}
		switch v.needed(n, used) {
		case 0:
			worth[e.pack>>1].unused += int64(e.length)
		case 1:
			p.keep.add(n)
			worth[e.pack>>1].only += int64(e.length)
		}
	}
	for n := range v.entries() {
		if !v.idx.packs[v.pack(n)].lost && v.needed(n, used) > 1 && n == v.best(v.blob(n).Handle, worth) {
			p.keep.add(n)
		}
	}
	p.tally()
}

// packWorth is how much of a pack nobody needs, and what nobody has but it, in bytes.
type packWorth struct{ unused, only int64 }

// needed is how many copies there are of the blob of an entry, 0 if nobody needs it.
func (v *view) needed(n uint32, used bitset) int {
	h := v.blob(n).Handle
	if first, ok := v.find(h); !ok || !used.has(first) {
		return 0
	}
	count := 0
	for range v.copies(h) {
		count++
	}
	return count
}

// best is the copy of a blob that is kept: that in the pack with the least that is unused, such as one that a prune that was killed has written, then in that with the most that
// only it has.
func (v *view) best(h format.Handle, worth []packWorth) uint32 {
	best, found := uint32(0), false
	for n := range v.copies(h) {
		a, b := v.pack(n), v.pack(best)
		if !found || cmp.Or(cmp.Compare(worth[a].unused, worth[b].unused), -cmp.Compare(worth[a].only, worth[b].only),
			slices.Compare(v.idx.packs[a].id[:], v.idx.packs[b].id[:])) < 0 {
			best, found = n, true
		}
	}
	return best
}

// tally counts what is kept in each pack.
func (p *prune) tally() {
	for n := range p.v.entries() {
		e := p.v.idx.entry(n)
		pack := &p.packs[e.pack>>1]
		if !pack.there {
			continue
		}
		pack.blobs++
		if !p.keep.has(n) {
			pack.unused += int64(e.length)
			p.summary.BlobsUnused++
			continue
		}
		pack.kept += int64(e.length)
		pack.keptBlobs++
		pack.kinds |= 1 << (e.pack & 1)
		p.summary.BlobsUsed++
	}
}

// plan decides what becomes of each pack, and sums up.
func (p *prune) plan() {
	var kept, unused int64
	var wasteful []int
	for n := range p.packs {
		pack := &p.packs[n]
		if pack.kept == 0 {
			p.summary.BytesUnused += pack.unused
			continue
		}
		kept += pack.kept
		if pack.unused > 0 {
			unused += pack.unused
			wasteful = append(wasteful, n)
		}
	}
	p.summary.BytesUnused += unused
	slices.SortFunc(wasteful, func(a, b int) int {
		x, y := &p.packs[a], &p.packs[b]
		return cmp.Or(-cmp.Compare(float64(x.unused)*float64(y.kept), float64(y.unused)*float64(x.kept)), cmp.Compare(a, b))
	})
	budget := p.opts.MaxRepack
	if budget <= 0 {
		budget = 1<<63 - 1
	}
	limit := p.unusedLimit(kept)
	for _, n := range wasteful {
		pack := &p.packs[n]
		if unused <= limit || pack.kept > budget {
			break
		}
		pack.repack = true
		unused -= pack.unused
		budget -= pack.kept
	}
	if p.opts.MaxUnused < 1 {
		p.join(budget)
	}
	p.sum()
}

// unusedLimit is how many bytes may stay unused beside so many that are kept.
func (p *prune) unusedLimit(kept int64) int64 {
	switch share := p.opts.MaxUnused; {
	case share < 0:
		return 0
	case share >= 1:
		return 1<<63 - 1
	default:
		return int64(float64(kept) * share / (1 - share))
	}
}

// join has small packs repacked where fewer packs come of it.
func (p *prune) join(budget int64) {
	for _, kind := range []format.BlobType{format.DataBlob, format.TreeBlob} {
		most := int64(dataPack)
		if kind == format.TreeBlob {
			most = treePack
		}
		var small []*prunePack
		var written, joined int64
		for n := range p.packs {
			pack := &p.packs[n]
			if !pack.there || pack.kept == 0 || pack.kinds != 1<<kind {
				continue
			}
			if pack.repack {
				written += pack.kept
			} else if pack.small() && pack.kept <= budget {
				small = append(small, pack)
				joined += pack.kept
				budget -= pack.kept
			}
		}
		count := func(bytes int64) int64 { return (bytes + most - 1) / most }
		if count(written+joined) >= count(written)+int64(len(small)) {
			continue
		}
		for _, pack := range small {
			pack.repack = true
		}
	}
}

// sum fills the summary in.
func (p *prune) sum() {
	s := &p.summary
	s.PacksUnindexed = len(p.unindexed)
	for _, f := range p.unindexed {
		s.PacksRemoved++
		s.BytesRemoved += f.Size
	}
	for n := range p.packs {
		pack := &p.packs[n]
		if !pack.there || pack.stays() {
			continue
		}
		s.PacksRemoved++
		s.BytesRemoved += pack.size
		s.BlobsRemoved += pack.blobs - pack.keptBlobs
		if pack.repack {
			s.PacksRepacked++
			s.BlobsRepacked += pack.keptBlobs
			s.BytesRepacked += pack.kept
		}
	}
	// How many packs come of it, and their bytes, is known better when they are written.
	s.PacksLeft = p.listed - s.PacksRemoved + int((s.BytesRepacked+dataPack-1)/dataPack)
	s.BytesFreed = s.BytesRemoved - s.BytesRepacked
	s.BytesLeft = p.listedBytes - s.BytesFreed
}
