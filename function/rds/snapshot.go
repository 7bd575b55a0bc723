package rds

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"github.com/davit-project/davit/function"
)

type createRDSSnapshotArgs struct {
	InstanceID string `arg:"instanceID" doc:"Identifier of the instance, or of the cluster for Aurora."`
	DBEngine   string `arg:"dbEngine,optional" doc:"Engine; aurora, aurora-mysql and aurora-postgresql are clusters, all else is an instance."`
	credentials
}

type createRDSSnapshotOutputs struct {
	SnapshotID       string `out:"snapshotID" doc:"Identifier of the snapshot."`
	InstanceID       string `out:"instanceID" doc:"Identifier of the instance or cluster."`
	SecurityGroupID  string `out:"securityGroupID" doc:"YAML list of the security groups of the instance."`
	AllocatedStorage string `out:"allocatedStorage" doc:"Size of the instance's storage, such as 20GiB; 0GiB for Aurora."`
	DBSubnetGroup    string `out:"dbSubnetGroup" doc:"Name of the instance's subnet group."`
}

func createRDSSnapshot(d *deps) function.Func {
	return function.Define("CreateRDSSnapshot",
		"Takes a snapshot of a database instance or Aurora cluster and waits until it can be used.", d.createSnapshot,
		&function.Options{Replay: function.Adopt, Check: checkCredentials, Example: `func: CreateRDSSnapshot
name: snapshot
args:
  instanceID: "{{ .Object.data.instanceID }}"
`})
}

// source is the database that a snapshot is taken of.
type source struct {
	former
	storage, subnet string
}

func (d *deps) createSnapshot(ctx context.Context, call *function.Call, in createRDSSnapshotArgs) (createRDSSnapshotOutputs, error) {
	var none createRDSSnapshotOutputs
	if err := checkIdentifier("instanceID", in.InstanceID); err != nil {
		return none, err
	}
	s, err := d.session(ctx, call, in.credentials)
	if err != nil {
		return none, err
	}
	ref := snapshotRef{s.derived(in.InstanceID), isAurora(in.DBEngine)}
	from, made, err := s.takeSnapshot(ctx, in, ref)
	if err != nil {
		var cleanUp error
		if made || call.Resumed || call.Attempt > 1 {
			cleanUp = s.cleanUp(ctx, s.Waits.Appear, func(ctx context.Context) error { return s.dropSnapshot(ctx, ref) })
		}
		return none, stopped(ctx, err, cleanUp)
	}
	return createRDSSnapshotOutputs{SnapshotID: ref.id, InstanceID: in.InstanceID, SecurityGroupID: groupList(from.groups),
		AllocatedStorage: from.storage, DBSubnetGroup: from.subnet}, nil
}

// takeSnapshot takes the snapshot, or goes on with the one that an earlier attempt took. Made tells whether it may exist.
func (s *session) takeSnapshot(ctx context.Context, in createRDSSnapshotArgs, ref snapshotRef) (from source, made bool, err error) {
	if ctx.Err() != nil {
		return source{}, false, context.Cause(ctx)
	}
	snap, err := s.snapshot(ctx, ref)
	if err != nil {
		return source{}, false, err
	}
	if snap != nil && !s.ours(snap.tags) {
		return source{}, false, wrong("%s exists, but this phase did not make it: move it out of the way", ref)
	}
	if snap != nil && (snap.status == "deleting" || broken(snap.status)) { // an earlier attempt has failed
		if err := s.removeSnapshot(ctx, ref); err != nil {
			return source{}, true, err
		}
		snap = nil
	}
	if from, err = s.sourceOf(ctx, in, snap); err != nil {
		return source{}, snap != nil, err
	}
	if snap == nil {
		if err := s.orderSnapshot(ctx, in.InstanceID, ref, from.former); err != nil {
			return source{}, true, err
		}
	}
	return from, true, s.awaitSnapshot(ctx, ref, false)
}

