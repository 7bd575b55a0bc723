package rds

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// restoring replaces an instance or a cluster by a snapshot. Everything is checked before anything is deleted; from then on a call that fails is carried on by the next one.
type restoring struct {
	*session
	in  restoreRDSSnapshotArgs
	ref snapshotRef
	// id is the identifier of what is replaced, as RDS keeps it.
	id string
	// deleted is true once what was there is gone, or going.
	deleted bool
	snap    *snapshot
	// foreign is true for a snapshot of another account, beside a database of this one.
	foreign bool
	// was is what was there; its security groups are those that the restored database gets.
	was former
}

func (r *restoring) what() string {
	if r.ref.cluster {
		return "RDS cluster " + r.id
	}
	return "RDS instance " + r.id
}

// run restores, and says what state the database is in where it cannot.
func (r *restoring) run(ctx context.Context) error {
	err := r.steps(ctx)
	if err == nil {
		return nil
	}
	if !r.deleted && !r.call.Resumed {
		return err
	}
	state := ""
	_ = r.cleanUp(ctx, r.Waits.CleanUp, func(ctx context.Context) error {
		state = r.state(ctx)
		return nil
	})
	if state == "" {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s", state) // it does not wrap what stopped the phase: the host says that, and this beside it
	}
	return fmt.Errorf("%w; %s", err, state)
}

// state says what a call that did not come to its end has made of the database; empty if it is as it was.
func (r *restoring) state(ctx context.Context) string {
	if !r.deleted { // by this call; one before it left a note until it was done
		snap, err := r.snapshot(ctx, r.ref)
		if r.snap = snap; err == nil && snap != nil {
			r.deleted = r.recall()
		}
	}
	found, tags, status, err := r.present(ctx)
	const again = "the same phase, run again, goes on from there"
	switch {
	case err != nil:
		return fmt.Sprintf("%s may be deleted or half restored (%v); %s holds its data", r.what(), err, r.ref)
	case !found && r.snap == nil:
		return fmt.Sprintf("%s does not exist, nor does %s", r.what(), r.ref)
	case !found:
		return fmt.Sprintf("%s is deleted and not restored: %s holds its data; %s", r.what(), r.ref, again)
	case r.ours(tags):
		return fmt.Sprintf("%s is being restored from %s and is %q: it stays; %s", r.what(), r.ref, status, again)
	case r.deleted:
		return fmt.Sprintf("%s is %q: it was to be deleted and restored from %s, which holds its data; %s", r.what(), status, r.ref, again)
	default:
		return ""
	}
}

// present looks at what has the identifier.
func (r *restoring) present(ctx context.Context) (found bool, tags []types.Tag, status string, err error) {
	if r.ref.cluster {
		c, err := r.cluster(ctx, r.id)
		if err != nil || c == nil {
			return false, nil, "", err
		}
		return true, c.TagList, aws.ToString(c.Status), nil
	}
	i, err := r.instance(ctx, r.id)
	if err != nil || i == nil {
		return false, nil, "", err
	}
	return true, i.TagList, aws.ToString(i.DBInstanceStatus), nil
}

func (r *restoring) steps(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := r.checkSnapshot(ctx); err != nil {
		return err
	}
	var err error
	if r.ref.cluster {
		err = r.restoreCluster(ctx)
	} else {
		err = r.restoreInstance(ctx)
	}
	if err != nil {
		return err
	}
	r.forget(ctx)
	return nil
}

// checkSnapshot wants a snapshot that can be restored, of the engine that the arguments name.
func (r *restoring) checkSnapshot(ctx context.Context) error {
	snap, err := r.snapshot(ctx, r.ref)
	if err != nil {
		return err
	}
	if snap == nil {
		if err := r.otherKind(ctx, r.ref); err != nil {
			return err
		}
		return wrong("%s does not exist in this account and region: nothing was touched", r.ref)
	}
	if snap.status != "available" {
		return fmt.Errorf("%s: %w: it is %q, not available; nothing was touched", r.ref, ErrState, snap.status)
	}
	if !sameEngine(r.in.DBEngine, snap.engine) {
		return wrong("%s is of engine %q, but argument dbEngine is %q: nothing was touched", r.ref, snap.engine, r.in.DBEngine)
	}
	if r.ref.cluster && snap.mode == "serverless" {
		return wrong("%s is of Aurora Serverless v1, which cannot be restored by this function: nothing was touched", r.ref)
	}
	if snap.kind == "automated" && strings.EqualFold(snap.of, r.id) {
		return wrong("%s is an automated snapshot of %s and may go with it: copy it, and restore the copy; nothing was touched", r.ref, r.what())
	}
	r.snap = snap
	return nil
}

