package data

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/location/repository"
)

// KeyStore keeps the passwords of repositories for which a blueprint names none. Without the password a repository cannot be read by anybody, so a store must be as
// durable as the backups, and not be lost together with what is backed up.
type KeyStore interface {
	// Key returns the password of a repository, unset when the store has none. The name is the same for all profiles that lead to the repository.
	Key(ctx context.Context, repository string) (function.Secret, error)
	// Keep stores a password unless there is one, and returns the one that there is then. It returns when that is durable.
	Keep(ctx context.Context, repository string, password function.Secret) (function.Secret, error)
}

// kanistersKey is the password of repositories that Kanister made without one: the SHA-256 of "testpassword". Everybody knows it.
const kanistersKey = "9f735e0df9a1ddc702bf0a1a7b83033f9f7153a00c29de82cedadc9957289b05"

// password finds the password of a repository. With create, one that does not exist is given a new one.
func (d Deps) password(ctx context.Context, p *place, given function.Secret, create bool) (string, error) {
	if given.IsSet() && given.Reveal() != "" {
		return given.Reveal(), nil
	}
	if d.Keys != nil {
		key, err := d.Keys.Key(ctx, p.name)
		if err != nil {
			return "", fmt.Errorf("look up the password of the repository at %q: %w", p.full, err)
		}
		if key.IsSet() && key.Reveal() != "" {
			return key.Reveal(), nil
		}
	}
	there, err := p.exists(ctx, d)
	switch {
	case err != nil:
		return "", forGood(err)
	case there && d.AllowDefaultKey:
		return kanistersKey, nil
	case there:
		return "", function.Permanent(fmt.Errorf("the repository at %q needs a password: give it as argument encryptionKey; one that Kanister made without a password has a public one, "+
			"which is used where the host program allows it (AllowDefaultKey; davit run --allow-default-key)", p.full))
	case !create:
		return "", function.Permanent(fmt.Errorf("look for a repository at %q: %w", p.full, repository.ErrNoRepository))
	case d.Keys == nil:
		return "", function.Permanent(fmt.Errorf("a new repository at %q needs a password: give one as argument encryptionKey, or let the host program configure a store for "+
			"keys (Keys)", p.full))
	}
	key, err := d.Keys.Keep(ctx, p.name, function.NewSecret(rand.Text()+rand.Text()))
	if err == nil && (!key.IsSet() || key.Reveal() == "") {
		err = errors.New("the store kept nothing")
	}
	if err != nil {
		return "", fmt.Errorf("store a password for the new repository at %q: %w", p.full, err)
	}
	return key.Reveal(), nil
}
