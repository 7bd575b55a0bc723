package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/davit-project/davit/location"
)

const (
	attempts   = 8
	maxBackoff = 20 * time.Second
	// roleTime is how long an assumed role holds before it is assumed again, as Kanister does.
	roleTime = 60 * time.Minute
	// defaultRegion is what every store without regions answers to.
	defaultRegion = "us-east-1"
)

func newClient(ctx context.Context, loc *location.Location, opts *Options) (*client, error) {
	endpoint, err := loc.EndpointURL()
	if err != nil {
		return nil, err
	}
	cred, err := loc.AWS()
	if err != nil {
		return nil, err
	}
	cfg, err := sdkConfig(ctx, loc, cred, opts)
	if err != nil {
		return nil, err
	}
	regions := newRegions(loc.Bucket, cfg.Region)
	made := s3.NewFromConfig(cfg, func(o *s3.Options) {
		if endpoint != nil {
			o.BaseEndpoint = aws.String(strings.TrimSuffix(endpoint.String(), "/"))
			o.UsePathStyle = !loc.VirtualHost
		}
		o.EndpointResolverV2 = regions
		o.APIOptions = append(o.APIOptions, regions.add)
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	regions.client = made
	c := &client{s3: made, hide: hider(cred), close: func() {}}
	if d, ok := cfg.HTTPClient.(*doer); ok {
		c.close = d.close
	}
	return c, nil
}

// sdkConfig is what the SDK needs to know but the endpoint.
func sdkConfig(ctx context.Context, loc *location.Location, cred location.AWSCredential, opts *Options) (aws.Config, error) {
	transport, err := loc.Transport()
	if err != nil {
		return aws.Config{}, err
	}
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(buildable(transport)), config.WithLogger(logging.Nop{}),
		config.WithRetryer(func() aws.Retryer { return newRetryer(opts) }),
		// Stores that are not Amazon's often know nothing of the SDK's own checksums; every byte has ours, or the bucket's SHA-256.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if cred.AccessKeyID != "" {
		load = append(load, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(cred.AccessKeyID, cred.SecretAccessKey, cred.SessionToken)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("%w: the SDK's configuration, of this process's environment and files, cannot be read: %w", location.ErrProfile, err)
	}
	// The SDK may have added the certificates of AWS_CA_BUNDLE.
	if c, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		cfg.HTTPClient = newDoer(c.GetTransport(), opts.limits.orDefault().idle)
	}
	switch {
	case loc.Region != "":
		cfg.Region = loc.Region
	case cfg.Region == "":
		cfg.Region = defaultRegion
	}
	provider := cfg.Credentials
	if cred.Role != "" {
		provider = stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), cred.Role, func(o *stscreds.AssumeRoleOptions) {
			o.Duration, o.RoleSessionName = roleTime, "davit"
		})
	}
	cfg.Credentials = aws.NewCredentialsCache(&provided{provider, cred.Role})
	return cfg, nil
}

// provided marks the failures of a provider, which the SDK gives no type.
type provided struct {
	aws.CredentialsProvider
	role string
}

func (p *provided) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := p.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return c, &providerError{p.role, err}
	}
	return c, nil
}

// providerError says why there is no credential.
type providerError struct {
	role string
	err  error
}

func (e *providerError) Error() string { return e.err.Error() }
func (e *providerError) Unwrap() error { return e.err }

// hider takes the credential out of a text. The store knows it and may repeat it.
func hider(c location.AWSCredential) *strings.Replacer {
	var pairs []string
	for _, s := range []string{c.SecretAccessKey, c.SessionToken, c.AccessKeyID} {
		if s != "" {
			pairs = append(pairs, s, "[masked]")
		}
	}
	return strings.NewReplacer(pairs...)
}

// passing are errors that the SDK does not try again by itself, but that may pass: a request that was damaged on its way, and what stores say when
// they are busy.
var passing = map[string]struct{}{
	"InternalError": {}, "ServiceUnavailable": {}, "Busy": {}, "OperationAborted": {},
	"BadDigest": {}, "InvalidDigest": {}, "XAmzContentChecksumMismatch": {}, "XAmzContentSHA256Mismatch": {}, "IncompleteBody": {},
}

// newRetryer tries again for as long as it is told. The SDK's own gives up after some fifty failures of all requests together, whatever each one of them
// has had, which an hour of a busy store soon reaches.
func newRetryer(opts *Options) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = attempts, maxBackoff
		if opts.Attempts > 0 {
			o.MaxAttempts = opts.Attempts
		}
		if opts.backoff > 0 {
			o.MaxBackoff = opts.backoff
		}
		o.RateLimiter = ratelimit.None
		o.Retryables = append(append([]retry.IsErrorRetryable{untrusted{}}, o.Retryables...), retry.RetryableErrorCode{Codes: passing}, garbled{})
	})
}

// garbled has answers read again that end too early or make no sense.
type garbled struct{}

// IsErrorRetryable knows them by the SDK's type.
func (garbled) IsErrorRetryable(err error) aws.Ternary {
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// untrusted has nothing tried again that fails for the store's certificate.
type untrusted struct{}

// IsErrorRetryable knows it by its type.
func (untrusted) IsErrorRetryable(err error) aws.Ternary {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}