// sourceOf describes the database. Where it is gone but its snapshot is there, the snapshot tells.
func (s *session) sourceOf(ctx context.Context, in createRDSSnapshotArgs, snap *snapshot) (source, error) {
	if isAurora(in.DBEngine) {
		c, err := s.cluster(ctx, in.InstanceID)
		if err != nil {
			return source{}, err
		}
		if c != nil {
			f, err := s.formerCluster(ctx, c)
			return source{f, gib(0), aws.ToString(c.DBSubnetGroup)}, err
		}
	} else {
		i, err := s.instance(ctx, in.InstanceID)
		if err != nil {
			return source{}, err
		}
		if i != nil && i.DBClusterIdentifier != nil {
			return source{}, wrong("RDS instance %s belongs to cluster %s: give the cluster as instanceID, and its engine as dbEngine, such as aurora-mysql",
				in.InstanceID, *i.DBClusterIdentifier)
		}
		if i != nil {
			return source{formerInstance(i), gib(aws.ToInt32(i.AllocatedStorage)), subnetGroupOf(i)}, nil
		}
	}
	if snap != nil {
		was := recorded(snap.tags)
		return source{was, gib(snap.storage), was.subnets}, nil
	}
	if isAurora(in.DBEngine) {
		return source{}, wrong("RDS has no cluster %s in this account and region: check instanceID, dbEngine and region", in.InstanceID)
	}
	return source{}, wrong("RDS has no instance %s in this account and region: check instanceID and region; a cluster of Aurora needs dbEngine", in.InstanceID)
}

func gib(n int32) string { return strconv.Itoa(int(n)) + "GiB" }

func subnetGroupOf(i *types.DBInstance) string {
	if i.DBSubnetGroup == nil {
		return ""
	}
	return aws.ToString(i.DBSubnetGroup.DBSubnetGroupName)
}

// orderSnapshot asks for the snapshot, as soon as the database's state allows it.
func (s *session) orderSnapshot(ctx context.Context, id string, ref snapshotRef, f former) error {
	tags := s.tags(s.sourceWords(ctx, f)...)
	err := s.whenReady(ctx, ref.String(), s.snapshotLimit(ref), func() error {
		var err error
		if ref.cluster {
			_, err = ask(ctx, s, s.client.CreateDBClusterSnapshot, &rds.CreateDBClusterSnapshotInput{DBClusterIdentifier: &id, DBClusterSnapshotIdentifier: &ref.id, Tags: tags})
		} else {
			_, err = ask(ctx, s, s.client.CreateDBSnapshot, &rds.CreateDBSnapshotInput{DBInstanceIdentifier: &id, DBSnapshotIdentifier: &ref.id, Tags: tags})
		}
		if isBusy(err) { // not for ever
			if status, see := s.statusOf(ctx, snapshotRef{id, ref.cluster}); see == nil && (broken(status) || status == "stopped") {
				return wrong("RDS takes no snapshot of %s, which is %q: %w", id, status, ErrState)
			}
		}
		return err
	})
	if !isTaken(err) {
		return err
	}
	// the answer to an earlier request was lost
	return s.awaitOurs(ctx, ref.String(), func(ctx context.Context) (bool, []types.Tag, error) {
		snap, err := s.snapshot(ctx, ref)
		if err != nil || snap == nil {
			return false, nil, err
		}
		return true, snap.tags, nil
	})
}

// statusOf is the status of an instance or a cluster; empty if it is not there.
func (s *session) statusOf(ctx context.Context, of snapshotRef) (string, error) {
	if of.cluster {
		c, err := s.cluster(ctx, of.id)
		if err != nil || c == nil {
			return "", err
		}
		return aws.ToString(c.Status), nil
	}
	i, err := s.instance(ctx, of.id)
	if err != nil || i == nil {
		return "", err
	}
	return aws.ToString(i.DBInstanceStatus), nil
}

