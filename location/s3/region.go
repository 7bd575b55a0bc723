package s3

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	endpoints "github.com/aws/smithy-go/endpoints"
	"github.com/aws/smithy-go/middleware"
)

// regions is the region of the bucket. It begins as the one that was given and follows what the store says of it, so that a profile with none, or with
// a wrong one, works as it does with Kanister.
type regions struct {
	bucket string
	now    atomic.Pointer[string]
	client *s3.Client
}

var _ s3.EndpointResolverV2 = (*regions)(nil)

func newRegions(bucket, first string) *regions {
	r := &regions{bucket: bucket}
	r.now.Store(&first)
	return r
}

// ResolveEndpoint is the SDK's with the present region, which is also that of the signature.
func (r *regions) ResolveEndpoint(ctx context.Context, params s3.EndpointParameters) (endpoints.Endpoint, error) {
	params.Region = r.now.Load()
	return s3.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, params)
}

// add puts r into every attempt of a request.
func (r *regions) add(stack *middleware.Stack) error {
	return stack.Finalize.Insert(r, "Retry", middleware.After)
}

// ID names the middleware.
func (r *regions) ID() string { return "DavitRegion" }

// HandleFinalize learns the region from a refusal and has the request tried again.
func (r *regions) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	used := *r.now.Load()
	out, meta, err := next.HandleFinalize(ctx, in)
	if err == nil || ctx.Value(asking{}) != nil {
		return out, meta, err
	}
	found, suspicious := regionIn(err)
	if suspicious && found == "" {
		found = r.ask(ctx)
	}
	if found == "" || found == used {
		return out, meta, err
	}
	r.now.Store(&found)
	return out, meta, &moved{err}
}

// moved is a request that was sent to or signed for the wrong region.
type moved struct{ error }

func (m *moved) Unwrap() error { return m.error }

// RetryableError makes the SDK try again.
func (m *moved) RetryableError() bool { return true }

var expecting = regexp.MustCompile(`expecting '([a-z0-9-]{1,40})'`)

// regionIn is the region that a refusal names. A refusal that names none but may be due to the region is suspicious.
func regionIn(err error) (region string, suspicious bool) {
	resp, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || resp.Response == nil {
		return "", false
	}
	status := resp.HTTPStatusCode()
	if status != http.StatusMovedPermanently && status != http.StatusTemporaryRedirect && status != http.StatusBadRequest {
		return "", false
	}
	code := ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
		// The text is the only place where stores other than Amazon's name it.
		if m := expecting.FindStringSubmatch(api.ErrorMessage()); code == "AuthorizationHeaderMalformed" && m != nil {
			return m[1], true
		}
	}
	if h := resp.Response.Header.Get("X-Amz-Bucket-Region"); h != "" {
		return h, true
	}
	head := resp.Response.Request != nil && resp.Response.Request.Method == http.MethodHead
	return "", status != http.StatusBadRequest || head || code == "AuthorizationHeaderMalformed"
}

// asking marks the context of r's own question.
type asking struct{}

// ask asks the store. No answer is an empty text: then what was refused stays refused.
func (r *regions) ask(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, asking{}, true), 10*time.Second)
	defer cancel()
	first := defaultRegion
	out, err := r.client.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &r.bucket}, func(o *s3.Options) {
		o.EndpointResolverV2 = newRegions(r.bucket, first)
		o.Retryer = aws.NopRetryer{}
	})
	switch {
	case err != nil:
		found, _ := regionIn(err)
		return found
	case out.LocationConstraint == "":
		return defaultRegion
	case out.LocationConstraint == "EU": // what Amazon calls eu-west-1 for buckets of its first years
		return "eu-west-1"
	default:
		return string(out.LocationConstraint)
	}
}
