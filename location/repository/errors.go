package repository

import (
	"errors"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// Errors of this package.
var (
	// ErrNoRepository means that there is no repository at that place.
	ErrNoRepository = errors.New("no repository there")
	// ErrExists means that there is one already.
	ErrExists = errors.New("a repository is there already")
	// ErrPassword means that no key of the repository opens with the password.
	ErrPassword = format.ErrPassword
	// ErrNoPassword means that none was given.
	ErrNoPassword = errors.New("a repository needs a password")
	// ErrVersion means that the repository has a version that this program does not know.
	ErrVersion = format.ErrVersion
	// ErrDamaged means that something in the repository is not what was written.
	ErrDamaged = format.ErrDamaged
	// ErrLocked means that somebody else works on the repository in a way that excludes this.
	ErrLocked = errors.New("the repository is locked")
	// ErrLockLost means that the own lock could not be kept, so that the work was stopped.
	ErrLockLost = errors.New("the lock of the repository was lost")
	// ErrNoSnapshot means that there is no such snapshot, or no such path in it.
	ErrNoSnapshot = errors.New("no such snapshot")
	// ErrAmbiguous means that several snapshots begin with the given ID.
	ErrAmbiguous = errors.New("several snapshots begin with this ID")
)
