package repository

import (
	"cmp"
	"crypto/sha256"
	"slices"

	"github.com/davit-project/davit/location/repository/internal/format"
)

const (
	// maxGap is how many bytes that nobody wants are read with others, to spare a request; maxRun is about how many bytes a request reads.
	maxGap = 1 << 20
	maxRun = 17 << 20
)

func sortBlobs(blobs []format.Blob) {
	slices.SortFunc(blobs, func(a, b format.Blob) int { return cmp.Compare(a.Offset, b.Offset) })
}

// joinBlobs divides blobs of one pack, sorted by their offsets, into ranges worth a request each: gaps are read with them as long as they are short, and a good part of the whole
// is wanted; what is long is divided evenly.
func joinBlobs(blobs []format.Blob) [][]format.Blob {
	var parts [][]format.Blob
	for len(blobs) > 0 {
		n, wanted := 1, int64(blobs[0].Length)
		for ; n < len(blobs); n++ {
			next := blobs[n]
			gap := int64(next.Offset) - blobEnd(blobs[n-1])
			span := blobEnd(next) - int64(blobs[0].Offset)
			wanted += int64(next.Length)
			if gap < 0 || gap > maxGap || gap > 128<<10 && span > 8*wanted {
				break
			}
		}
		parts = append(parts, divideBlobs(blobs[:n])...)
		blobs = blobs[n:]
	}
	return parts
}

func blobEnd(b format.Blob) int64 { return int64(b.Offset) + int64(b.Length) }

// divideBlobs cuts a range into as few parts of at most about maxRun bytes as possible, of about the same length.
func divideBlobs(blobs []format.Blob) [][]format.Blob {
	first := int64(blobs[0].Offset)
	span := blobEnd(blobs[len(blobs)-1]) - first
	count := (span + maxRun - 1) / maxRun
	if count <= 1 {
		return [][]format.Blob{blobs}
	}
	var parts [][]format.Blob
	begin := 0
	for k := int64(1); k <= count; k++ {
		end := begin
		for end < len(blobs) && (k == count || blobEnd(blobs[end])-first <= span*k/count) {
			end++
		}
		if end > begin {
			parts = append(parts, blobs[begin:end])
		}
		begin = end
	}
	return parts
}

// contentID tells contents apart.
func contentID(n *format.Node) format.ID {
	h := sha256.New()
	for _, id := range n.Content {
		_, _ = h.Write(id[:]) // never fails
	}
	return format.ID(h.Sum(nil))
}
