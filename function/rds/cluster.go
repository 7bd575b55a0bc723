package rds

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// memberClass is the class of a cluster's instance where there was none before, as in Kanister.
const memberClass = "db.r5.large"

// memberTier is RDS's own default of the order in which instances take over from the one that writes.
const memberTier = 1

// restoreCluster goes on from whatever an earlier attempt has come to: members deleted, cluster deleted, restored, members made.
func (r *restoring) restoreCluster(ctx context.Context) error {
	c, err := r.cluster(ctx, r.id)
	if err != nil {
		return err
	}
	restored := false
	if c != nil && r.ours(c.TagList) {
		r.deleted = true
		status := aws.ToString(c.Status)
		restored = !broken(status) && status != "deleting"
	}
	if err := r.planCluster(ctx, c, restored); err != nil {
		return err
	}
	if !restored {
		if err := r.replaceCluster(ctx, c); err != nil {
			return err
		}
	}
	if err := r.awaitCluster(ctx, r.id, false); err != nil {
		return err
	}
	for _, m := range r.was.members {
		if err := r.orderMember(ctx, m); err != nil {
			return err
		}
	}
	for _, m := range r.was.members {
		if err := r.awaitMember(ctx, m.id, false); err != nil {
			return err
		}
		if err := r.settleInstance(ctx, m.id, r.Waits.Cluster, m.settings); err != nil {
			return err
		}
	}
	return r.settleCluster(ctx)
}

func (r *restoring) replaceCluster(ctx context.Context, c *types.DBCluster) error {
	r.deleted = true
	if c != nil {
		if err := r.removeCluster(ctx, c); err != nil {
			return err
		}
	}
	return r.orderCluster(ctx)
}

// planCluster checks all that can be checked, and notes what is not known any more once the cluster is deleted.
func (r *restoring) planCluster(ctx context.Context, c *types.DBCluster, restored bool) error {
	network, noted := "", r.recall()
	old := c != nil && !r.ours(c.TagList)
	if old {
		if err := r.checkCluster(c); err != nil {
			return err
		}
		now, err := r.formerCluster(ctx, c)
		if err != nil {
			return err
		}
		if !noted {
			r.was = r.unfinished(true, c.TagList, now)
		}
		if err := r.checkShared(ctx, aws.ToString(c.DBClusterArn)); err != nil {
			return err
		}
		if len(r.in.SecurityGroupID) == 0 || slices.ContainsFunc(now.groups, func(g string) bool { return slices.Contains(r.in.SecurityGroupID, g) }) {
			if network, err = r.networkOf(ctx, aws.ToString(c.DBSubnetGroup)); err != nil {
				network = "" // it is only for a check
			}
		}
		r.warnOfReplicas(ctx, c.ReadReplicaIdentifiers, aws.ToString(c.ReplicationSourceIdentifier))
	} else if !noted && !restored {
		r.was = r.unfinished(false, nil, recorded(r.snap.tags))
	}
	if restored && !noted { // the note goes when all members are there
		for _, m := range c.DBClusterMembers {
			r.was.members = append(r.was.members, member{id: aws.ToString(m.DBInstanceIdentifier)})
		}
	}
	if len(r.was.members) == 0 {
		r.was.members = recorded(r.snap.tags).members
	}
	if len(r.was.members) == 0 {
		r.was.members = []member{{id: firstMember(r.id), class: memberClass, tier: memberTier}}
	}
	if restored {
		r.in.DBSubnetGroup = cmp.Or(r.in.DBSubnetGroup, aws.ToString(c.DBSubnetGroup), "default")
		return nil
	}
	if err := r.checkMembers(ctx); err != nil {
		return err
	}
	return r.choose(ctx, network, noted, old)
}

// firstMember is the identifier of a member where nothing is known of any, as in Kanister.
func firstMember(cluster string) string {
	const suffix = "-instance-1"
	return strings.TrimRight(cluster[:min(len(cluster), idSize-len(suffix))], "-") + suffix
}

// checkCluster wants a cluster that can be replaced by the snapshot.
func (r *restoring) checkCluster(c *types.DBCluster) error {
	switch {
	case idle(aws.ToString(c.Status)):
		return fmt.Errorf("%s: %w: it is %q, and RDS deletes no such cluster: start it first; nothing was touched", r.what(), ErrState, aws.ToString(c.Status))
	case aws.ToBool(c.DeletionProtection):
		return wrong("%s is protected from deletion, and a restore deletes it: lift the protection if you mean it; nothing was touched", r.what())
	case aws.ToString(c.GlobalClusterIdentifier) != "":
		return wrong("%s is part of the global database %s: take it out first; nothing was touched", r.what(), *c.GlobalClusterIdentifier)
	case !sameEngine(aws.ToString(c.Engine), r.snap.engine):
		return wrong("%s is of engine %q, %s of %q: nothing was touched", r.what(), aws.ToString(c.Engine), r.ref, r.snap.engine)
	}
	return nil
}

// checkMembers wants the identifiers of the members to be free, or those of the cluster's own.
func (r *restoring) checkMembers(ctx context.Context) error {
	for _, m := range r.was.members {
		i, err := r.instance(ctx, m.id)
		if err != nil {
			return err
		}
		if i != nil && aws.ToString(i.DBClusterIdentifier) != r.id {
			return wrong("RDS instance %s is no member of %s, which is to have one of this name: nothing was touched", m.id, r.what())
		}
		if i != nil && aws.ToBool(i.DeletionProtection) {
			return wrong("RDS instance %s is protected from deletion, and a restore of its cluster deletes it: nothing was touched", m.id)
		}
	}
	return nil
}

