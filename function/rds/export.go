package rds

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"github.com/davit-project/davit/function"
)

// exporting dumps a snapshot through a temporary instance.
type exporting struct {
	*session
	in exportRDSSnapshotToLocationArgs
	// id is the identifier of the temporary instance.
	id     string
	groups []string
	// touched is true once the instance may exist.
	touched bool
}

func (e *exporting) what() string { return "temporary RDS instance " + e.id }

// export makes the dump and removes the temporary instance whatever comes.
func (d *deps) export(ctx context.Context, call *function.Call, in exportRDSSnapshotToLocationArgs) (exportRDSSnapshotToLocationOutputs, error) {
	var none exportRDSSnapshotToLocationOutputs
	if err := d.checkExport(call, &in); err != nil {
		return none, err
	}
	s, err := d.session(ctx, call, in.credentials)
	if err != nil {
		return none, err
	}
	e := &exporting{session: s, in: in, id: s.derived(in.InstanceID), touched: call.Resumed || call.Attempt > 1}
	// the name of the dump is that of the phase: an attempt after a crash writes the same object
	backupID := call.Name("dump")
	req := dumpRequest{Namespace: in.Namespace, Image: cmp.Or(in.Image, d.DumpImage), Path: path.Join(in.BackupArtifactPrefix, backupID),
		Endpoint:    server{Username: in.Username, Password: in.Password},
		Annotations: in.PodAnnotations, Labels: in.PodLabels}
	if len(in.Databases) > 0 {
		req.Databases = in.Databases
	}
	if ctx.Err() != nil {
		return none, e.abandon(ctx, req)
	}
	err = e.steps(ctx, req)
	if !e.touched {
		return none, err
	}
	removed := e.cleanUp(ctx, e.Waits.Instance, e.drop)
	if err != nil {
		return none, stopped(ctx, err, removed)
	}
	if removed != nil { // the dump is whole: it is the result
		call.AfterRecord(ctx, e.what(), e.drop)
	}
	return exportRDSSnapshotToLocationOutputs{BackupID: backupID, SnapshotID: in.SnapshotID, InstanceID: in.InstanceID, SecurityGroupID: groupList(e.groups)}, nil
}

// checkExport wants all that a dump needs.
func (d *deps) checkExport(call *function.Call, in *exportRDSSnapshotToLocationArgs) error {
	in.BackupArtifactPrefix = cmp.Or(in.BackupArtifactPrefix, in.InstanceID)
	if err := checkIdentifier("instanceID", in.InstanceID); err != nil {
		return err
	}
	if in.SnapshotID == "" {
		return wrong("argument snapshotID is empty")
	}
	if err := d.checkImage(in.Image); err != nil {
		return err
	}
	return d.checkDump(call, in.Username, in.Password, in.Namespace)
}

// checkDump wants what the pods of dumps need.
func (d *deps) checkDump(call *function.Call, username string, password function.Secret, namespace string) error {
	switch {
	case d.Pods == nil:
		return wrong("the host program gave no way to run pods to this function")
	case username == "" || password.Reveal() == "":
		return wrong("arguments username and password are needed to sign in to the database")
	case namespace == "":
		return wrong("argument namespace is empty: it is where the pod runs")
	}
	if !call.Profile.IsSet() {
		return wrong("the action has no profile, so there is no location for the dump: give it one")
	}
	_, err := profileOf(call)
	return err
}

// abandon removes what an attempt before this one may have made: the pod, the object and the temporary instance.
func (e *exporting) abandon(ctx context.Context, req dumpRequest) error {
	if !e.touched {
		return context.Cause(ctx)
	}
	var instance, object error
	var wait sync.WaitGroup
	wait.Go(func() { instance = e.cleanUp(ctx, e.Waits.Instance, e.drop) })
	pod := e.write(ctx, e.call, req) // with a context that has ended it removes the pod
	object = e.cleanUp(ctx, e.Waits.Instance, func(ctx context.Context) error { return e.dropObject(ctx, req.Path) })
	wait.Wait()
	return stopped(ctx, pod, leftOf(instance, object))
}

