package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/location"
)

// faults explains what the store answers, which it may do at length.
func (c *client) faults() *storefault.Explainer {
	return &storefault.Explainer{Diagnose: c.diagnose, Hide: c.hide.Replace, Longest: quoted, Wraps: true}
}

// quoted is how many bytes of a text of the store are in an error.
const quoted = 80

// explain says what was tried, why it failed and what to do; see storefault.Explainer.
func (c *client) explain(ctx context.Context, verb string, err error) error {
	return c.faults().Explain(ctx, verb, err)
}

// wrongSum means that the store has computed another checksum than that of what was sent, or that its answer was damaged.
func wrongSum(verb, want, got string) error {
	return unusable(location.ErrCorrupt, fmt.Sprintf("%s in the store: what was sent has the CRC-32C %s, what it has kept %q: try again", verb, want,
		storefault.Cut(got, quoted)))
}

// incomplete means that an answer lacks what it must have.
func incomplete(verb, what string) error {
	return unusable(location.ErrUnavailable, fmt.Sprintf("%s in the store: its answer names no %s: check that the endpoint is an S3 store", verb, what))
}

func unusable(kind error, text string) error {
	return &storefault.Failure{Kind: kind, Code: gcerrors.Unknown, Text: text, Cause: errAnswer}
}

// errAnswer is an answer that cannot be right.
var errAnswer = errors.New("unusable answer")

// means keeps the tables short.
var means = storefault.Means

var (
	unknownKey = means(location.ErrCredential, gcerrors.Unknown, "check the access key and the secret key of the profile")
	expired    = means(location.ErrCredential, gcerrors.Unknown, "the credential is no longer valid: get a new one")
	noLock     = means(location.ErrUnsupported, gcerrors.Unimplemented, "the bucket keeps no object locks: make one with object lock, or ask for no retention")
)

var meanings = map[string]storefault.Meaning{
	"NoSuchBucket":      means(location.ErrNoBucket, gcerrors.NotFound, "create the bucket, or correct its name in the profile"),
	"NoSuchKey":         storefault.Absent,
	"NotFound":          storefault.Absent,
	"NoSuchUpload":      means(location.ErrNotFound, gcerrors.NotFound, "the upload is gone: it was aborted or completed by another"),
	"NoSuchVersion":     storefault.Absent,
	"AccessDenied":      storefault.Denied,
	"Forbidden":         storefault.Denied,
	"AllAccessDisabled": storefault.Denied,
	"AccountProblem":    means(fs.ErrPermission, gcerrors.PermissionDenied, "the store has a problem with the account: ask its provider"),

	"InvalidAccessKeyId": unknownKey, "SignatureDoesNotMatch": unknownKey, "UnrecognizedClientException": unknownKey, "InvalidClientTokenId": unknownKey,
	"ExpiredToken": expired, "ExpiredTokenException": expired, "InvalidToken": expired, "TokenRefreshRequired": expired,

	"RequestTimeTooSkewed": means(location.ErrClock, gcerrors.Unknown, "set this machine's clock"),
	"RequestExpired":       means(location.ErrClock, gcerrors.Unknown, "set this machine's clock"),

	"SlowDown": storefault.Busy, "ServiceUnavailable": storefault.Busy, "Busy": storefault.Busy, "InternalError": storefault.Busy,
	"RequestTimeout": storefault.Busy, "Throttling": storefault.Busy, "TooManyRequests": storefault.Busy,
	"BandwidthLimitExceeded": storefault.Busy, "RequestLimitExceeded": storefault.Busy,

	"PreconditionFailed": storefault.Exists, "ConditionalRequestConflict": storefault.Exists,
	"ObjectLocked": storefault.Locked, "InvalidObjectState": means(nil, gcerrors.FailedPrecondition, "the object is in an archive: restore it first"),
	"ObjectLockConfigurationNotFoundError": noLock,
	"QuotaExceeded":                        means(nil, gcerrors.ResourceExhausted, "the store's quota is used up: free space there or raise it"),
	"EntityTooLarge":                       means(nil, gcerrors.FailedPrecondition, "the store takes no object of that size"),
	"KeyTooLongError":                      means(location.ErrKey, gcerrors.InvalidArgument, "use a shorter path or prefix"),
	"AuthorizationHeaderMalformed":         means(location.ErrProfile, gcerrors.InvalidArgument, "set the region of the profile to that of the bucket"),
	"PermanentRedirect":                    means(location.ErrProfile, gcerrors.InvalidArgument, "set the region and the endpoint of the profile to those of the bucket"),
	"InvalidBucketName":                    means(location.ErrProfile, gcerrors.InvalidArgument, "correct the bucket of the profile"),
}

