package rds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/smithy-go"

	"github.com/davit-project/davit/function"
)

// answerError is what RDS said. Its text is made anew, because that of the SDK may hold parts of the request.
type answerError struct {
	text string
	err  error
}

func (e *answerError) Error() string { return e.text }
func (e *answerError) Unwrap() error { return e.err }

// ask sends a request and makes the error readable. A context that has ended is told by its cause.
func ask[I, O any](ctx context.Context, s *session, send func(context.Context, *I, ...func(*rds.Options)) (*O, error), in *I) (*O, error) {
	out, err := send(ctx, in)
	switch {
	case err == nil && out == nil:
		return nil, errors.New("RDS gave an empty answer")
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		return nil, s.answer("RDS", err)
	}
}

// answer makes an error of one of the SDK. What trying again cannot mend becomes permanent.
func (s *session) answer(what string, err error) error {
	var op *smithy.OperationError
	if errors.As(err, &op) {
		what = op.Service() + " " + op.Operation()
	}
	text := err.Error()
	var api smithy.APIError
	if errors.As(err, &api) {
		text = api.ErrorCode() + ": " + api.ErrorMessage()
	}
	out := error(&answerError{what + ": " + s.call.Mask(s.hide.Replace(text)), err})
	if function.IsPermanent(err) || api != nil && lasting(api.ErrorCode()) {
		return function.Permanent(out)
	}
	return out
}

// lasting tells of the codes that no second attempt changes.
func lasting(code string) bool {
	return notFound(code) || strings.Contains(code, "AlreadyExists") || strings.HasPrefix(code, "InvalidParameter") ||
		slices.Contains([]string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "InvalidClientTokenId", "UnrecognizedClientException",
			"SignatureDoesNotMatch", "ValidationError", "MalformedQueryString", "InvalidVPCNetworkStateFault"}, code)
}

func notFound(code string) bool { return strings.Contains(code, "NotFound") }

// codeOf returns the code of an answer; empty for any other error.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func isNotFound(err error) bool { return notFound(codeOf(err)) }

func isTaken(err error) bool { return strings.Contains(codeOf(err), "AlreadyExists") }

// isBusy tells of an object whose state does not allow what was asked just now.
func isBusy(err error) bool {
	code := codeOf(err)
	return strings.HasPrefix(code, "InvalidDB") && strings.Contains(code, "State")
}

// passing are the SDK's own marks of errors that another request may not meet: throttling, faults of the server and of the connection.
var passing = retry.IsErrorRetryables(retry.DefaultRetryables)

func isPassing(err error) bool {
	return passing.IsErrorRetryable(err) == aws.TrueTernary
}

// left says what could not be removed. It does not wrap what stopped the phase: the host says that, and this beside it.
type left struct{ things []string }

func (l *left) Error() string {
	return "left behind, remove by hand: " + strings.Join(l.things, "; ")
}

// leave is an error for one thing that is left.
func leave(format string, args ...any) error { return &left{[]string{fmt.Sprintf(format, args...)}} }

// leftOf makes one error of what several clean-ups leave.
func leftOf(errs ...error) error {
	var all left
	for _, err := range errs {
		var l *left
		switch {
		case errors.As(err, &l):
			all.things = append(all.things, l.things...)
		case err != nil:
			all.things = append(all.things, err.Error())
		}
	}
	if len(all.things) == 0 {
		return nil
	}
	return &all
}

// stopped is the error of a call whose phase was stopped or failed: the cause alone where nothing is left behind.
func stopped(ctx context.Context, err, cleanUp error) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil && cleanUp == nil:
		return err
	case cause == nil:
		return fmt.Errorf("%w; %w", err, cleanUp)
	case cleanUp != nil && errors.Is(err, cause):
		return cleanUp
	case cleanUp != nil:
		return fmt.Errorf("%w; %w", cleanUp, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return cause
	}
	return err
}
