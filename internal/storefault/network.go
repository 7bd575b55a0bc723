package storefault

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"syscall"
)

// IsStranger tells whether the server has a certificate that is not trusted.
func IsStranger(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// IsConnection tells whether no answer came, or not all of it. An io.EOF by itself may be a bad answer as well, and is left to the driver.
func IsConnection(err error) bool {
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	if u, ok := errors.AsType[*url.Error](err); ok && errors.Is(u.Err, io.EOF) {
		return true
	}
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// innermost is the text of the network's error, which names the server, or else of the last cause, which is the shortest. The text of a *url.Error is none: it
// holds the address of the request, which may be signed.
func innermost(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Error()
	}
	for u, ok := errors.AsType[*url.Error](err); ok; u, ok = errors.AsType[*url.Error](err) {
		err = u.Err
	}
	for {
		var next error
		switch u := err.(type) { //nolint:errorlint // each layer is looked at
		case interface{ Unwrap() error }:
			next = u.Unwrap()
		case interface{ Unwrap() []error }:
			if all := u.Unwrap(); len(all) > 0 {
				next = all[0]
			}
		}
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