// byStatus is for answers without a body, as those to HEAD are, and for codes that are not S3's.
var byStatus = map[int]storefault.Meaning{
	http.StatusUnauthorized:       unknownKey,
	http.StatusForbidden:          storefault.Denied,
	http.StatusNotFound:           storefault.Absent,
	http.StatusConflict:           means(nil, gcerrors.FailedPrecondition, ""),
	http.StatusPreconditionFailed: storefault.Exists,
	http.StatusMovedPermanently:   meanings["PermanentRedirect"],
	http.StatusTooManyRequests:    storefault.Busy, http.StatusInternalServerError: storefault.Busy, http.StatusBadGateway: storefault.Busy,
	http.StatusServiceUnavailable: storefault.Busy, http.StatusGatewayTimeout: storefault.Busy,
	http.StatusInsufficientStorage: meanings["QuotaExceeded"],
}

// refusal is an error of the store that came in the body of an answer.
func refusal(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message}
}

// diagnose finds out what an error means, and what the store or the way to it says.
func (c *client) diagnose(err error) (storefault.Meaning, string) {
	if p, ok := errors.AsType[*providerError](err); ok {
		return c.noCredential(p)
	}
	if storefault.IsStranger(err) {
		return storefault.Stranger, c.faults().Plain(err)
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
		return storefault.Away, c.faults().Plain(err)
	default:
		return storefault.Meaning{}, c.faults().Plain(err)
	}
}

// refined tells apart what has one code but several meanings; only the text does.
func refined(m storefault.Meaning, api smithy.APIError) storefault.Meaning {
	text := strings.ReplaceAll(strings.ToLower(api.ErrorMessage()), " ", "")
	switch {
	case strings.Contains(text, "objectlockconfiguration"):
		return noLock
	case strings.Contains(text, "protectedbyobjectlock"), strings.Contains(text, "wormprotected"), strings.Contains(text, "objectislocked"):
		return storefault.Locked
	default:
		return m
	}
}

// answer is what the store says.
func (c *client) answer(api smithy.APIError, resp *awshttp.ResponseError) string {
	text := "it answers " + c.faults().Quote(api.ErrorCode())
	if m := api.ErrorMessage(); m != "" {
		text += fmt.Sprintf(" (%s)", c.faults().Quote(m))
	}
	if resp != nil {
		text += fmt.Sprintf(", status %d", resp.HTTPStatusCode())
		if id := resp.ServiceRequestID(); id != "" {
			text += ", request " + c.faults().Quote(id)
		}
	}
	return text
}

func (c *client) noCredential(p *providerError) (storefault.Meaning, string) {
	m := means(location.ErrCredential, gcerrors.Unknown,
		"give the profile a credential, or this process one that the SDK finds: environment, web identity, instance role")
	if p.role != "" {
		m.Advice = fmt.Sprintf("check that the role %q exists and that the credential may assume it", c.faults().Quote(p.role))
	}
	if api, ok := errors.AsType[smithy.APIError](p.err); ok {
		return m, c.answer(api, nil)
	}
	if isConnection(p.err) {
		return means(location.ErrUnavailable, gcerrors.Unknown, "the credential could not be fetched: check the network and the proxy"), c.faults().Plain(p.err)
	}
	return m, c.faults().Plain(p.err)
}

// isConnection tells whether no answer came, or not all of it.
func isConnection(err error) bool {
	_, unsent := errors.AsType[*smithyhttp.RequestSendError](err)
	return unsent || storefault.IsConnection(err) || errors.Is(err, io.EOF)
}
