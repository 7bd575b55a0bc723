package azure

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/location"
)

// faults explains what Azure answers. The SDK's errors are not wrapped: their texts hold addresses and answers.
func (s *store) faults() *storefault.Explainer {
	return &storefault.Explainer{Diagnose: s.diagnose, Hide: s.secrets.hide}
}

// explain says what was tried, why it failed and what to do; see storefault.Explainer.
func (s *store) explain(ctx context.Context, verb string, err error) error {
	return s.faults().Explain(ctx, verb, err)
}

// means keeps the tables short.
var means = storefault.Means

var (
	away     = means(location.ErrUnavailable, gcerrors.Unknown, "check the account, the endpoint, the network and the proxy; it was tried several times")
	noBucket = means(location.ErrNoBucket, gcerrors.Unknown, "create the container, or correct its name in the profile")
	locked   = means(location.ErrExists, gcerrors.FailedPrecondition, "the object is locked: it can be deleted or replaced when its lease, hold or retention ends")
	unknown  = means(location.ErrCredential, gcerrors.PermissionDenied, "check the account and its key, signature or service principal in the profile")
	expired  = means(location.ErrCredential, gcerrors.PermissionDenied, "the shared access signature has expired: get a new one")
	clock    = means(location.ErrClock, gcerrors.PermissionDenied, "set this machine's clock")
	replaced = means(nil, gcerrors.Unknown, "another write of the object was committed meanwhile: try again")
	archived = means(nil, gcerrors.InvalidArgument, "the object is in the archive: rehydrate it first")
	mixed    = means(nil, gcerrors.InvalidArgument,
		"another program has left blocks of the object behind, or it is no block blob: use another path, or wait a week until Azure discards them")
	damaged = means(location.ErrCorrupt, gcerrors.Unknown, "what was sent has arrived damaged: try again")
)

var meanings = map[bloberror.Code]storefault.Meaning{
	bloberror.ContainerNotFound: noBucket, bloberror.ContainerBeingDeleted: noBucket, bloberror.ContainerDisabled: noBucket,
	bloberror.BlobNotFound: storefault.Absent, bloberror.ResourceNotFound: storefault.Absent,
	bloberror.AuthenticationFailed: unknown, bloberror.InvalidAuthenticationInfo: unknown, bloberror.NoAuthenticationInformation: unknown,
	bloberror.AuthorizationFailure: storefault.Denied, bloberror.AuthorizationPermissionMismatch: storefault.Denied,
	bloberror.AuthorizationResourceTypeMismatch: storefault.Denied, bloberror.AuthorizationServiceMismatch: storefault.Denied,
	bloberror.InsufficientAccountPermissions: storefault.Denied,
	bloberror.AuthorizationSourceIPMismatch:  means(fs.ErrPermission, gcerrors.PermissionDenied, "the signature or the account's network rules leave this address out"),
	bloberror.AuthorizationProtocolMismatch:  means(fs.ErrPermission, gcerrors.PermissionDenied, "the signature is for https alone"),
	bloberror.AccountIsDisabled:              means(fs.ErrPermission, gcerrors.PermissionDenied, "the storage account is disabled: ask its owner"),
	"KeyBasedAuthenticationNotPermitted":     means(fs.ErrPermission, gcerrors.PermissionDenied, "the account takes no keys: use a service principal or an identity"),
	bloberror.BlobAlreadyExists:              storefault.Exists, bloberror.ConditionNotMet: storefault.Exists, bloberror.TargetConditionNotMet: storefault.Exists,
	bloberror.BlobImmutableDueToPolicy: locked, bloberror.LeaseIDMissing: locked, bloberror.SnapshotsPresent: means(location.ErrExists, gcerrors.FailedPrecondition,
		"the object has snapshots: delete them first"),
	bloberror.InvalidBlockList: replaced, bloberror.InvalidBlobOrBlock: mixed, bloberror.InvalidBlobType: mixed,
	bloberror.BlobArchived: archived, bloberror.BlobBeingRehydrated: archived,
	bloberror.MD5Mismatch: damaged, bloberror.CRC64Mismatch: damaged,
	bloberror.ServerBusy: storefault.Busy, bloberror.InternalError: storefault.Busy, bloberror.OperationTimedOut: storefault.Busy,
}

func (s *store) diagnose(err error) (storefault.Meaning, string) {
	if c, ok := errors.AsType[*credentialError](err); ok {
		return s.noCredential(c.err)
	}
	if api, ok := errors.AsType[*azcore.ResponseError](err); ok {
		m := ofAnswer(api)
		if m.Code == gcerrors.PermissionDenied && s.hasExpired() {
			m = expired
		}
		return m, s.answer(api)
	}
	if storefault.IsStranger(err) {
		return storefault.Stranger, s.faults().Plain(err)
	}
	if isConnection(err) {
		return away, s.faults().Plain(err)
	}
	return storefault.Meaning{}, s.faults().Plain(err)
}

func ofAnswer(api *azcore.ResponseError) storefault.Meaning {
	m, known := meanings[bloberror.Code(api.ErrorCode)]
	switch {
	case !known && api.StatusCode == http.StatusUnauthorized:
		m = unknown
	case !known:
		m = storefault.OfStatus(api.StatusCode)
	}
	if errors.Is(m.Kind, location.ErrCredential) && isSkewed(api.RawResponse) {
		return clock
	}
	return m
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
func (s *store) answer(api *azcore.ResponseError) string {
	text := fmt.Sprintf("it answers with status %d", api.StatusCode)
	if api.ErrorCode != "" {
		text += " " + s.faults().Quote(api.ErrorCode)
	}
	if api.RawResponse == nil {
		return text
	}
	body, err := runtime.Payload(api.RawResponse)
	var said struct{ Message string }
	if err == nil && xml.Unmarshal(body, &said) == nil && said.Message != "" {
		first, _, _ := strings.Cut(said.Message, "\n")
		text += fmt.Sprintf(" (%s)", s.faults().Quote(first))
	}
	return text
}

// noCredential says why there is nothing to send a request with.
func (s *store) noCredential(err error) (storefault.Meaning, string) {
	refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if !ok || refused.RawResponse == nil {
		if isConnection(err) {
			return away, "the token for the credential could not be fetched: " + s.faults().Plain(err)
		}
		return unknown, s.faults().Quote(strings.Join(strings.Fields(err.Error()), " "))
	}
	status := refused.RawResponse.StatusCode
	if status == http.StatusTooManyRequests || status >= http.StatusInternalServerError {
		return storefault.Busy, fmt.Sprintf("the token for the credential could not be fetched, status %d", status)
	}
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if body, err := runtime.Payload(refused.RawResponse); err == nil {
		_ = json.Unmarshal(body, &said) // what is no JSON says nothing
	}
	first, _, _ := strings.Cut(said.Description, "\n")
	return unknown, strings.TrimSpace(fmt.Sprintf("the token for the credential is refused, status %d %s %s", status,
		s.faults().Quote(said.Error), s.faults().Quote(strings.TrimSpace(first))))
}

// isConnection tells whether no answer came, or not all of it.
func isConnection(err error) bool { return storefault.IsConnection(err) || errors.Is(err, io.EOF) }
