package codec

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"

	"github.com/davit-project/davit/location"
)

// ErrKey means that a key cannot be used.
var ErrKey = errors.New("invalid encryption key")

// AgeOptions are the keys of Age, in the text forms of the age tool (age-keygen makes them).
type AgeOptions struct {
	// Recipients are public keys: age1… or age1pq1…. What is written can be read with the secret key of any of them. Default: those of the identities. A host
	// with recipients alone can write backups and not read them.
	Recipients []string
	// Identities are secret keys: AGE-SECRET-KEY-1… or AGE-SECRET-KEY-PQ-1…. Default none: nothing can be read.
	Identities []string
	// AcceptPlain lets objects be read that are not encrypted, such as those from before the encryption was turned on. Whoever can write to the bucket can then
	// put there what he likes. Default: they are refused.
	AcceptPlain bool
}

// Age returns the codec "age" (age-encryption.org/v1: ChaCha20-Poly1305 in segments of 64 KiB, under a key of each object's own). There is no default key:
// options without any are ErrKey. Passphrases are not taken: their derivation needs 256 MiB of memory for each object.
//
// What is read has not been changed since somebody who knows a recipient wrote it. That it is the object that was written under that key and not another
// one, or an earlier one, of the same recipient is not part of the format.
func Age(opts *AgeOptions) (location.Codec, error) {
	if opts == nil {
		opts = &AgeOptions{}
	}
	var identities []age.Identity
	var recipients []age.Recipient
	for i, text := range opts.Identities {
		identity, own, err := parseIdentity(text)
		if err != nil {
			return location.Codec{}, fmt.Errorf("%w: identity %d of %d: %w", ErrKey, i+1, len(opts.Identities), err)
		}
		identities = append(identities, identity)
		if len(opts.Recipients) == 0 {
			recipients = append(recipients, own)
		}
	}
	for i, text := range opts.Recipients {
		recipient, err := parseRecipient(text)
		if err != nil {
			return location.Codec{}, fmt.Errorf("%w: recipient %d of %d: %w", ErrKey, i+1, len(opts.Recipients), err)
		}
		recipients = append(recipients, recipient)
	}
	if len(recipients) == 0 {
		return location.Codec{}, fmt.Errorf("%w: there is none: give a recipient (age1…) or an identity (AGE-SECRET-KEY-1…); age-keygen makes both", ErrKey)
	}
	if _, err := age.Encrypt(io.Discard, recipients...); err != nil { // such as those of both kinds
		return location.Codec{}, fmt.Errorf("%w: the recipients do not go together: they must all be of the post-quantum kind (age1pq1…), or none", ErrKey)
	}
	c := location.Codec{
		Name: "age", Required: !opts.AcceptPlain,
		Encode: func(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, recipients...) },
	}
	if len(identities) > 0 {
		c.Decode = func(r io.Reader) (io.Reader, error) { return decrypt(r, identities) }
	}
	return c, nil
}

func decrypt(r io.Reader, identities []age.Identity) (io.Reader, error) {
	plain, err := age.Decrypt(r, identities...)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, errors.New("none of the identities is of a key that it was encrypted to")
	}
	return plain, err
}

// The errors of the parsers quote what they are given.
var (
	errRecipient = errors.New("it is no public key of age (age1…)")
	errIdentity  = errors.New("it is no secret key of age (AGE-SECRET-KEY-1…)")
)

func parseRecipient(text string) (age.Recipient, error) {
	found, err := age.ParseRecipients(strings.NewReader(text))
	if strings.HasPrefix(strings.TrimSpace(text), "AGE-SECRET-KEY-") {
		return nil, errors.New("it is a secret key: give that as an identity")
	}
	if err != nil || len(found) != 1 {
		return nil, errRecipient
	}
	return found[0], nil
}

func parseIdentity(text string) (age.Identity, age.Recipient, error) {
	found, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil || len(found) != 1 {
		return nil, nil, errIdentity
	}
	switch id := found[0].(type) {
	case *age.X25519Identity:
		return id, id.Recipient(), nil
	case *age.HybridIdentity:
		return id, id.Recipient(), nil
	default:
		return nil, nil, errIdentity
	}
}