// dropObject removes the dump: nobody knows of it.
func (e *exporting) dropObject(ctx context.Context, name string) error {
	if e.Open == nil {
		return leave("the dump %s in the location, if it was made", name)
	}
	b, err := e.Open(ctx, []byte(e.call.Profile.Reveal()))
	if err != nil {
		return leave("the dump %s in the location, if it was made (%v)", name, err)
	}
	_, err = b.Delete(ctx, name)
	if err = errors.Join(err, b.Close()); err != nil {
		return leave("the dump %s in the location, if it was made (%v)", name, err)
	}
	return nil
}

func (e *exporting) steps(ctx context.Context, req dumpRequest) error {
	i, err := e.makeInstance(ctx)
	if err != nil {
		return err
	}
	if req.Endpoint, err = endpointOf(i, e.in.Username, e.in.Password); err != nil {
		return err
	}
	e.call.Report(ctx, function.Progress{Note: "dumps " + e.what()})
	return e.write(ctx, e.call, req)
}

// makeInstance restores the snapshot to the temporary instance, or takes up the one that an earlier attempt made, and waits until it can be used.
func (e *exporting) makeInstance(ctx context.Context) (*types.DBInstance, error) {
	i, err := e.instance(ctx, e.id)
	if err != nil {
		return nil, err
	}
	if i != nil && !e.ours(i.TagList) {
		return nil, wrong("RDS instance %s exists, but this phase did not make it: move it out of the way", e.id)
	}
	snap, err := e.checkSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	if err = e.findGroups(ctx, snap); err != nil {
		return nil, err
	}
	if i != nil {
		e.touched = true
		if status := aws.ToString(i.DBInstanceStatus); status == "deleting" || broken(status) {
			if err := e.removeInstance(ctx, i, aws.Bool(true)); err != nil {
				return nil, err
			}
			i = nil
		}
	}
	if i == nil {
		if err := e.checkSubnets(ctx, e.in.DBSubnetGroup, ""); err != nil {
			return nil, err
		}
		e.touched = true
		if err := e.order(ctx); err != nil {
			return nil, err
		}
	}
	if err := e.awaitInstance(ctx, e.id, false); err != nil {
		return nil, err
	}
	if i, err = e.instance(ctx, e.id); err == nil && i == nil {
		err = fmt.Errorf("%s: %w: it is gone", e.what(), ErrState)
	}
	return i, err
}

// checkSnapshot wants a snapshot of PostgreSQL that can be restored.
func (e *exporting) checkSnapshot(ctx context.Context) (*snapshot, error) {
	ref := snapshotRef{id: e.in.SnapshotID}
	snap, err := e.snapshot(ctx, ref)
	switch {
	case err != nil:
		return nil, err
	case snap == nil:
		return nil, wrong("%s does not exist in this account and region; snapshots of Aurora clusters cannot be exported", ref)
	case snap.status != "available":
		return nil, fmt.Errorf("%s: %w: it is %q, not available", ref, ErrState, snap.status)
	case snap.engine != postgresEngine:
		return nil, wrong("%s is of engine %q: only PostgreSQL can be exported", ref, snap.engine)
	}
	return snap, nil
}

// findGroups finds the security groups and the subnet group: the arguments', those of the instance, or those it had when the snapshot was taken.
func (e *exporting) findGroups(ctx context.Context, snap *snapshot) error {
	i, err := e.instance(ctx, e.in.InstanceID)
	if err != nil {
		return err
	}
	was := recorded(snap.tags)
	if i != nil {
		was = formerInstance(i)
	}
	e.in.DBSubnetGroup = cmp.Or(e.in.DBSubnetGroup, was.subnets, "default")
	if e.groups = e.in.SecurityGroupID; len(e.groups) == 0 {
		e.groups = was.groups
	}
	if len(e.groups) == 0 {
		return wrong("RDS instance %s is not there, so its security groups are not known: give argument securityGroupID", e.in.InstanceID)
	}
	return nil
}