// knownEngine is the shape of RDS's own names of engines. What arguments say beside is anybody's.
var knownEngine = regexp.MustCompile(`^(aurora|aurora-mysql|aurora-postgresql|mysql|mariadb|postgres|(oracle|sqlserver|db2|custom)-[a-z0-9-]+)$`)

// sameEngine compares what an argument says with the engine that RDS names.
func sameEngine(argument, engine string) bool {
	a, e := strings.ToLower(argument), strings.ToLower(engine)
	if a == "postgresql" {
		a = postgresEngine
	}
	if a == "aurora" && e == "aurora-mysql" {
		return true // as the engine was called before
	}
	return !knownEngine.MatchString(a) || a == e
}

var groupID = regexp.MustCompile(`^sg-[0-9a-z]+$`)

// chooseGroups finds the security groups: the argument's, those of what was there, or those of the database that the snapshot was taken of.
func (r *restoring) chooseGroups() error {
	if len(r.in.SecurityGroupID) > 0 {
		r.was.groups = r.in.SecurityGroupID
	}
	if len(r.was.groups) == 0 {
		r.was.groups = recorded(r.snap.tags).groups
	}
	if len(r.was.groups) == 0 {
		return wrong("%s is not there, so its security groups are not known: give argument securityGroupID; nothing was touched", r.what())
	}
	for _, g := range r.was.groups {
		if !groupID.MatchString(g) {
			return wrong("argument securityGroupID: %q is no identifier of a security group, such as sg-0123456789abcdef0; nothing was touched", g)
		}
	}
	return nil
}

// checkSubnets wants a subnet group that exists, and is in the network that the security groups are in as far as that is known.
func (s *session) checkSubnets(ctx context.Context, group, network string) error {
	found, err := s.networkOf(ctx, group)
	if err != nil {
		return err
	}
	if network != "" && found != "" && network != found {
		return wrong("argument dbSubnetGroup: %q is in network %s, but the security groups are in %s: give the subnet group of the database; nothing was touched",
			group, found, network)
	}
	return nil
}

// networkOf returns the VPC of a subnet group.
func (s *session) networkOf(ctx context.Context, group string) (string, error) {
	out, err := ask(ctx, s, s.client.DescribeDBSubnetGroups, &rds.DescribeDBSubnetGroupsInput{DBSubnetGroupName: &group})
	if isNotFound(err) || err == nil && len(out.DBSubnetGroups) == 0 {
		return "", wrong("argument dbSubnetGroup: RDS has no subnet group %q: give the one of the database; nothing was touched", group)
	}
	if err != nil {
		return "", err
	}
	return aws.ToString(out.DBSubnetGroups[0].VpcId), nil
}

// restoreInstance goes on from whatever an earlier attempt has come to.
func (r *restoring) restoreInstance(ctx context.Context) error {
	i, err := r.instance(ctx, r.id)
	if err != nil {
		return err
	}
	if i != nil && r.ours(i.TagList) {
		r.deleted = true
		status := aws.ToString(i.DBInstanceStatus)
		if !broken(status) && status != "deleting" {
			r.recall()
			return r.finishInstance(ctx)
		}
	}
	if err := r.plan(ctx, i); err != nil {
		return err
	}
	if i != nil {
		r.deleted = true
		if err := r.removeInstance(ctx, i, keepBackups(i)); err != nil {
			return err
		}
	}
	r.deleted = true
	if err := r.orderInstance(ctx); err != nil {
		return err
	}
	return r.finishInstance(ctx)
}

// finishInstance waits for the restored instance, and gives it what the restore has not.
func (r *restoring) finishInstance(ctx context.Context) error {
	if err := r.awaitInstance(ctx, r.id, false); err != nil {
		return err
	}
	return r.settleInstance(ctx, r.id, r.Waits.Instance, r.was.settings)
}

