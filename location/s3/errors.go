package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/location"
)

// failure is an error of the store with its meaning. Its text is made here, as those of the SDK are long and repeat what was sent.
type failure struct {
	kind error
	code gcerrors.ErrorCode
	text string
	err  error
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() []error {
	if f.kind == nil {
		return []error{f.err}
	}
	return []error{f.kind, f.err}
}

// wrongSum means that the store has computed another checksum than that of what was sent, or that its answer was damaged.
func wrongSum(verb, want, got string) error {
	return &failure{location.ErrCorrupt, gcerrors.Unknown,
		fmt.Sprintf("%s in the store: what was sent has the CRC-32C %s, what it has kept %q: try again", verb, want, cut(got)), errAnswer}
}

// incomplete means that an answer lacks what it must have.
func incomplete(verb, what string) error {
	return &failure{location.ErrUnavailable, gcerrors.Unknown,
		fmt.Sprintf("%s in the store: its answer names no %s: check that the endpoint is an S3 store", verb, what), errAnswer}
}

// errAnswer is an answer that cannot be right.
var errAnswer = errors.New("unusable answer")

func codeOf(err error) gcerrors.ErrorCode {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	switch {
	case errors.Is(err, location.ErrExists):
		return gcerrors.FailedPrecondition
	case errors.Is(err, context.Canceled):
		return gcerrors.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return gcerrors.DeadlineExceeded
	default:
		return gcerrors.Unknown
	}
}

// meaning is what an error code of S3 says, and what to do about it.
type meaning struct {
	kind   error
	code   gcerrors.ErrorCode
	advice string
}

var (
	unknownKey = meaning{location.ErrCredential, gcerrors.Unknown, "check the access key and the secret key of the profile"}
	expired    = meaning{location.ErrCredential, gcerrors.Unknown, "the credential is no longer valid: get a new one"}
	busy       = meaning{location.ErrUnavailable, gcerrors.ResourceExhausted, "it was tried several times: try again later"}
	exists     = meaning{location.ErrExists, gcerrors.FailedPrecondition, "the object is there and was not to be replaced"}
	locked     = meaning{location.ErrExists, gcerrors.FailedPrecondition, "the object is locked: it can be deleted or replaced when its retention ends"}
	noLock     = meaning{location.ErrUnsupported, gcerrors.Unimplemented, "the bucket keeps no object locks: make one with object lock, or ask for no retention"}
)

var meanings = map[string]meaning{
	"NoSuchBucket":      {location.ErrNoBucket, gcerrors.NotFound, "create the bucket, or correct its name in the profile"},
	"NoSuchKey":         {location.ErrNotFound, gcerrors.NotFound, ""},
	"NotFound":          {location.ErrNotFound, gcerrors.NotFound, ""},
	"NoSuchUpload":      {location.ErrNotFound, gcerrors.NotFound, "the upload is gone: it was aborted or completed by another"},
	"NoSuchVersion":     {location.ErrNotFound, gcerrors.NotFound, ""},
	"AccessDenied":      {fs.ErrPermission, gcerrors.PermissionDenied, ""},
	"Forbidden":         {fs.ErrPermission, gcerrors.PermissionDenied, ""},
	"AllAccessDisabled": {fs.ErrPermission, gcerrors.PermissionDenied, ""},
	"AccountProblem":    {fs.ErrPermission, gcerrors.PermissionDenied, "the store has a problem with the account: ask its provider"},

	"InvalidAccessKeyId": unknownKey, "SignatureDoesNotMatch": unknownKey, "UnrecognizedClientException": unknownKey, "InvalidClientTokenId": unknownKey,
	"ExpiredToken": expired, "ExpiredTokenException": expired, "InvalidToken": expired, "TokenRefreshRequired": expired,

	"RequestTimeTooSkewed": {location.ErrClock, gcerrors.Unknown, "set this machine's clock"},
	"RequestExpired":       {location.ErrClock, gcerrors.Unknown, "set this machine's clock"},

	"SlowDown": busy, "ServiceUnavailable": busy, "Busy": busy, "InternalError": busy, "RequestTimeout": busy, "Throttling": busy,
	"TooManyRequests": busy, "BandwidthLimitExceeded": busy, "RequestLimitExceeded": busy,

	"PreconditionFailed": exists, "ConditionalRequestConflict": exists,
	"ObjectLocked": locked, "InvalidObjectState": {nil, gcerrors.FailedPrecondition, "the object is in an archive: restore it first"},
	"ObjectLockConfigurationNotFoundError": noLock,
	"QuotaExceeded":                        {nil, gcerrors.ResourceExhausted, "the store's quota is used up: free space there or raise it"},
	"EntityTooLarge":                       {nil, gcerrors.FailedPrecondition, "the store takes no object of that size"},
	"KeyTooLongError":                      {location.ErrKey, gcerrors.InvalidArgument, "use a shorter path or prefix"},
	"AuthorizationHeaderMalformed":         {location.ErrProfile, gcerrors.InvalidArgument, "set the region of the profile to that of the bucket"},
	"PermanentRedirect":                    {location.ErrProfile, gcerrors.InvalidArgument, "set the region and the endpoint of the profile to those of the bucket"},
	"InvalidBucketName":                    {location.ErrProfile, gcerrors.InvalidArgument, "correct the bucket of the profile"},
}

// byStatus is for answers without a body, as those to HEAD are, and for codes that are not S3's.
var byStatus = map[int]meaning{
	http.StatusUnauthorized:       unknownKey,
	http.StatusForbidden:          meanings["Forbidden"],
	http.StatusNotFound:           meanings["NotFound"],
	http.StatusConflict:           {nil, gcerrors.FailedPrecondition, ""},
	http.StatusPreconditionFailed: exists,
	http.StatusMovedPermanently:   meanings["PermanentRedirect"],
	http.StatusTooManyRequests:    busy, http.StatusInternalServerError: busy, http.StatusBadGateway: busy,
	http.StatusServiceUnavailable: busy, http.StatusGatewayTimeout: busy,
	http.StatusInsufficientStorage: meanings["QuotaExceeded"],
}

// refusal is an error of the store that came in the body of an answer.
func refusal(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message}
}

