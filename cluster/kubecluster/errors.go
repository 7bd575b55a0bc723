package kubecluster

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/apifault"
)

// apiError says which request failed and why, in the server's words, and wraps the error of package cluster that fits: ErrNotFound, ErrDenied for a
// refusal by the authorizer, ErrExists, and ErrInvalid for what the server refuses for good, be it by validation or by admission. What may
// succeed later, such as a conflict, a full quota or a connection that failed, wraps none of them. A nil error stays nil.
func apiError(verb string, ref cluster.Ref, err error) error {
	if err == nil {
		return nil
	}
	if kind := classify(err); kind != nil {
		return fmt.Errorf("%s %s: %w: %w", verb, ref, kind, err)
	}
	return fmt.Errorf("%s %s: %w", verb, ref, err)
}

// requestError is apiError for a request whose context may have ended: its cause is what went wrong then.
func requestError(ctx context.Context, verb string, ref cluster.Ref, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", verb, ref, context.Cause(ctx))
	}
	return apiError(verb, ref, err)
}

// classify finds the error of package cluster that fits an answer of the server; nil for none.
func classify(err error) error {
	switch apifault.Of(err) {
	case apifault.NotFound:
		return cluster.ErrNotFound
	case apifault.Exists:
		return cluster.ErrExists
	case apifault.Denied:
		return cluster.ErrDenied
	case apifault.UnknownPath, apifault.Refused:
		return cluster.ErrInvalid
	default:
		return nil
	}
}