// plan checks all that can be checked, and notes what is not known any more once the instance is deleted.
func (r *restoring) plan(ctx context.Context, i *types.DBInstance) error {
	network, noted := "", r.recall()
	if i != nil && !r.ours(i.TagList) {
		if err := r.checkInstance(i); err != nil {
			return err
		}
		now := formerInstance(i)
		if !noted {
			r.was = r.unfinished(true, i.TagList, now)
		}
		if err := r.checkShared(ctx, aws.ToString(i.DBInstanceArn)); err != nil {
			return err
		}
		if i.DBSubnetGroup != nil && (len(r.in.SecurityGroupID) == 0 || slices.ContainsFunc(now.groups, func(g string) bool { return slices.Contains(r.in.SecurityGroupID, g) })) {
			network = aws.ToString(i.DBSubnetGroup.VpcId)
		}
		r.warnOfReplicas(ctx, i.ReadReplicaDBInstanceIdentifiers, aws.ToString(i.ReadReplicaSourceDBInstanceIdentifier))
	} else if !noted {
		r.was = r.unfinished(false, nil, recorded(r.snap.tags))
	}
	return r.choose(ctx, network, noted, i != nil)
}

// choose finds the groups, and notes what the restored database is to be like. Dear is true where something is to be deleted.
func (r *restoring) choose(ctx context.Context, network string, noted, dear bool) error {
	r.in.DBSubnetGroup = cmp.Or(r.in.DBSubnetGroup, r.was.subnets, "default")
	if err := r.chooseGroups(); err != nil {
		return err
	}
	if err := r.checkSubnets(ctx, r.in.DBSubnetGroup, network); err != nil {
		return err
	}
	if err := r.checkGroups(ctx); err != nil {
		return err
	}
	if noted {
		return nil
	}
	err := r.note(ctx)
	if err != nil && !dear && ctx.Err() == nil {
		r.call.Log.WarnContext(ctx, "a restore that is interrupted forgets what the database is to be like", "snapshot", r.ref.id, "error", err)
		return nil
	}
	return err
}

// checkShared wants a snapshot of this account, or one that RDS restores although it is not.
func (r *restoring) checkShared(ctx context.Context, present string) error {
	if r.snap.of != "" && !strings.EqualFold(r.snap.of, r.id) {
		r.call.Log.WarnContext(ctx, "what is replaced is not what the snapshot was taken of", "what", r.what(), "snapshot", r.ref.id, "of", r.snap.of)
	}
	r.foreign = accountOf(r.snap.arn) != accountOf(present)
	if r.foreign && r.snap.encrypted && !r.ref.cluster {
		return wrong("%s is encrypted and of another account, and RDS restores no such snapshot: copy it, and restore the copy; nothing was touched", r.ref)
	}
	return nil
}

// accountOf is the account in an ARN.
func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

// warnOfReplicas tells what a deletion does to replicas: they stay, with the data of the database that is gone.
func (r *restoring) warnOfReplicas(ctx context.Context, replicas []string, source string) {
	if len(replicas) > 0 {
		r.call.Log.WarnContext(ctx, "the read replicas of what is replaced do not follow what is restored: RDS makes them databases of their own", "what", r.what(), "replicas", replicas)
	}
	if source != "" {
		r.call.Log.WarnContext(ctx, "what is replaced is a read replica, what is restored is not", "what", r.what(), "source", source)
	}
}

// checkInstance wants an instance that can be replaced by the snapshot.
func (r *restoring) checkInstance(i *types.DBInstance) error {
	switch {
	case i.DBClusterIdentifier != nil:
		return wrong("%s belongs to cluster %s: give the cluster as instanceID, and its engine as dbEngine; nothing was touched", r.what(), *i.DBClusterIdentifier)
	case aws.ToBool(i.DeletionProtection):
		return wrong("%s is protected from deletion, and a restore deletes it: lift the protection if you mean it; nothing was touched", r.what())
	case aws.ToString(i.Engine) != r.snap.engine:
		return wrong("%s is of engine %q, %s of %q: nothing was touched", r.what(), aws.ToString(i.Engine), r.ref, r.snap.engine)
	}
	return nil
}