// explain says what was tried, why it failed and what to do. A nil error and one that is explained stay as they
// are. The object is named by the bucket above.
func (c *client) explain(ctx context.Context, verb string, err error) error {
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
		return &failure{cause, code, fmt.Sprintf("%s in the store: %v", verb, cause), err}
	}
	m, why := c.diagnose(err)
	text := fmt.Sprintf("%s in the store: %s", verb, why)
	if m.kind != nil {
		text = fmt.Sprintf("%s in the store: %v: %s", verb, m.kind, why)
	}
	if m.advice != "" {
		text += ": " + m.advice
	}
	if m.code == gcerrors.OK {
		m.code = gcerrors.Unknown
	}
	return &failure{m.kind, m.code, text, err}
}

// diagnose finds out what an error means, and what the store or the way to it says.
func (c *client) diagnose(err error) (meaning, string) {
	if p, ok := errors.AsType[*providerError](err); ok {
		return c.noCredential(p)
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return meaning{location.ErrUnavailable, gcerrors.Unknown, "give the location the certificates of the store's authority (CA bundle)"}, cert.Error()
	}
	api, isAPI := errors.AsType[smithy.APIError](err)
	resp, isResp := errors.AsType[*awshttp.ResponseError](err)
	switch {
	case isAPI:
		m, known := meanings[api.ErrorCode()]
		if !known && isResp {
			m = byStatus[resp.HTTPStatusCode()]
		}
		return refined(m, api), c.answer(api, resp)
	case isResp && resp.Response != nil && resp.HTTPStatusCode() >= http.StatusMultipleChoices:
		return byStatus[resp.HTTPStatusCode()], fmt.Sprintf("it answers with status %d", resp.HTTPStatusCode())
	case isConnection(err):
		return meaning{location.ErrUnavailable, gcerrors.Unknown, "check the endpoint, the network and the proxy; it was tried several times"}, c.hide.Replace(innermost(err))
	default:
		return meaning{}, c.hide.Replace(innermost(err))
	}
}

// refined tells apart what has one code but several meanings; only the text does.
func refined(m meaning, api smithy.APIError) meaning {
	text := strings.ReplaceAll(strings.ToLower(api.ErrorMessage()), " ", "")
	switch {
	case strings.Contains(text, "objectlockconfiguration"):
		return noLock
	case strings.Contains(text, "protectedbyobjectlock"), strings.Contains(text, "wormprotected"), strings.Contains(text, "objectislocked"):
		return locked
	default:
		return m
	}
}

// answer is what the store says.
func (c *client) answer(api smithy.APIError, resp *awshttp.ResponseError) string {
	text := "it answers " + api.ErrorCode()
	if m := api.ErrorMessage(); m != "" {
		text += fmt.Sprintf(" (%s)", cut(m))
	}
	if resp != nil {
		text += fmt.Sprintf(", status %d", resp.HTTPStatusCode())
		if id := resp.ServiceRequestID(); id != "" {
			text += ", request " + cut(id)
		}
	}
	return c.hide.Replace(text)
}

func (c *client) noCredential(p *providerError) (meaning, string) {
	m := meaning{location.ErrCredential, gcerrors.Unknown,
		"give the profile a credential, or this process one that the SDK finds: environment, web identity, instance role"}
	if p.role != "" {
		m.advice = fmt.Sprintf("check that the role %q exists and that the credential may assume it", cut(p.role))
	}
	if api, ok := errors.AsType[smithy.APIError](p.err); ok {
		return m, c.answer(api, nil)
	}
	if isConnection(p.err) {
		return meaning{location.ErrUnavailable, gcerrors.Unknown, "the credential could not be fetched: check the network and the proxy"}, c.hide.Replace(innermost(p.err))
	}
	return m, c.hide.Replace(innermost(p.err))
}

// isConnection tells whether no answer came, or not all of it.
func isConnection(err error) bool {
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// innermost is the text of the network's error, or else of the last cause, which is the shortest.
func innermost(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Error()
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
