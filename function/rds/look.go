package rds

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// isAurora tells of the engines whose databases are clusters.
func isAurora(engine string) bool {
	switch strings.ToLower(engine) {
	case "aurora", "aurora-mysql", "aurora-postgresql":
		return true
	}
	return false
}

// instance returns the instance, or nil if there is none.
func (s *session) instance(ctx context.Context, id string) (*types.DBInstance, error) {
	out, err := ask(ctx, s, s.client.DescribeDBInstances, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &id})
	switch {
	case isNotFound(err) || err == nil && len(out.DBInstances) == 0:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &out.DBInstances[0], nil
}

func (s *session) awaitInstance(ctx context.Context, id string, gone bool) error {
	return s.awaitInstanceFor(ctx, id, s.Waits.Instance, gone)
}

func (s *session) awaitInstanceFor(ctx context.Context, id string, limit time.Duration, gone bool) error {
	return s.await(ctx, wait{what: "RDS instance " + id, limit: limit, gone: gone, look: func(ctx context.Context) (sight, error) {
		i, err := s.instance(ctx, id)
		if err != nil || i == nil {
			return sight{}, err
		}
		return sight{found: true, status: aws.ToString(i.DBInstanceStatus)}, nil
	}})
}

// cluster returns the cluster, or nil if there is none.
func (s *session) cluster(ctx context.Context, id string) (*types.DBCluster, error) {
	out, err := ask(ctx, s, s.client.DescribeDBClusters, &rds.DescribeDBClustersInput{DBClusterIdentifier: &id})
	switch {
	case isNotFound(err) || err == nil && len(out.DBClusters) == 0:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &out.DBClusters[0], nil
}

func (s *session) awaitCluster(ctx context.Context, id string, gone bool) error {
	return s.await(ctx, wait{what: "RDS cluster " + id, limit: s.Waits.Cluster, gone: gone, look: func(ctx context.Context) (sight, error) {
		c, err := s.cluster(ctx, id)
		if err != nil || c == nil {
			return sight{}, err
		}
		return sight{true, aws.ToString(c.Status), percent(c.PercentProgress)}, nil
	}})
}

func percent(p *string) string {
	if aws.ToString(p) == "" {
		return ""
	}
	return strings.TrimSuffix(*p, "%") + " %"
}

// snapshot is one of an instance or of a cluster.
type snapshot struct {
	id, arn, status, engine, version, kind, of string
	mode                                       string
	encrypted                                  bool
	storage                                    int32
	progress                                   *int32
	tags                                       []types.Tag
}

// snapshotRef names a snapshot, which is one of a cluster or one of an instance.
type snapshotRef struct {
	id      string
	cluster bool
}

func (r snapshotRef) String() string {
	if r.cluster {
		return "RDS cluster snapshot " + r.id
	}
	return "RDS snapshot " + r.id
}

// shared is set to look at snapshots of other accounts, which are named by their ARN.
func (r snapshotRef) shared() *bool { return aws.Bool(strings.HasPrefix(r.id, "arn:")) }

// snapshot returns the snapshot, or nil if there is none.
func (s *session) snapshot(ctx context.Context, ref snapshotRef) (*snapshot, error) {
	if ref.cluster {
		out, err := ask(ctx, s, s.client.DescribeDBClusterSnapshots,
			&rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: &ref.id, IncludeShared: ref.shared()})
		switch {
		case isNotFound(err) || err == nil && len(out.DBClusterSnapshots) == 0:
			return nil, nil
		case err != nil:
			return nil, err
		}
		c := out.DBClusterSnapshots[0]
		return &snapshot{id: ref.id, arn: aws.ToString(c.DBClusterSnapshotArn), status: aws.ToString(c.Status), engine: aws.ToString(c.Engine),
			version: aws.ToString(c.EngineVersion), kind: aws.ToString(c.SnapshotType), of: aws.ToString(c.DBClusterIdentifier), mode: aws.ToString(c.EngineMode), encrypted: aws.ToBool(c.StorageEncrypted),
			progress: c.PercentProgress, tags: c.TagList}, nil
	}
	out, err := ask(ctx, s, s.client.DescribeDBSnapshots, &rds.DescribeDBSnapshotsInput{DBSnapshotIdentifier: &ref.id, IncludeShared: ref.shared()})
	switch {
	case isNotFound(err) || err == nil && len(out.DBSnapshots) == 0:
		return nil, nil
	case err != nil:
		return nil, err
	}
	d := out.DBSnapshots[0]
	return &snapshot{id: ref.id, arn: aws.ToString(d.DBSnapshotArn), status: aws.ToString(d.Status), engine: aws.ToString(d.Engine),
		version: aws.ToString(d.EngineVersion), kind: aws.ToString(d.SnapshotType), of: aws.ToString(d.DBInstanceIdentifier), storage: aws.ToInt32(d.AllocatedStorage), encrypted: aws.ToBool(d.Encrypted),
		progress: d.PercentProgress, tags: d.TagList}, nil
}