// orderInstance asks for the restored instance.
func (r *restoring) orderInstance(ctx context.Context) error {
	return r.graded(ctx, r.what(), r.Waits.Instance, r.was.settings, func(give map[string]string) error {
		in := &rds.RestoreDBInstanceFromDBSnapshotInput{
			DBInstanceIdentifier: &r.id, DBSnapshotIdentifier: &r.ref.id, DBSubnetGroupName: &r.in.DBSubnetGroup,
			VpcSecurityGroupIds: r.was.groups, PubliclyAccessible: r.was.public, Tags: r.tagsWith(r.was.tags),
		}
		for _, s := range settings() {
			if v := give[s.name]; v != "" && s.restore != nil {
				s.restore(in, v)
			}
		}
		if aws.ToInt32(in.AllocatedStorage) <= r.snap.storage || strings.HasPrefix(r.snap.engine, "sqlserver") {
			in.AllocatedStorage = nil
		}
		_, err := ask(ctx, r.session, r.client.RestoreDBInstanceFromDBSnapshot, in)
		if isTaken(err) {
			return r.awaitOurs(ctx, r.what(), r.seeInstance(r.id))
		}
		return err
	})
}

// seeInstance looks for awaitOurs.
func (s *session) seeInstance(id string) func(context.Context) (bool, []types.Tag, error) {
	return func(ctx context.Context) (bool, []types.Tag, error) {
		i, err := s.instance(ctx, id)
		if err != nil || i == nil {
			return false, nil, err
		}
		return true, i.TagList, nil
	}
}

// keepBackups is false for an instance whose automated backups are to outlive it, until their time is over; nil leaves it to RDS.
func keepBackups(i *types.DBInstance) *bool {
	if aws.ToInt32(i.BackupRetentionPeriod) > 0 && i.DBClusterIdentifier == nil {
		return aws.Bool(false)
	}
	return nil
}

// removeInstance deletes an instance without a last snapshot and waits until it is gone.
func (s *session) removeInstance(ctx context.Context, i *types.DBInstance, dropBackups *bool) error {
	id, what := aws.ToString(i.DBInstanceIdentifier), "RDS instance "+aws.ToString(i.DBInstanceIdentifier)
	if aws.ToString(i.DBInstanceStatus) != "deleting" {
		if err := s.orderRemoval(ctx, id, s.Waits.Instance, dropBackups); err != nil {
			return fmt.Errorf("delete %s: %w", what, err)
		}
	}
	return s.awaitInstance(ctx, id, true)
}

// orderRemoval asks for the deletion, as soon as the instance's state allows it.
func (s *session) orderRemoval(ctx context.Context, id string, limit time.Duration, dropBackups *bool) error {
	return s.whenReady(ctx, "RDS instance "+id, limit, func() error {
		err := s.keepingBackups(ctx, "RDS instance "+id, dropBackups, func(drop *bool) error {
			_, err := ask(ctx, s, s.client.DeleteDBInstance, &rds.DeleteDBInstanceInput{
				DBInstanceIdentifier: &id, SkipFinalSnapshot: aws.Bool(true), DeleteAutomatedBackups: drop})
			return err
		})
		if isNotFound(err) {
			return nil
		}
		if isBusy(err) { // it may be because it is being deleted
			if i, see := s.instance(ctx, id); see == nil && (i == nil || aws.ToString(i.DBInstanceStatus) == "deleting") {
				return nil
			}
		}
		return err
	})
}

// keepingBackups deletes something whose automated backups are to stay, and without them where RDS cannot keep them: they are more than was asked for.
func (s *session) keepingBackups(ctx context.Context, what string, drop *bool, remove func(drop *bool) error) error {
	err := remove(drop)
	if code := codeOf(err); drop == nil || *drop || !strings.HasPrefix(code, "InvalidParameter") && !strings.Contains(code, "AutomatedBackupQuotaExceeded") {
		return err
	}
	s.call.Log.WarnContext(ctx, "the automated backups go with what is deleted", "what", what, "error", err)
	return remove(nil)
}
