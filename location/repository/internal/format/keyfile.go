package format

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/crypto/scrypt"
)

// KeyCost is N of scrypt for new keys: with the other parameters it takes 32 MiB of memory and about 0.1 s.
const KeyCost = 1 << 15

const (
	scryptR = 8
	scryptP = 1
	// scryptMemory is the most that a key file may ask for, in bytes, scryptWork the most work.
	scryptMemory = 512 << 20
	scryptWork   = 4 << 30
)

// KeyFile is a key of a repository: the master key, sealed with what scrypt makes of a password.
type KeyFile struct {
	Created  time.Time `json:"created"`
	Username string    `json:"username"`
	Hostname string    `json:"hostname"`
	KDF      string    `json:"kdf"`
	N        int       `json:"N"`
	R        int       `json:"r"`
	P        int       `json:"p"`
	Salt     []byte    `json:"salt"`
	Data     []byte    `json:"data"`
}

// NewKeyFile seals the master key with the password. Of like, user and host tell people whose key it is, and N is what it costs.
func NewKeyFile(master *Key, password string, like *KeyFile) (*KeyFile, error) {
	f := &KeyFile{
		Created: time.Now(), Username: like.Username, Hostname: like.Hostname, KDF: "scrypt", N: like.N, R: scryptR, P: scryptP, Salt: make([]byte, 64),
	}
	_, _ = rand.Read(f.Salt) // never fails
	key, err := f.derive(password)
	if err != nil {
		return nil, err
	}
	f.Data = key.Seal(nil, master.marshal())
	return f, nil
}

// ParseKeyFile reads a key file and refuses one that would cost more than 512 MiB of memory.
func ParseKeyFile(text []byte) (*KeyFile, error) {
	f := &KeyFile{}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("%w: a key file is not JSON", ErrDamaged)
	}
	if f.KDF != "scrypt" {
		return nil, fmt.Errorf("%w: a key file has the key derivation function %.20q, not scrypt", ErrDamaged, f.KDF)
	}
	bad := f.N < 2 || f.N&(f.N-1) != 0 || f.N > scryptMemory || f.R < 1 || f.R > 1<<10 || f.P < 1 || f.P > 1<<10
	if bad || int64(f.N)*int64(f.R)*128 > scryptMemory || int64(f.N)*int64(f.R)*int64(f.P)*128 > scryptWork {
		return nil, fmt.Errorf("%w: a key file asks scrypt for N=%d r=%d p=%d", ErrDamaged, f.N, f.R, f.P)
	}
	if len(f.Salt) == 0 || len(f.Data) < Overhead {
		return nil, fmt.Errorf("%w: a key file has no salt or no data", ErrDamaged)
	}
	return f, nil
}

// Open returns the master key, or ErrPassword.
func (f *KeyFile) Open(password string) (*Key, error) {
	key, err := f.derive(password)
	if err != nil {
		return nil, err
	}
	text, err := key.Open(append([]byte(nil), f.Data...))
	if err != nil {
		return nil, ErrPassword
	}
	return unmarshalKey(text)
}

func (f *KeyFile) derive(password string) (*Key, error) {
	material, err := scrypt.Key([]byte(password), f.Salt, f.N, f.R, f.P, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return keyOf(material), nil
}