// snapshotLimit is how long RDS may take for a step with the snapshot.
func (s *session) snapshotLimit(ref snapshotRef) time.Duration {
	if ref.cluster {
		return s.Waits.Cluster
	}
	return s.Waits.Snapshot
}

func (s *session) awaitSnapshot(ctx context.Context, ref snapshotRef, gone bool) error {
	return s.await(ctx, wait{what: ref.String(), limit: s.snapshotLimit(ref), gone: gone, look: func(ctx context.Context) (sight, error) {
		snap, err := s.snapshot(ctx, ref)
		if err != nil || snap == nil {
			return sight{}, err
		}
		now := sight{found: true, status: snap.status}
		if snap.progress != nil {
			now.detail = strconv.Itoa(int(*snap.progress)) + " %"
		}
		return now, nil
	}})
}

// groupsOf are the security groups of an instance or a cluster.
func groupsOf(all []types.VpcSecurityGroupMembership) []string {
	var groups []string
	for _, g := range all {
		if g.VpcSecurityGroupId != nil {
			groups = append(groups, *g.VpcSecurityGroupId)
		}
	}
	return groups
}

// formerInstance is what a replacement of the instance needs to know.
func formerInstance(i *types.DBInstance) former {
	return former{groups: groupsOf(i.VpcSecurityGroups), public: i.PubliclyAccessible, subnets: subnetGroupOf(i), settings: settingsOf(i), tags: ownTags(i.TagList)}
}

// formerCluster is what a replacement of the cluster needs to know.
func (s *session) formerCluster(ctx context.Context, c *types.DBCluster) (former, error) {
	f := former{groups: groupsOf(c.VpcSecurityGroups), subnets: aws.ToString(c.DBSubnetGroup), settings: clusterSettingsOf(c), tags: ownTags(c.TagList)}
	if v2 := c.ServerlessV2ScalingConfiguration; v2 != nil && v2.MinCapacity != nil && v2.MaxCapacity != nil {
		f.scaling = []string{strconv.FormatFloat(*v2.MinCapacity, 'f', -1, 64), strconv.FormatFloat(*v2.MaxCapacity, 'f', -1, 64)}
	}
	for _, m := range c.DBClusterMembers {
		i, err := s.instance(ctx, aws.ToString(m.DBInstanceIdentifier))
		if err != nil {
			return former{}, err
		}
		if i == nil {
			continue
		}
		one := member{id: aws.ToString(m.DBInstanceIdentifier), class: aws.ToString(i.DBInstanceClass), tier: aws.ToInt32(m.PromotionTier),
			public: aws.ToBool(i.PubliclyAccessible), settings: memberSettings(i), tags: ownTags(i.TagList)}
		if aws.ToBool(m.IsClusterWriter) {
			f.members = append([]member{one}, f.members...) // the first one that is made becomes the writer
			continue
		}
		f.members = append(f.members, one)
	}
	return f, nil
}