// order asks for the temporary instance. It cannot be reached from outside of its network.
func (e *exporting) order(ctx context.Context) error {
	_, err := ask(ctx, e.session, e.client.RestoreDBInstanceFromDBSnapshot, &rds.RestoreDBInstanceFromDBSnapshotInput{
		DBInstanceIdentifier: &e.id, DBSnapshotIdentifier: &e.in.SnapshotID, DBSubnetGroupName: &e.in.DBSubnetGroup,
		VpcSecurityGroupIds: e.groups, PubliclyAccessible: aws.Bool(false), DeletionProtection: aws.Bool(false), Tags: e.tags(),
	})
	if isTaken(err) {
		return e.awaitOurs(ctx, e.what(), e.seeInstance(e.id))
	}
	return err
}

// drop removes the temporary instance if this phase made it.
func (e *exporting) drop(ctx context.Context) error {
	var i *types.DBInstance
	err := e.firmly(ctx, func() (found bool, err error) {
		i, err = e.instance(ctx, e.id)
		return i != nil, err
	})
	switch {
	case err != nil:
		return leave("%s, if it was made (it cannot be looked for: %v)", e.what(), err)
	case i == nil || !e.ours(i.TagList):
		return nil
	}
	if err := e.removeInstance(ctx, i, aws.Bool(true)); err != nil {
		return leave("%s (%v)", e.what(), err)
	}
	return nil
}

// endpointOf is the server of an instance.
func endpointOf(i *types.DBInstance, username string, password function.Secret) (server, error) {
	if i.Endpoint == nil || aws.ToString(i.Endpoint.Address) == "" {
		return server{}, fmt.Errorf("RDS instance %s: %w: it has no endpoint", aws.ToString(i.DBInstanceIdentifier), ErrState)
	}
	return server{Host: *i.Endpoint.Address, Port: aws.ToInt32(i.Endpoint.Port), Username: username, Password: password,
		EngineVersion: aws.ToString(i.EngineVersion)}, nil
}

// restoreFromDump reads a dump back into an instance that is there.
func (d *deps) restoreFromDump(ctx context.Context, call *function.Call, in restoreRDSSnapshotArgs) (restoreRDSSnapshotOutputs, error) {
	var none restoreRDSSnapshotOutputs
	switch {
	case !strings.EqualFold(in.DBEngine, postgres):
		return none, wrong("argument dbEngine: only dumps of PostgreSQL can be restored, it is %q; give snapshotID to restore a snapshot", in.DBEngine)
	case in.BackupID == "" || in.BackupArtifactPrefix == "":
		return none, wrong("without snapshotID a dump is restored, which needs arguments backupArtifactPrefix and backupID")
	}
	if err := d.checkImage(in.Image); err != nil {
		return none, err
	}
	if err := d.checkDump(call, in.Username, in.Password, in.Namespace); err != nil {
		return none, err
	}
	req := dumpRequest{Namespace: in.Namespace, Image: cmp.Or(in.Image, d.DumpImage), Path: path.Join(in.BackupArtifactPrefix, in.BackupID),
		Endpoint:    server{Username: in.Username, Password: in.Password},
		Annotations: in.PodAnnotations, Labels: in.PodLabels}
	if ctx.Err() != nil {
		if call.Resumed {
			return none, d.read(ctx, call, req)
		}
		return none, context.Cause(ctx)
	}
	s, err := d.session(ctx, call, in.credentials)
	if err != nil {
		return none, err
	}
	i, err := s.instance(ctx, in.InstanceID)
	switch {
	case err != nil:
		return none, err
	case i == nil:
		return none, wrong("RDS has no instance %s in this account and region: a dump is restored to one that is there", in.InstanceID)
	case idle(aws.ToString(i.DBInstanceStatus)) || aws.ToString(i.DBInstanceStatus) == "deleting":
		return none, fmt.Errorf("RDS instance %s: %w: it is %q, and a dump is restored to one that runs", in.InstanceID, ErrState, aws.ToString(i.DBInstanceStatus))
	case aws.ToString(i.Engine) != postgresEngine:
		return none, wrong("RDS instance %s is of engine %q: a dump of PostgreSQL cannot be restored to it", in.InstanceID, aws.ToString(i.Engine))
	}
	if req.Endpoint, err = endpointOf(i, in.Username, in.Password); err != nil {
		return none, err
	}
	return restoreRDSSnapshotOutputs{Endpoint: req.Endpoint.Host}, d.read(ctx, call, req)
}
