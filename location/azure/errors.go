package azure

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/location"
)

// failure is an error of the store with its meaning. Its text is made here, and it wraps nothing of the SDK, whose texts hold addresses and answers.
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

// meaning is what an error code of Azure says, and what to do about it.
type meaning struct {
	kind   error
	code   gcerrors.ErrorCode
	advice string
}

var (
	busy     = meaning{location.ErrUnavailable, gcerrors.ResourceExhausted, "it was tried several times: try again later"}
	away     = meaning{location.ErrUnavailable, gcerrors.Unknown, "check the account, the endpoint, the network and the proxy; it was tried several times"}
	denied   = meaning{fs.ErrPermission, gcerrors.PermissionDenied, ""}
	stranger = meaning{location.ErrUnavailable, gcerrors.Unknown, "give the location the certificate of the server's authority (CABundle), or correct the endpoint"}
	absent   = meaning{location.ErrNotFound, gcerrors.NotFound, ""}
	noBucket = meaning{location.ErrNoBucket, gcerrors.Unknown, "create the container, or correct its name in the profile"}
	exists   = meaning{location.ErrExists, gcerrors.FailedPrecondition, "the object is there and was not to be replaced"}
	locked   = meaning{location.ErrExists, gcerrors.FailedPrecondition, "the object is locked: it can be deleted or replaced when its lease, hold or retention ends"}
	unknown  = meaning{location.ErrCredential, gcerrors.PermissionDenied, "check the account and its key, signature or service principal in the profile"}
	expired  = meaning{location.ErrCredential, gcerrors.PermissionDenied, "the shared access signature has expired: get a new one"}
	clock    = meaning{location.ErrClock, gcerrors.PermissionDenied, "set this machine's clock"}
	replaced = meaning{nil, gcerrors.Unknown, "another write of the object was committed meanwhile: try again"}
	archived = meaning{nil, gcerrors.InvalidArgument, "the object is in the archive: rehydrate it first"}
	mixed    = meaning{nil, gcerrors.InvalidArgument,
		"another program has left blocks of the object behind, or it is no block blob: use another path, or wait a week until Azure discards them"}
	damaged = meaning{location.ErrCorrupt, gcerrors.Unknown, "what was sent has arrived damaged: try again"}
)

var meanings = map[bloberror.Code]meaning{
	bloberror.ContainerNotFound: noBucket, bloberror.ContainerBeingDeleted: noBucket, bloberror.ContainerDisabled: noBucket,
	bloberror.BlobNotFound: absent, bloberror.ResourceNotFound: absent,
	bloberror.AuthenticationFailed: unknown, bloberror.InvalidAuthenticationInfo: unknown, bloberror.NoAuthenticationInformation: unknown,
	bloberror.AuthorizationFailure: denied, bloberror.AuthorizationPermissionMismatch: denied, bloberror.AuthorizationResourceTypeMismatch: denied,
	bloberror.AuthorizationServiceMismatch: denied, bloberror.InsufficientAccountPermissions: denied,
	bloberror.AuthorizationSourceIPMismatch: {fs.ErrPermission, gcerrors.PermissionDenied, "the signature or the account's network rules leave this address out"},
	bloberror.AuthorizationProtocolMismatch: {fs.ErrPermission, gcerrors.PermissionDenied, "the signature is for https alone"},
	bloberror.AccountIsDisabled:             {fs.ErrPermission, gcerrors.PermissionDenied, "the storage account is disabled: ask its owner"},
	"KeyBasedAuthenticationNotPermitted":    {fs.ErrPermission, gcerrors.PermissionDenied, "the account takes no keys: use a service principal or an identity"},
	bloberror.BlobAlreadyExists:             exists, bloberror.ConditionNotMet: exists, bloberror.TargetConditionNotMet: exists,
	bloberror.BlobImmutableDueToPolicy: locked, bloberror.LeaseIDMissing: locked, bloberror.SnapshotsPresent: {location.ErrExists, gcerrors.FailedPrecondition,
		"the object has snapshots: delete them first"},
	bloberror.InvalidBlockList: replaced, bloberror.InvalidBlobOrBlock: mixed, bloberror.InvalidBlobType: mixed,
	bloberror.BlobArchived: archived, bloberror.BlobBeingRehydrated: archived,
	bloberror.MD5Mismatch: damaged, bloberror.CRC64Mismatch: damaged,
	bloberror.ServerBusy: busy, bloberror.InternalError: busy, bloberror.OperationTimedOut: busy,
}