// removeCluster deletes a cluster with its members, without a last snapshot, and waits until it is gone.
func (r *restoring) removeCluster(ctx context.Context, c *types.DBCluster) error {
	if aws.ToString(c.Status) != "deleting" {
		if err := r.removeMembers(ctx, c); err != nil {
			return err
		}
		err := r.whenReady(ctx, r.what(), r.Waits.Cluster, func() error {
			err := r.keepingBackups(ctx, r.what(), aws.Bool(false), func(drop *bool) error {
				_, err := ask(ctx, r.session, r.client.DeleteDBCluster, &rds.DeleteDBClusterInput{
					DBClusterIdentifier: &r.id, SkipFinalSnapshot: aws.Bool(true), DeleteAutomatedBackups: drop})
				return err
			})
			if isNotFound(err) {
				return nil
			}
			if isBusy(err) { // it may be because it is being deleted
				if now, see := r.cluster(ctx, r.id); see == nil && (now == nil || aws.ToString(now.Status) == "deleting") {
					return nil
				}
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("delete %s: %w", r.what(), err)
		}
	}
	return r.awaitCluster(ctx, r.id, true)
}

// removeMembers deletes all members, the writer last, and waits until they are gone: before, RDS does not delete the cluster.
func (r *restoring) removeMembers(ctx context.Context, c *types.DBCluster) error {
	members := slices.Clone(c.DBClusterMembers)
	slices.SortStableFunc(members, func(a, b types.DBClusterMember) int {
		return cmp.Compare(btoi(aws.ToBool(a.IsClusterWriter)), btoi(aws.ToBool(b.IsClusterWriter)))
	})
	for _, m := range members {
		i, err := r.instance(ctx, aws.ToString(m.DBInstanceIdentifier))
		if err != nil {
			return err
		}
		if i != nil && aws.ToString(i.DBInstanceStatus) != "deleting" {
			if err := r.orderRemoval(ctx, aws.ToString(m.DBInstanceIdentifier), r.Waits.Cluster, nil); err != nil {
				return fmt.Errorf("delete member %s of %s: %w", aws.ToString(m.DBInstanceIdentifier), r.what(), err)
			}
		}
	}
	for _, m := range members {
		if err := r.awaitMember(ctx, aws.ToString(m.DBInstanceIdentifier), true); err != nil {
			return err
		}
	}
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r *restoring) awaitMember(ctx context.Context, id string, gone bool) error {
	return r.awaitInstanceFor(ctx, id, r.Waits.Cluster, gone)
}

// orderCluster asks for the restored cluster.
func (r *restoring) orderCluster(ctx context.Context) error {
	return r.graded(ctx, r.what(), r.Waits.Cluster, r.was.settings, func(give map[string]string) error {
		in := &rds.RestoreDBClusterFromSnapshotInput{
			DBClusterIdentifier: &r.id, SnapshotIdentifier: &r.ref.id, Engine: &r.snap.engine, DBSubnetGroupName: &r.in.DBSubnetGroup,
			VpcSecurityGroupIds: r.was.groups, Tags: r.tagsWith(r.was.tags),
		}
		if r.snap.version != "" {
			in.EngineVersion = &r.snap.version
		}
		if len(r.was.scaling) == 2 {
			least, err1 := strconv.ParseFloat(r.was.scaling[0], 64)
			most, err2 := strconv.ParseFloat(r.was.scaling[1], 64)
			if err1 == nil && err2 == nil {
				in.ServerlessV2ScalingConfiguration = &types.ServerlessV2ScalingConfiguration{MinCapacity: &least, MaxCapacity: &most}
			}
		}
		for _, s := range clusterSettings() {
			if v := give[s.name]; v != "" && s.restore != nil {
				s.restore(in, v)
			}
		}
		_, err := ask(ctx, r.session, r.client.RestoreDBClusterFromSnapshot, in)
		if isTaken(err) {
			return r.awaitOurs(ctx, r.what(), func(ctx context.Context) (bool, []types.Tag, error) {
				found, tags, _, err := r.present(ctx)
				return found, tags, err
			})
		}
		return err
	})
}

// orderMember asks for an instance of the restored cluster, unless it is there.
func (r *restoring) orderMember(ctx context.Context, m member) error {
	i, err := r.instance(ctx, m.id)
	if err != nil {
		return err
	}
	what := "RDS instance " + m.id
	if i != nil && r.ours(i.TagList) {
		return nil
	}
	if i != nil {
		return wrong("%s exists, but this phase did not make it: move it out of the way", what)
	}
	return r.graded(ctx, what, r.Waits.Cluster, m.settings, func(give map[string]string) error {
		in := &rds.CreateDBInstanceInput{
			DBInstanceIdentifier: &m.id, DBInstanceClass: aws.String(cmp.Or(m.class, memberClass)), Engine: &r.snap.engine, DBClusterIdentifier: &r.id,
			PromotionTier: aws.Int32(m.tier), PubliclyAccessible: aws.Bool(m.public), DBSubnetGroupName: &r.in.DBSubnetGroup, Tags: r.tagsWith(m.tags),
		}
		for _, s := range settings() {
			if v := give[s.name]; v != "" && s.create != nil {
				s.create(in, v)
			}
		}
		_, err := ask(ctx, r.session, r.client.CreateDBInstance, in)
		if isTaken(err) {
			return r.awaitOurs(ctx, what, r.seeInstance(m.id))
		}
		return err
	})
}
