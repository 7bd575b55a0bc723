package storefault_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/location"
)

var (
	errStore = errors.New("what the SDK says at https://store.example.com?sig=canary")
	errEnd   = errors.New("the host stops")
)

// busy finds every error to be a store that is busy, and says the secret.
func busy(wraps bool) *storefault.Explainer {
	return &storefault.Explainer{
		Diagnose: func(error) (storefault.Meaning, string) { return storefault.Busy, "it knows canary" },
		Hide:     func(s string) string { return strings.ReplaceAll(s, "canary", "[masked]") },
		Wraps:    wraps,
	}
}

func TestExplain(t *testing.T) {
	require.NoError(t, busy(false).Explain(t.Context(), "read", nil))
	for _, wraps := range []bool{false, true} {
		err := busy(wraps).Explain(t.Context(), "read", errStore)
		require.EqualError(t, err, "read in the store: the store is not available: it knows [masked]: it was tried several times: try again later")
		require.ErrorIs(t, err, location.ErrUnavailable)
		require.Equal(t, wraps, errors.Is(err, errStore))
		require.Equal(t, gcerrors.ResourceExhausted, storefault.Code(err))
		again := fmt.Errorf("wrapped: %w", err)
		require.Equal(t, again, busy(true).Explain(t.Context(), "list", again), "it is explained")
	}
	require.Equal(t, gcerrors.Unknown, storefault.Code(errStore))
}

func TestExplainUnderAContextThatHasEnded(t *testing.T) {
	ctx, end := context.WithCancelCause(t.Context())
	end(errEnd)
	err := busy(false).Explain(ctx, "read", errStore)
	require.EqualError(t, err, "read in the store: the host stops")
	require.ErrorIs(t, err, errEnd)
	require.Equal(t, gcerrors.Canceled, storefault.Code(err))

	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	err = busy(true).Explain(ctx, "read", errStore)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, errStore)
	require.Equal(t, gcerrors.DeadlineExceeded, storefault.Code(err))
}

func TestMeaningWithoutAKind(t *testing.T) {
	err := storefault.Meaning{}.Failure("copy", "it answers Teapot")
	require.EqualError(t, err, "copy in the store: it answers Teapot")
	require.Equal(t, gcerrors.Unknown, storefault.Code(err))
	require.Empty(t, err.Unwrap())
}

func TestMeaningsOfStatuses(t *testing.T) {
	for status, want := range map[int]error{
		http.StatusForbidden: fs.ErrPermission, http.StatusNotFound: location.ErrNotFound, http.StatusPreconditionFailed: location.ErrExists,
		http.StatusTooManyRequests: location.ErrUnavailable, http.StatusRequestTimeout: location.ErrUnavailable, http.StatusInternalServerError: location.ErrUnavailable,
		599: location.ErrUnavailable, http.StatusUnauthorized: nil, http.StatusConflict: nil, http.StatusTeapot: nil,
	} {
		require.Equal(t, want, storefault.OfStatus(status).Kind, status)
	}
}

// What is cut off of a secret would not be recognised: it is taken out first.
func TestQuotesHoldNoPieceOfASecret(t *testing.T) {
	e := &storefault.Explainer{Hide: func(s string) string { return strings.ReplaceAll(s, "canary", "!") }, Longest: 10}
	require.Equal(t, "12345678!", e.Quote("12345678canary"))
	require.Equal(t, "12345678!0…", e.Quote("12345678canary0123"))
	long := strings.Repeat("x", 298) + "canary"
	require.Equal(t, strings.Repeat("x", 298)+"!", e.Plain(errors.New(long)))
	require.Equal(t, strings.Repeat("x", 298)+"!", (&storefault.Explainer{Hide: e.Hide}).Quote(long))
	require.Equal(t, "canary", (&storefault.Explainer{}).Quote("canary"))
	require.Equal(t, "ab…", storefault.Cut("abüc", 3), "half a letter is left out")
}

func TestPlainIsTheLastCause(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, Err: syscall.ECONNREFUSED}
	address := "https://h/?sig=canary"
	for want, err := range map[string]error{
		"dial tcp 127.0.0.1:1: connection refused": fmt.Errorf("a: %w", &url.Error{Op: "Get", URL: address, Err: refused}),
		"EOF":            &url.Error{Op: "Get", URL: address, Err: io.EOF},
		"unexpected EOF": fmt.Errorf("%w: at %s", io.ErrUnexpectedEOF, address),
		"the first":      errors.Join(errors.New("the first"), errStore),
		"inner":          errors.Join(errStore, &url.Error{Op: "Get", URL: address, Err: errors.New("inner")}),
	} {
		require.Equal(t, want, (&storefault.Explainer{}).Plain(err))
	}
}

func TestKindsOfTheNetwork(t *testing.T) {
	for _, err := range []error{
		&net.OpError{Op: "dial", Err: errors.New("x")}, &net.DNSError{}, &url.Error{Err: io.EOF}, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE,
		os.ErrDeadlineExceeded,
	} {
		require.True(t, storefault.IsConnection(fmt.Errorf("a: %w", err)), "%v", err)
		require.False(t, storefault.IsStranger(err))
	}
	_, missing := os.ReadFile("/nonexistent/token")
	for _, err := range []error{io.EOF, missing, &url.Error{Err: errors.New("unsupported protocol")}, errStore} {
		require.False(t, storefault.IsConnection(err), "%v", err)
	}
	stranger := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	require.True(t, storefault.IsStranger(&url.Error{Err: stranger}))
	require.False(t, storefault.IsConnection(&url.Error{Err: stranger}))
}

func TestFinal(t *testing.T) {
	for _, err := range []error{location.ErrNoBucket, location.ErrCredential, location.ErrClock, location.ErrProfile, fs.ErrPermission} {
		require.True(t, storefault.IsFinal(fmt.Errorf("a: %w", err)))
	}
	for _, err := range []error{location.ErrExists, location.ErrUnavailable, location.ErrUnsupported, location.ErrNotFound, errStore} {
		require.False(t, storefault.IsFinal(err), "%v", err)
	}
}
