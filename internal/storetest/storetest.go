//go:build linux

// Package storetest holds the tests that the drivers of remote stores have in common, against a server of their store that may lose answers and connections.
package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/locationtest"
)

// prefix is that of the places, below which the driver's own keys are.
const prefix = "some/prefix"

// Store is a driver, and a server of its store.
type Store struct {
	Open location.Opener
	// Place makes an empty bucket of the server.
	Place func(*testing.T) *location.Location
	// Commits tells whether a request commits a small object, CommitsLarge whether one commits an object of 20 MiB.
	Commits, CommitsLarge func(*http.Request) bool
}

// Run runs all tests.
func (s Store) Run(t *testing.T) {
	t.Run("checks", s.checks)
	t.Run("confirms", s.confirms)
	t.Run("one creator wins", s.oneCreatorWins)
	t.Run("lost answer", s.lostAnswer)
	t.Run("cut connections", s.cutConnections)
	t.Run("cancelled upload", s.cancelledUpload)
	t.Run("errors", s.errors)
	t.Run("memory", s.memory)
}

// NewPlace is a new place, with a prefix.
func (s Store) NewPlace(t *testing.T) *location.Location {
	t.Helper()
	loc := s.Place(t)
	loc.Prefix = prefix
	return loc
}

// Bucket opens the location; it is closed when the test ends.
func (s Store) Bucket(t *testing.T, loc *location.Location) *location.Bucket {
	t.Helper()
	b, err := location.Open(t.Context(), loc, map[string]location.Opener{loc.Type: s.Open}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// Driver opens the location's bucket without the prefix and the care of a location; it is closed when the test ends.
func (s Store) Driver(t *testing.T, loc *location.Location) *blob.Bucket {
	t.Helper()
	b, err := s.Open(t.Context(), loc)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// Random gives so many bytes that look random, for one size always the same.
func Random(size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)}), size)
}

// Hash is the SHA-256 of what is read, in hexadecimal digits.
func Hash(t *testing.T, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	_, err := io.Copy(h, r)
	require.NoError(t, err)
	return hex.EncodeToString(h.Sum(nil))
}

// Operations are one of each kind on the object key of a driver; "write much" writes so many bytes, "write" four.
func Operations(t *testing.T, b *blob.Bucket, much int64) map[string]func() error {
	return map[string]func() error{
		"look up":    func() error { _, err := b.Attributes(t.Context(), "key"); return err },
		"read":       func() error { _, err := b.ReadAll(t.Context(), "key"); return err },
		"delete":     func() error { return b.Delete(t.Context(), "key") },
		"list":       func() error { _, err := b.List(nil).Next(t.Context()); return err },
		"write":      func() error { return b.Upload(t.Context(), "key", strings.NewReader("data"), plain()) },
		"write much": func() error { return b.Upload(t.Context(), "key", Random(much), plain()) },
	}
}

// plain are the options of a write to a driver, create those of one that replaces nothing.
func plain() *blob.WriterOptions { return &blob.WriterOptions{ContentType: "text/plain"} }
func create() *blob.WriterOptions {
	return &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true}
}

func (s Store) checks(t *testing.T) {
	b := s.Bucket(t, s.NewPlace(t))
	for _, c := range locationtest.Checks() {
		t.Run(c.Name, func(t *testing.T) { require.NoError(t, c.Run(t.Context(), b)) })
	}
}
