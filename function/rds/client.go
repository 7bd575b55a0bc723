package rds

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

const (
	// attempts of one request, as in Kanister.
	attempts = 10
	// maxBackoff is the longest wait between two of them.
	maxBackoff = 20 * time.Second
	// roleTime is how long an assumed role holds before it is assumed again.
	roleTime = 60 * time.Minute
)

// Client is what the functions ask of RDS: the part of the SDK's client that they use. It tries again by itself what was throttled.
type Client interface {
	DescribeDBInstances(context.Context, *rds.DescribeDBInstancesInput, ...func(*rds.Options)) (*rds.DescribeDBInstancesOutput, error)
	DescribeDBClusters(context.Context, *rds.DescribeDBClustersInput, ...func(*rds.Options)) (*rds.DescribeDBClustersOutput, error)
	DescribeDBSnapshots(context.Context, *rds.DescribeDBSnapshotsInput, ...func(*rds.Options)) (*rds.DescribeDBSnapshotsOutput, error)
	DescribeDBClusterSnapshots(context.Context, *rds.DescribeDBClusterSnapshotsInput, ...func(*rds.Options)) (*rds.DescribeDBClusterSnapshotsOutput, error)
	DescribeDBParameterGroups(context.Context, *rds.DescribeDBParameterGroupsInput, ...func(*rds.Options)) (*rds.DescribeDBParameterGroupsOutput, error)
	DescribeDBClusterParameterGroups(context.Context, *rds.DescribeDBClusterParameterGroupsInput, ...func(*rds.Options)) (*rds.DescribeDBClusterParameterGroupsOutput, error)
	DescribeOptionGroups(context.Context, *rds.DescribeOptionGroupsInput, ...func(*rds.Options)) (*rds.DescribeOptionGroupsOutput, error)
	DescribeDBSubnetGroups(context.Context, *rds.DescribeDBSubnetGroupsInput, ...func(*rds.Options)) (*rds.DescribeDBSubnetGroupsOutput, error)

	CreateDBSnapshot(context.Context, *rds.CreateDBSnapshotInput, ...func(*rds.Options)) (*rds.CreateDBSnapshotOutput, error)
	CreateDBClusterSnapshot(context.Context, *rds.CreateDBClusterSnapshotInput, ...func(*rds.Options)) (*rds.CreateDBClusterSnapshotOutput, error)
	DeleteDBSnapshot(context.Context, *rds.DeleteDBSnapshotInput, ...func(*rds.Options)) (*rds.DeleteDBSnapshotOutput, error)
	DeleteDBClusterSnapshot(context.Context, *rds.DeleteDBClusterSnapshotInput, ...func(*rds.Options)) (*rds.DeleteDBClusterSnapshotOutput, error)

	RestoreDBInstanceFromDBSnapshot(context.Context, *rds.RestoreDBInstanceFromDBSnapshotInput, ...func(*rds.Options)) (*rds.RestoreDBInstanceFromDBSnapshotOutput, error)
	RestoreDBClusterFromSnapshot(context.Context, *rds.RestoreDBClusterFromSnapshotInput, ...func(*rds.Options)) (*rds.RestoreDBClusterFromSnapshotOutput, error)
	CreateDBInstance(context.Context, *rds.CreateDBInstanceInput, ...func(*rds.Options)) (*rds.CreateDBInstanceOutput, error)
	ModifyDBInstance(context.Context, *rds.ModifyDBInstanceInput, ...func(*rds.Options)) (*rds.ModifyDBInstanceOutput, error)
	ModifyDBCluster(context.Context, *rds.ModifyDBClusterInput, ...func(*rds.Options)) (*rds.ModifyDBClusterOutput, error)
	DeleteDBInstance(context.Context, *rds.DeleteDBInstanceInput, ...func(*rds.Options)) (*rds.DeleteDBInstanceOutput, error)
	DeleteDBCluster(context.Context, *rds.DeleteDBClusterInput, ...func(*rds.Options)) (*rds.DeleteDBClusterOutput, error)

	AddTagsToResource(context.Context, *rds.AddTagsToResourceInput, ...func(*rds.Options)) (*rds.AddTagsToResourceOutput, error)
	RemoveTagsFromResource(context.Context, *rds.RemoveTagsFromResourceInput, ...func(*rds.Options)) (*rds.RemoveTagsFromResourceOutput, error)
}

var _ Client = (*rds.Client)(nil)

// ClientOptions change what NewClient makes. Nil and zero are ready to use.
type ClientOptions struct {
	// Endpoint is the address of RDS and STS, such as http://127.0.0.1:5000. Default that of the SDK: the region's, or what AWS_ENDPOINT_URL says.
	Endpoint string
	// HTTPClient sends the requests. Default the SDK's.
	HTTPClient *http.Client
	// MaxBackoff is the longest wait between two attempts of a request. Default 20 seconds.
	MaxBackoff time.Duration
}

// NewClient makes the SDK's client. What the access leaves open, the identity above all, is found as the SDK finds it: in the environment, the shared
// files, the web identity of a pod, the instance. A request that is throttled or gets no answer is sent up to ten times.
func NewClient(ctx context.Context, access Access, opts *ClientOptions) (Client, error) {
	if opts == nil {
		opts = &ClientOptions{}
	}
	cfg, err := sdkConfig(ctx, access, opts)
	if err != nil {
		return nil, err
	}
	return rds.NewFromConfig(cfg), nil
}

func sdkConfig(ctx context.Context, access Access, opts *ClientOptions) (aws.Config, error) {
	load := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}), config.WithRetryer(func() aws.Retryer { return newRetryer(opts) }),
	}
	if access.Region != "" {
		load = append(load, config.WithRegion(access.Region))
	}
	if access.AccessKeyID != "" {
		load = append(load, config.WithCredentialsProvider(awscredentials.NewStaticCredentialsProvider(
			access.AccessKeyID, access.SecretAccessKey.Reveal(), access.SessionToken.Reveal())))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("the AWS configuration of this process's environment and files cannot be read: %w", err)
	}
	if opts.HTTPClient != nil { // not given to the SDK above: it wants to add the certificates of AWS_CA_BUNDLE
		cfg.HTTPClient = opts.HTTPClient
	}
	if cfg.Region == "" {
		return aws.Config{}, wrong("no AWS region is known: give argument region, or a profile or an environment (AWS_REGION) that has one")
	}
	if opts.Endpoint != "" {
		cfg.BaseEndpoint = aws.String(opts.Endpoint)
	}
	if access.Role != "" {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), access.Role, func(o *stscreds.AssumeRoleOptions) {
			o.Duration, o.RoleSessionName = roleTime, "davit"
		}))
	}
	return cfg, nil
}

// newRetryer tries again what was throttled or failed on its way. The SDK's own gives up after some fifty failures of all requests together, which a busy account
// soon reaches.
func newRetryer(opts *ClientOptions) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = attempts, maxBackoff
		if opts.MaxBackoff > 0 {
			o.MaxBackoff = opts.MaxBackoff
		}
		o.RateLimiter = ratelimit.None
	})
}
