package format

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// IDSize is the length of an ID in bytes.
const IDSize = sha256.Size

// ID is the SHA-256 of what it names: of a file as it is stored, or of a blob before compression and encryption.
type ID [IDSize]byte

// Hash is the ID of the data.
func Hash(data []byte) ID { return sha256.Sum256(data) }

// NewID returns a random one.
func NewID() ID {
	var id ID
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// ParseID reads 64 hexadecimal digits.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*IDSize {
		return id, fmt.Errorf("%w: an ID has %d characters, not %d", ErrDamaged, len(s), 2*IDSize)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("%w: an ID is not hexadecimal", ErrDamaged)
	}
	return id, nil
}

// String is the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short is what people are shown: the first eight digits.
func (id ID) Short() string { return hex.EncodeToString(id[:4]) }

// IsZero tells whether it is not set.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText is String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseID.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}
