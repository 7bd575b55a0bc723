// Package codec has what a location's objects can go through on their way to the store: encryption with age and compression with zstd. Both are formats of
// others, with tools of their own, so that a backup can be read without this module: age -d, zstd -d.
//
// A host gives them to location.Options.Codecs in the order of writing: compression first, as what is encrypted does not get smaller.
//
//	key, err := codec.Age(&codec.AgeOptions{Recipients: []string{"age1…"}, Identities: []string{"AGE-SECRET-KEY-1…"}})
//	…
//	bucket := location.New(blobs, &location.Options{Codecs: []location.Codec{codec.Zstd(), key}})
//
// # Memory
//
// A stream needs about 1 MiB for age and at most 20 MiB for zstd, whatever its length.
//
// # Errors
//
// [ErrKey] means that a key cannot be used. No error holds a key.
//
// # Concurrency
//
// Codecs are values without state: any number of streams may go through one at the same time.
package codec