// awaitOurs looks at an object that RDS says exists until it is seen, and wants it to be this phase's.
func (s *session) awaitOurs(ctx context.Context, what string, look func(context.Context) (found bool, tags []types.Tag, err error)) error {
	var tags []types.Tag
	err := s.await(ctx, wait{what: what, limit: s.Waits.Appear, look: func(ctx context.Context) (sight, error) {
		found, seen, err := look(ctx)
		tags = seen
		return sight{found: found, status: usable[0]}, err
	}})
	if err == nil && !s.ours(tags) {
		return wrong("%s exists, but this phase did not make it: move it out of the way", what)
	}
	return err
}

// dropSnapshot removes the snapshot if this phase made it.
func (s *session) dropSnapshot(ctx context.Context, ref snapshotRef) error {
	var snap *snapshot
	err := s.firmly(ctx, func() (found bool, err error) {
		snap, err = s.snapshot(ctx, ref)
		return snap != nil, err
	})
	switch {
	case err != nil:
		return leave("%s, if it was made (it cannot be looked for: %v)", ref, err)
	case snap == nil || !s.ours(snap.tags):
		return nil
	}
	if err := s.removeSnapshot(ctx, ref); err != nil {
		return leave("%s (%v)", ref, err)
	}
	return nil
}

// removeSnapshot deletes a snapshot and waits until it is gone. One that is still being made has to be waited for.
func (s *session) removeSnapshot(ctx context.Context, ref snapshotRef) error {
	err := s.whenReady(ctx, ref.String(), s.snapshotLimit(ref), func() error {
		snap, err := s.snapshot(ctx, ref)
		if err != nil || snap == nil || snap.status == "deleting" {
			return err
		}
		if ref.cluster {
			_, err = ask(ctx, s, s.client.DeleteDBClusterSnapshot, &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: &ref.id})
		} else {
			_, err = ask(ctx, s, s.client.DeleteDBSnapshot, &rds.DeleteDBSnapshotInput{DBSnapshotIdentifier: &ref.id})
		}
		if isNotFound(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", ref, err)
	}
	return s.awaitSnapshot(ctx, ref, true)
}

// otherKind wants that there is no snapshot of this name of the other kind: it would be one that dbEngine hides.
func (s *session) otherKind(ctx context.Context, ref snapshotRef) error {
	other := snapshotRef{ref.id, !ref.cluster}
	if snap, err := s.snapshot(ctx, other); err != nil || snap == nil {
		return nil //nolint:nilerr // who may not look at the other kind has none
	}
	if other.cluster {
		return wrong("%s is no snapshot of an instance, but of an Aurora cluster: set dbEngine, such as aurora-mysql", ref.id)
	}
	return wrong("%s is no snapshot of an Aurora cluster, but of an instance: leave dbEngine out, or set the instance's", ref.id)
}

type deleteRDSSnapshotArgs struct {
	SnapshotID string `arg:"snapshotID,nonempty" doc:"Identifier of the snapshot."`
	DBEngine   string `arg:"dbEngine,optional" doc:"Engine; aurora, aurora-mysql and aurora-postgresql are clusters, all else is an instance."`
	credentials
}

func deleteRDSSnapshot(d *deps) function.Func {
	run := func(ctx context.Context, call *function.Call, in deleteRDSSnapshotArgs) (struct{}, error) {
		if in.SnapshotID == "" {
			return struct{}{}, wrong("argument snapshotID is empty")
		}
		s, err := d.session(ctx, call, in.credentials)
		if err != nil {
			return struct{}{}, err
		}
		ref := snapshotRef{in.SnapshotID, isAurora(in.DBEngine)}
		snap, err := s.snapshot(ctx, ref)
		if err != nil {
			return struct{}{}, err
		}
		if snap == nil {
			return struct{}{}, s.otherKind(ctx, ref)
		}
		return struct{}{}, s.removeSnapshot(ctx, ref)
	}
	return function.Define("DeleteRDSSnapshot",
		"Deletes a snapshot of a database instance or Aurora cluster and waits until it is gone; one that does not exist is no error.", run,
		&function.Options{Replay: function.Idempotent, Check: checkCredentials, Example: `func: DeleteRDSSnapshot
name: delete
args:
  snapshotID: "{{ .ArtifactsIn.snapshot.KeyValue.id }}"
`})
}
