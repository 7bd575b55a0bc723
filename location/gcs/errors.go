package gcs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"cloud.google.com/go/storage"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"

	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/location"
)

// attempts of a request.
const attempts = 8

// faults explains what Google answers. The SDK's errors are not wrapped: their texts repeat the addresses of uploads.
func (h *httpClient) faults() *storefault.Explainer {
	return &storefault.Explainer{Diagnose: h.diagnose, Hide: h.hide}
}

// explain says what was tried, why it failed and what to do; see storefault.Explainer.
func (h *httpClient) explain(ctx context.Context, verb string, err error) error {
	return h.faults().Explain(ctx, verb, err)
}

// means keeps the tables short.
var means = storefault.Means

var (
	noBucket = means(location.ErrNoBucket, gcerrors.Unknown, "create the bucket, or correct its name in the profile")
	unknown  = means(location.ErrCredential, gcerrors.PermissionDenied, "check the key file of the profile; it may have been revoked")
	clock    = means(location.ErrClock, gcerrors.PermissionDenied, "set this machine's clock")
)

// byReason refines statuses that have several meanings: https://cloud.google.com/storage/docs/json_api/v1/status-codes
var byReason = map[string]storefault.Meaning{
	"retentionPolicyNotMet": storefault.Locked, "objectUnderActiveHold": storefault.Locked,
	"rateLimitExceeded": storefault.Busy, "userRateLimitExceeded": storefault.Busy,
	"quotaExceeded":   means(nil, gcerrors.ResourceExhausted, "the store's quota is used up: raise it"),
	"accountDisabled": means(fs.ErrPermission, gcerrors.PermissionDenied, "the account or its billing is disabled: ask its owner"),
}

func (h *httpClient) diagnose(err error) (storefault.Meaning, string) {
	if t, ok := errors.AsType[*tokenError](err); ok {
		return h.noToken(t)
	}
	api, isAPI := errors.AsType[*googleapi.Error](err)
	switch {
	case isAPI:
		return ofAnswer(api), h.answer(api)
	case errors.Is(err, storage.ErrObjectNotExist):
		return storefault.Absent, "it has none of that name"
	case storefault.IsStranger(err):
		return storefault.Stranger, h.faults().Plain(err)
	case storefault.IsConnection(err):
		return storefault.Away, h.faults().Plain(err)
	default:
		return storefault.Meaning{}, h.faults().Plain(err)
	}
}

func ofAnswer(api *googleapi.Error) storefault.Meaning {
	for _, item := range api.Errors {
		if m, known := byReason[item.Reason]; known {
			return m
		}
	}
	switch api.Code {
	case http.StatusUnauthorized:
		return unknown
	case http.StatusConflict:
		return means(nil, gcerrors.Unknown, "another write of the object is under way")
	default:
		return storefault.OfStatus(api.Code)
	}
}

// answer is what the store says.
func (h *httpClient) answer(api *googleapi.Error) string {
	text := fmt.Sprintf("it answers with status %d", api.Code)
	if api.Message != "" {
		text += fmt.Sprintf(" (%s)", h.faults().Quote(api.Message))
	}
	return text
}

func (h *httpClient) noToken(t *tokenError) (storefault.Meaning, string) {
	status, code, description := t.refused()
	switch {
	case status == 0 && storefault.IsConnection(t.err):
		return means(location.ErrUnavailable, gcerrors.Unknown, "check the network and the proxy; it was tried several times"),
			"the token for the credential could not be fetched: " + h.faults().Plain(t.err)
	case status == 0:
		return unknown, "there is no token for the credential"
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return storefault.Busy, fmt.Sprintf("the token for the credential could not be fetched, status %d", status)
	case strings.Contains(description, "reasonable timeframe"): // of the signature's dates; there is no code for it
		return clock, "the token for the credential is refused: " + h.faults().Quote(description)
	default:
		return unknown, strings.TrimSpace(fmt.Sprintf("the token for the credential is refused, status %d %s %s", status,
			h.faults().Quote(code), h.faults().Quote(description)))
	}
}

// mayPass tells whether to try again.
func mayPass(err error) bool {
	if errors.Is(err, context.Canceled) || storefault.IsStranger(err) {
		return false
	}
	if t, ok := errors.AsType[*tokenError](err); ok {
		status, _, _ := t.refused()
		return status == 0 && storefault.IsConnection(t.err) || status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
	}
	if api, ok := errors.AsType[*googleapi.Error](err); ok {
		return errors.Is(ofAnswer(api).Kind, location.ErrUnavailable)
	}
	return storefault.IsConnection(err)
}
