package gcs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"cloud.google.com/go/storage"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"

	"github.com/davit-project/davit/location"
)

// attempts of a request.
const attempts = 8

// failure is an error of the store with its meaning. Its text is made here, and it wraps nothing of the SDK, whose texts repeat the addresses of uploads.
type failure struct {
	kind error
	code gcerrors.ErrorCode
	text string
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

func codeOf(err error) gcerrors.ErrorCode {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	return gcerrors.Code(err)
}

// meaning is what an answer says, and what to do about it.
type meaning struct {
	kind   error
	code   gcerrors.ErrorCode
	advice string
}

var (
	busy     = meaning{location.ErrUnavailable, gcerrors.ResourceExhausted, "it was tried several times: try again later"}
	away     = meaning{location.ErrUnavailable, gcerrors.Unknown, "check the endpoint, the network and the proxy; it was tried several times"}
	denied   = meaning{fs.ErrPermission, gcerrors.PermissionDenied, ""}
	stranger = meaning{location.ErrUnavailable, gcerrors.Unknown, "give the location the certificate of the server's authority (CABundle), or correct the endpoint"}
	absent   = meaning{location.ErrNotFound, gcerrors.NotFound, ""}
	noBucket = meaning{location.ErrNoBucket, gcerrors.Unknown, "create the bucket, or correct its name in the profile"}
	exists   = meaning{location.ErrExists, gcerrors.FailedPrecondition, "the object is there and was not to be replaced"}
	locked   = meaning{location.ErrExists, gcerrors.FailedPrecondition, "the object is locked: it can be deleted or replaced when its retention ends"}
	unknown  = meaning{location.ErrCredential, gcerrors.PermissionDenied, "check the key file of the profile; it may have been revoked"}
	clock    = meaning{location.ErrClock, gcerrors.PermissionDenied, "set this machine's clock"}
)

var byStatus = map[int]meaning{
	http.StatusUnauthorized:       unknown,
	http.StatusForbidden:          denied,
	http.StatusNotFound:           absent,
	http.StatusConflict:           {nil, gcerrors.Unknown, "another write of the object is under way"},
	http.StatusPreconditionFailed: exists,
	http.StatusRequestTimeout:     busy,
	http.StatusTooManyRequests:    busy,
}

// byReason refines statuses that have several meanings: https://cloud.google.com/storage/docs/json_api/v1/status-codes
var byReason = map[string]meaning{
	"retentionPolicyNotMet": locked, "objectUnderActiveHold": locked,
	"rateLimitExceeded": busy, "userRateLimitExceeded": busy, "quotaExceeded": {nil, gcerrors.ResourceExhausted, "the store's quota is used up: raise it"},
	"accountDisabled": {fs.ErrPermission, gcerrors.PermissionDenied, "the account or its billing is disabled: ask its owner"},
}

// explain says what was tried, why it failed and what to do. A nil error and one that is explained stay as they are. The object is named by the
// bucket above.
func (h *httpClient) explain(ctx context.Context, verb string, err error) error {
	if err == nil {
		return nil
	}
	if _, done := errors.AsType[*failure](err); done {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		code := gcerrors.Canceled
		if errors.Is(cause, context.DeadlineExceeded) {
			code = gcerrors.DeadlineExceeded
		}
		return &failure{cause, code, fmt.Sprintf("%s in the store: %v", verb, cause)}
	}
	m, why := h.diagnose(err)
	return m.failure(verb, why)
}

func (m meaning) failure(verb, why string) error {
	text := verb + " in the store: "
	if m.kind != nil {
		text += m.kind.Error() + ": "
	}
	text += why
	if m.advice != "" {
		text += ": " + m.advice
	}
	return &failure{m.kind, m.code, text}
}

func (h *httpClient) diagnose(err error) (meaning, string) {
	if t, ok := errors.AsType[*tokenError](err); ok {
		return h.noToken(t)
	}
	api, isAPI := errors.AsType[*googleapi.Error](err)
	switch {
	case isAPI:
		return ofAnswer(api), h.answer(api)
	case errors.Is(err, storage.ErrObjectNotExist):
		return absent, "it has none of that name"
	case isStranger(err):
		return stranger, h.plain(err)
	case isConnection(err):
		return away, h.plain(err)
	default:
		return meaning{code: gcerrors.Unknown}, h.plain(err)
	}
}

func ofAnswer(api *googleapi.Error) meaning {
	for _, item := range api.Errors {
		if m, known := byReason[item.Reason]; known {
			return m
		}
	}
	if m, known := byStatus[api.Code]; known {
		return m
	}
	if api.Code >= http.StatusInternalServerError {
		return busy
	}
	return meaning{code: gcerrors.Unknown}
}

// answer is what the store says.
func (h *httpClient) answer(api *googleapi.Error) string {
	text := fmt.Sprintf("it answers with status %d", api.Code)
	if api.Message != "" {
		text += fmt.Sprintf(" (%s)", cut(api.Message))
	}
	return h.hide(text)
}

func (h *httpClient) noToken(t *tokenError) (meaning, string) {
	status, code, description := t.refused()
	switch {
	case status == 0 && isConnection(t.err):
		return meaning{location.ErrUnavailable, gcerrors.Unknown, "check the network and the proxy; it was tried several times"},
			"the token for the credential could not be fetched: " + h.plain(t.err)
	case status == 0:
		return unknown, "there is no token for the credential"
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return busy, fmt.Sprintf("the token for the credential could not be fetched, status %d", status)
	case strings.Contains(description, "reasonable timeframe"): // of the signature's dates; there is no code for it
		return clock, "the token for the credential is refused: " + cut(description)
	default:
		return unknown, h.hide(strings.TrimSpace(fmt.Sprintf("the token for the credential is refused, status %d %s %s", status, cut(code), cut(description))))
	}
}

// plain is the text of an error without the address of the request.
func (h *httpClient) plain(err error) string {
	for {
		u, ok := errors.AsType[*url.Error](err)
		if !ok {
			break
		}
		err = u.Err
	}
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			break
		}
		if _, ok := err.(*net.OpError); ok { //nolint:errorlint // it names the address
			break
		}
		err = u.Unwrap()
	}
	return h.hide(cut(err.Error()))
}

// isStranger tells whether the server has a certificate that is not trusted.
func isStranger(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// isConnection tells whether no answer came, or not all of it.
func isConnection(err error) bool {
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

// mayPass tells whether to try again.
func mayPass(err error) bool {
	if errors.Is(err, context.Canceled) || isStranger(err) {
		return false
	}
	if t, ok := errors.AsType[*tokenError](err); ok {
		status, _, _ := t.refused()
		return status == 0 && isConnection(t.err) || status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
	}
	if api, ok := errors.AsType[*googleapi.Error](err); ok {
		return errors.Is(ofAnswer(api).kind, location.ErrUnavailable)
	}
	return isConnection(err)
}