var byStatus = map[int]meaning{
	http.StatusUnauthorized:       unknown,
	http.StatusForbidden:          denied,
	http.StatusNotFound:           absent,
	http.StatusConflict:           {nil, gcerrors.Unknown, ""},
	http.StatusPreconditionFailed: exists,
	http.StatusRequestTimeout:     busy,
	http.StatusTooManyRequests:    busy,
}

// explain says what was tried, why it failed and what to do. A nil error and one that is explained stay as they are. The object is named by the
// bucket above.
func (s *store) explain(ctx context.Context, verb string, err error) error {
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
	m, why := s.diagnose(err)
	return m.failure(verb, s.secrets.hide(why))
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

func (s *store) diagnose(err error) (meaning, string) {
	if c, ok := errors.AsType[*credentialError](err); ok {
		return noCredential(c.err)
	}
	if api, ok := errors.AsType[*azcore.ResponseError](err); ok {
		m := ofAnswer(api)
		if m.code == gcerrors.PermissionDenied && s.hasExpired() {
			m = expired
		}
		return m, answer(api)
	}
	if isStranger(err) {
		return stranger, plain(err)
	}
	if isConnection(err) {
		return away, plain(err)
	}
	return meaning{code: gcerrors.Unknown}, plain(err)
}

func ofAnswer(api *azcore.ResponseError) meaning {
	m, known := meanings[bloberror.Code(api.ErrorCode)]
	if !known {
		m, known = byStatus[api.StatusCode]
	}
	switch {
	case !known && api.StatusCode >= http.StatusInternalServerError:
		return busy
	case !known:
		return meaning{code: gcerrors.Unknown}
	case errors.Is(m.kind, location.ErrCredential) && isSkewed(api.RawResponse):
		return clock
	default:
		return m
	}
}

// isSkewed compares the store's clock with this machine's. Azure refuses signatures that are older than 15 minutes.
func isSkewed(resp *http.Response) bool {
	if resp == nil {
		return false
	}
	theirs, err := http.ParseTime(resp.Header.Get("Date"))
	return err == nil && time.Since(theirs).Abs() > 10*time.Minute
}

// answer is what the store says, without the details that repeat what was signed.
func answer(api *azcore.ResponseError) string {
	text := fmt.Sprintf("it answers with status %d", api.StatusCode)
	if api.ErrorCode != "" {
		text += " " + cut(api.ErrorCode)
	}
	if api.RawResponse == nil {
		return text
	}
	body, err := runtime.Payload(api.RawResponse)
	var said struct{ Message string }
	if err == nil && xml.Unmarshal(body, &said) == nil && said.Message != "" {
		first, _, _ := strings.Cut(said.Message, "\n")
		text += fmt.Sprintf(" (%s)", cut(first))
	}
	return text
}

// noCredential says why there is nothing to send a request with.
func noCredential(err error) (meaning, string) {
	refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if !ok || refused.RawResponse == nil {
		if isConnection(err) {
			return away, "the token for the credential could not be fetched: " + plain(err)
		}
		return unknown, cut(strings.Join(strings.Fields(err.Error()), " "))
	}
	status := refused.RawResponse.StatusCode
	if status == http.StatusTooManyRequests || status >= http.StatusInternalServerError {
		return busy, fmt.Sprintf("the token for the credential could not be fetched, status %d", status)
	}
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if body, err := runtime.Payload(refused.RawResponse); err == nil {
		_ = json.Unmarshal(body, &said) // what is no JSON says nothing
	}
	first, _, _ := strings.Cut(said.Description, "\n")
	return unknown, strings.TrimSpace(fmt.Sprintf("the token for the credential is refused, status %d %s %s", status, cut(said.Error), cut(strings.TrimSpace(first))))
}

// plain follows single causes to the last but the one that names the address.
func plain(err error) string {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if _, op := err.(*net.OpError); op || !ok || u.Unwrap() == nil { //nolint:errorlint // as above
			return cut(err.Error())
		}
		err = u.Unwrap()
	}
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
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE)
}
