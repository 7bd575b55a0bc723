// Package format is the repository format of restic, versions 1 and 2, as its design document describes it (restic's "References": Repository Format,
// Keys, Locks): encoding and decoding, no input or output.
//
// # Errors
//
// Whatever is decoded may come from an attacker who can write the bucket: everything is bounded, and what is wrong is ErrDamaged.
package format

import "errors"

// Errors of this package.
var (
	// ErrDamaged means that something is not what a program that follows the format writes.
	ErrDamaged = errors.New("the repository's data is damaged")
	// ErrPassword means that no key opens with this password.
	ErrPassword = errors.New("wrong password")
	// ErrVersion means that the repository has a version that is not known.
	ErrVersion = errors.New("unknown version of the repository format")
)

// Versions of the format.
const (
	// Version1 has no compression.
	Version1 = 1
	// Version2 compresses; new repositories have it.
	Version2 = 2
)
