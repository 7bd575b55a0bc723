package format

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"golang.org/x/crypto/poly1305" //nolint:staticcheck // the format is AES-CTR with Poly1305-AES, which no newer package offers
)

const (
	ivSize  = aes.BlockSize
	macSize = poly1305.TagSize
	// Overhead is by how many bytes sealed data is longer.
	Overhead = ivSize + macSize
)

// Key seals and opens: AES-256 in counter mode, then Poly1305-AES over the result. It cannot be printed.
type Key struct {
	block cipher.Block
	// mac is AES-128 with k, which makes the second half of a Poly1305 key of each nonce.
	mac     cipher.Block
	r       [16]byte
	encrypt [32]byte
	k       [16]byte
}

// NewKey returns a random one.
func NewKey() *Key {
	var material [64]byte
	_, _ = rand.Read(material[:]) // never fails
	return keyOf(material[:])
}

// keyOf makes a key of 32 bytes for AES, 16 of k and 16 of r.
func keyOf(material []byte) *Key {
	key := &Key{}
	copy(key.encrypt[:], material[:32])
	copy(key.k[:], material[32:48])
	copy(key.r[:], material[48:64])
	// Poly1305 ignores these bits; they are cleared so that the key is stored as others store it.
	for _, i := range []int{3, 7, 11, 15} {
		key.r[i] &= 15
	}
	for _, i := range []int{4, 8, 12} {
		key.r[i] &= 252
	}
	key.block, _ = aes.NewCipher(key.encrypt[:]) // the sizes are right
	key.mac, _ = aes.NewCipher(key.k[:])
	return key
}

func (k *Key) oneTime(nonce []byte) *[32]byte {
	var out [32]byte
	copy(out[:16], k.r[:])
	k.mac.Encrypt(out[16:], nonce)
	return &out
}

// Seal appends the sealed plaintext to dst: nonce, ciphertext, tag. The plaintext must not overlap what is appended.
func (k *Key) Seal(dst, plaintext []byte) []byte {
	start := len(dst)
	var nonce [ivSize]byte
	_, _ = rand.Read(nonce[:]) // never fails
	dst = append(dst, nonce[:]...)
	dst = append(dst, plaintext...)
	ciphertext := dst[start+ivSize:]
	cipher.NewCTR(k.block, nonce[:]).XORKeyStream(ciphertext, ciphertext)
	var tag [macSize]byte
	poly1305.Sum(&tag, ciphertext, k.oneTime(nonce[:]))
	return append(dst, tag[:]...)
}

// Open returns the plaintext, which overwrites the sealed bytes.
func (k *Key) Open(sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, fmt.Errorf("%w: %d bytes are too few to be sealed", ErrDamaged, len(sealed))
	}
	nonce, ciphertext := sealed[:ivSize], sealed[ivSize:len(sealed)-macSize]
	var tag [macSize]byte
	copy(tag[:], sealed[len(sealed)-macSize:])
	if !poly1305.Verify(&tag, ciphertext, k.oneTime(nonce)) {
		return nil, fmt.Errorf("%w: the authentication code of %d bytes does not match", ErrDamaged, len(sealed))
	}
	cipher.NewCTR(k.block, nonce).XORKeyStream(ciphertext, ciphertext)
	return ciphertext, nil
}

// Format prints nothing of it.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("key of a repository")) }

// masterJSON is how a master key is stored in a key file.
type masterJSON struct {
	MAC struct {
		K []byte `json:"k"`
		R []byte `json:"r"`
	} `json:"mac"`
	Encrypt []byte `json:"encrypt"`
}

func (k *Key) marshal() []byte {
	var m masterJSON
	m.MAC.K, m.MAC.R, m.Encrypt = k.k[:], k.r[:], k.encrypt[:]
	text, _ := json.Marshal(m) // of byte slices alone
	return text
}

func unmarshalKey(text []byte) (*Key, error) {
	var m masterJSON
	if err := json.Unmarshal(text, &m); err != nil || len(m.Encrypt) != 32 || len(m.MAC.K) != 16 || len(m.MAC.R) != 16 {
		return nil, fmt.Errorf("%w: the master key cannot be read", ErrDamaged)
	}
	material := append(append(append(make([]byte, 0, 64), m.Encrypt...), m.MAC.K...), m.MAC.R...)
	return keyOf(material), nil
}
