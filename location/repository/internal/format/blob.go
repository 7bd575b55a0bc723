package format

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// BlobType tells what a blob holds.
type BlobType uint8

// Types of blobs.
const (
	// DataBlob is a piece of a file.
	DataBlob BlobType = 0
	// TreeBlob is a folder, see Tree.
	TreeBlob BlobType = 1
)

// String is the name that indexes have.
func (t BlobType) String() string {
	if t == TreeBlob {
		return "tree"
	}
	return "data"
}

// MarshalText is String.
func (t BlobType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what String gives.
func (t *BlobType) UnmarshalText(text []byte) error {
	switch string(text) {
	case "data":
		*t = DataBlob
	case "tree":
		*t = TreeBlob
	default:
		return fmt.Errorf("%w: unknown type of blob", ErrDamaged)
	}
	return nil
}

// Handle names a blob: a tree and a piece of data with the same bytes are two.
type Handle struct {
	ID   ID
	Type BlobType
}

// String is "data/1234abcd".
func (h Handle) String() string { return h.Type.String() + "/" + h.ID.Short() }

// Blob is a blob in a pack.
type Blob struct {
	Handle
	// Offset in the pack; Length there, sealed, in bytes.
	Offset, Length uint32
	// Uncompressed is the length of the content where it is compressed, else 0.
	Uncompressed uint32
}

// Size is the length of the content in bytes.
func (b Blob) Size() int {
	if b.Uncompressed != 0 {
		return int(b.Uncompressed)
	}
	return int(b.Length) - Overhead
}

// Bounds of what is accepted.
const (
	// MaxData is the longest content of a data blob, in bytes; restic's chunks have at most 8 MiB.
	MaxData = 64 << 20
	// MaxTree is the longest content of a tree blob, in bytes: a folder of about a million files.
	MaxTree = 512 << 20
	// MaxHeader is the longest header of a pack, in bytes.
	MaxHeader = 16 << 20
)

// Check refuses a blob that no program would write into a pack of that many bytes.
func (b Blob) Check(packSize int64) error {
	most := MaxData
	if b.Type == TreeBlob {
		most = MaxTree
	}
	switch {
	case b.Length < Overhead, int64(b.Offset)+int64(b.Length) > packSize:
		return fmt.Errorf("%w: blob %s has %d bytes at %d of a pack of %d", ErrDamaged, b.Handle, b.Length, b.Offset, packSize)
	case b.Size() > most:
		return fmt.Errorf("%w: blob %s says it has %d bytes, more than %d", ErrDamaged, b.Handle, b.Size(), most)
	}
	return nil
}

const (
	plainEntry      = 1 + 4 + IDSize
	compressedEntry = plainEntry + 4
	compressedBit   = 2
	// FooterSize is the length of what ends a pack: the length of its header.
	FooterSize = 4
)

// HeaderSize is how many bytes AppendHeader appends at most for that many blobs.
func HeaderSize(blobs int) int { return blobs*compressedEntry + Overhead + FooterSize }

// AppendHeader appends the header that ends a pack of these blobs, which lie one after the other.
func AppendHeader(dst []byte, key *Key, blobs []Blob) []byte {
	header := make([]byte, 0, len(blobs)*compressedEntry)
	for _, b := range blobs {
		kind := byte(b.Type)
		if b.Uncompressed != 0 {
			kind |= compressedBit
		}
		header = append(header, kind)
		header = binary.LittleEndian.AppendUint32(header, b.Length)
		if b.Uncompressed != 0 {
			header = binary.LittleEndian.AppendUint32(header, b.Uncompressed)
		}
		header = append(header, b.ID[:]...)
	}
	before := len(dst)
	dst = key.Seal(dst, header)
	return binary.LittleEndian.AppendUint32(dst, uint32(len(dst)-before)) //nolint:gosec // packs are far below 4 GiB
}

// HeaderLength reads the length of the sealed header from the last four bytes of a pack.
func HeaderLength(footer []byte, packSize int64) (int, error) {
	if len(footer) != FooterSize {
		return 0, fmt.Errorf("%w: the footer of a pack has %d bytes", ErrDamaged, len(footer))
	}
	n := int64(binary.LittleEndian.Uint32(footer))
	if n < Overhead+plainEntry || n > MaxHeader || n+FooterSize > packSize {
		return 0, fmt.Errorf("%w: the header of a pack of %d bytes says it has %d", ErrDamaged, packSize, n)
	}
	return int(n), nil
}

// ParseHeader reads the sealed header of a pack, which is overwritten, and checks that the blobs fill the pack.
func ParseHeader(sealed []byte, key *Key, packSize int64) ([]Blob, error) {
	length := int64(len(sealed))
	header, err := key.Open(sealed)
	if err != nil {
		return nil, fmt.Errorf("header of the pack: %w", err)
	}
	var blobs []Blob
	var offset int64
	for len(header) > 0 {
		b, n, err := parseEntry(header)
		if err != nil {
			return nil, err
		}
		b.Offset = uint32(offset) //nolint:gosec // checked below
		offset += int64(b.Length)
		if offset > packSize {
			return nil, fmt.Errorf("%w: the blobs of a pack are longer than the pack", ErrDamaged)
		}
		if err := b.Check(packSize); err != nil {
			return nil, err
		}
		blobs, header = append(blobs, b), header[n:]
	}
	if offset+length+FooterSize != packSize {
		return nil, fmt.Errorf("%w: blobs and header of a pack have %d bytes, the pack %d", ErrDamaged, offset+length+FooterSize, packSize)
	}
	return blobs, nil
}

func parseEntry(header []byte) (Blob, int, error) {
	var b Blob
	kind, size := header[0], plainEntry
	if kind&compressedBit != 0 {
		size = compressedEntry
	}
	if kind > 3 || len(header) < size {
		return b, 0, fmt.Errorf("%w: an entry of the pack's header cannot be read", ErrDamaged)
	}
	b.Type = BlobType(kind &^ compressedBit)
	b.Length = binary.LittleEndian.Uint32(header[1:])
	if size == compressedEntry {
		if b.Uncompressed = binary.LittleEndian.Uint32(header[5:]); b.Uncompressed == 0 {
			return b, 0, fmt.Errorf("%w: a compressed blob says it is empty", ErrDamaged)
		}
	}
	copy(b.ID[:], header[size-IDSize:size])
	return b, size, nil
}

// Index is a file of the index: what packs hold.
type Index struct {
	Supersedes []ID        `json:"supersedes,omitempty"`
	Packs      []IndexPack `json:"packs"`
}

// IndexPack is a pack in an index.
type IndexPack struct {
	ID    ID          `json:"id"`
	Blobs []IndexBlob `json:"blobs"`
}

// IndexBlob is a blob in an index.
type IndexBlob struct {
	ID           ID       `json:"id"`
	Type         BlobType `json:"type"`
	Offset       uint32   `json:"offset"`
	Length       uint32   `json:"length"`
	Uncompressed uint32   `json:"uncompressed_length,omitempty"`
}

// Blob is the blob that the entry describes.
func (b IndexBlob) Blob() Blob {
	return Blob{Handle: Handle{b.ID, b.Type}, Offset: b.Offset, Length: b.Length, Uncompressed: b.Uncompressed}
}

// ParseIndex reads an index, also one of the first programs, which is a bare list of packs.
func ParseIndex(text []byte) (*Index, error) {
	x := &Index{}
	err := json.Unmarshal(text, x)
	if err != nil && len(text) > 0 && text[0] == '[' {
		*x = Index{}
		err = json.Unmarshal(text, &x.Packs)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: an index cannot be read: %w", ErrDamaged, err)
	}
	return x, nil
}
