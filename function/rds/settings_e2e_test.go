//go:build e2e

package rds_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/function/rds"
)

const motoProfile = `{"Location":{"type":"s3Compliant","bucket":"b","region":"` + region + `"},"Credential":{"Type":"keyPair","KeyPair":{"ID":"AKIAPROFILE","Secret":"s"}}}`

// call runs one function on moto.
func (a *account) call(t *testing.T, key, name string, args map[string]any) (function.Outputs, error) {
	t.Helper()
	for _, f := range rds.Functions(deps(a.url)) {
		if f.Name() == name {
			call, _ := functiontest.NewCall(key)
			call.Profile = function.NewSecret(motoProfile)
			return f.Exec(t.Context(), call, args)
		}
	}
	t.Fatalf("no function %s", name)
	return nil, nil
}

func (a *account) groups(t *testing.T) {
	t.Helper()
	_, err := a.admin.CreateDBParameterGroup(t.Context(), &sdk.CreateDBParameterGroupInput{DBParameterGroupName: aws.String("tuned"), DBParameterGroupFamily: aws.String("postgres15"), Description: aws.String("d")})
	require.NoError(t, err)
	_, err = a.admin.CreateDBParameterGroup(t.Context(), &sdk.CreateDBParameterGroupInput{DBParameterGroupName: aws.String("member"), DBParameterGroupFamily: aws.String("aurora-mysql5.7"), Description: aws.String("d")})
	require.NoError(t, err)
	_, err = a.admin.CreateDBClusterParameterGroup(t.Context(), &sdk.CreateDBClusterParameterGroupInput{DBClusterParameterGroupName: aws.String("cluster-tuned"),
		DBParameterGroupFamily: aws.String("aurora-mysql5.7"), Description: aws.String("d")})
	require.NoError(t, err)
}

var ownTags = []types.Tag{{Key: aws.String("team"), Value: aws.String("data: 1")}}

// shape is what of an instance is to be as it was.
func shape(i types.DBInstance) map[string]string {
	return map[string]string{"class": *i.DBInstanceClass, "parameters": *i.DBParameterGroups[0].DBParameterGroupName, "multiaz": text(i.MultiAZ), "iam": text(i.IAMDatabaseAuthenticationEnabled),
		"type": text(i.StorageType), "iops": text(i.Iops), "size": text(i.AllocatedStorage), "maxsize": text(i.MaxAllocatedStorage), "retention": text(i.BackupRetentionPeriod),
		"backup": text(i.PreferredBackupWindow), "maintenance": text(i.PreferredMaintenanceWindow), "copytags": text(i.CopyTagsToSnapshot), "minor": text(i.AutoMinorVersionUpgrade),
		"ca": text(i.CACertificateIdentifier), "secret": fmt.Sprint(i.MasterUserSecret != nil), "tag": tagOf(i.TagList, "team")}
}

func clusterShape(c types.DBCluster) map[string]string {
	return map[string]string{"parameters": text(c.DBClusterParameterGroup), "port": text(c.Port), "retention": text(c.BackupRetentionPeriod),
		"backup": text(c.PreferredBackupWindow), "maintenance": text(c.PreferredMaintenanceWindow), "copytags": text(c.CopyTagsToSnapshot), "secret": fmt.Sprint(c.MasterUserSecret != nil),
		"tag": tagOf(c.TagList, "team"), "type": text(c.StorageType)}
}

func text[T any](p *T) string {
	if p == nil {
		return "unset"
	}
	return fmt.Sprint(*p)
}

func tagOf(tags []types.Tag, key string) string {
	for _, tag := range tags {
		if *tag.Key == key {
			return *tag.Value
		}
	}
	return ""
}

// differs wants everything to be other than moto itself makes it: what moto keeps in a snapshot by itself would prove nothing.
func differs(t *testing.T, plain, now map[string]string) {
	t.Helper()
	for name, v := range now {
		require.NotEqual(t, plain[name], v, name)
	}
}

// TestSettings changes databases after their snapshot was taken, and wants them back as they were when they were deleted.
func TestSettings(t *testing.T) {
	a := moto(t)
	a.groups(t)
	t.Run("instance", func(t *testing.T) {
		t.Parallel()
		a.instance(t, "kept")
		out, err := a.call(t, "phase/kept/backup/0", "CreateRDSSnapshot", map[string]any{"instanceID": "kept"})
		require.NoError(t, err)
		id := out["snapshotID"].(string)
		_, err = a.admin.RestoreDBInstanceFromDBSnapshot(t.Context(), &sdk.RestoreDBInstanceFromDBSnapshotInput{DBInstanceIdentifier: aws.String("plain"), DBSnapshotIdentifier: &id})
		require.NoError(t, err)
		_, err = a.admin.ModifyDBInstance(t.Context(), &sdk.ModifyDBInstanceInput{DBInstanceIdentifier: aws.String("kept"), ApplyImmediately: aws.Bool(true), DBInstanceClass: aws.String("db.m6g.large"),
			DBParameterGroupName: aws.String("tuned"), MultiAZ: aws.Bool(true), EnableIAMDatabaseAuthentication: aws.Bool(true), StorageType: aws.String("io1"), Iops: aws.Int32(4000),
			AllocatedStorage: aws.Int32(200), MaxAllocatedStorage: aws.Int32(300), BackupRetentionPeriod: aws.Int32(9), PreferredBackupWindow: aws.String("03:00-03:30"),
			PreferredMaintenanceWindow: aws.String("sun:05:00-sun:05:30"), CopyTagsToSnapshot: aws.Bool(true), AutoMinorVersionUpgrade: aws.Bool(false), ManageMasterUserPassword: aws.Bool(true),
			CACertificateIdentifier: aws.String("rds-ca-ecc384-g1")})
		require.NoError(t, err)
		before := a.seeInstance(t, "kept")
		_, err = a.admin.AddTagsToResource(t.Context(), &sdk.AddTagsToResourceInput{ResourceName: before.DBInstanceArn, Tags: ownTags})
		require.NoError(t, err)
		before = a.seeInstance(t, "kept")
		_, err = a.call(t, "phase/kept/restore/0", "RestoreRDSSnapshot", map[string]any{"instanceID": "kept", "snapshotID": id, "dbSubnetGroup": a.subnet})
		require.NoError(t, err)
		after := a.seeInstance(t, "kept")
		require.True(t, tagged(after.TagList))
		require.Equal(t, shape(before), shape(after))
		differs(t, shape(a.seeInstance(t, "plain")), shape(after))
	})
	t.Run("Aurora", func(t *testing.T) {
		t.Parallel()
		a.cluster(t, "au", "au-one")
		out, err := a.call(t, "phase/au/backup/0", "CreateRDSSnapshot", map[string]any{"instanceID": "au", "dbEngine": "aurora-mysql"})
		require.NoError(t, err)
		id := out["snapshotID"].(string)
		_, err = a.admin.RestoreDBClusterFromSnapshot(t.Context(), &sdk.RestoreDBClusterFromSnapshotInput{DBClusterIdentifier: aws.String("plain-au"), SnapshotIdentifier: &id, Engine: aws.String("aurora-mysql")})
		require.NoError(t, err)
		_, err = a.admin.ModifyDBCluster(t.Context(), &sdk.ModifyDBClusterInput{DBClusterIdentifier: aws.String("au"), ApplyImmediately: aws.Bool(true),
			DBClusterParameterGroupName: aws.String("cluster-tuned"), Port: aws.Int32(3307), BackupRetentionPeriod: aws.Int32(9),
			PreferredBackupWindow: aws.String("03:00-03:30"), PreferredMaintenanceWindow: aws.String("sun:05:00-sun:05:30"), CopyTagsToSnapshot: aws.Bool(true),
			ManageMasterUserPassword: aws.Bool(true), StorageType: aws.String("aurora-iopt1")})
		require.NoError(t, err)
		_, err = a.admin.ModifyDBInstance(t.Context(), &sdk.ModifyDBInstanceInput{DBInstanceIdentifier: aws.String("au-one"), ApplyImmediately: aws.Bool(true), DBParameterGroupName: aws.String("member"),
			AutoMinorVersionUpgrade: aws.Bool(false), CACertificateIdentifier: aws.String("rds-ca-ecc384-g1"), PreferredMaintenanceWindow: aws.String("mon:05:00-mon:05:30")})
		require.NoError(t, err)
		before := a.seeCluster(t, "au")
		_, err = a.admin.AddTagsToResource(t.Context(), &sdk.AddTagsToResourceInput{ResourceName: before.DBClusterArn, Tags: ownTags})
		require.NoError(t, err)
		before = a.seeCluster(t, "au")
		_, err = a.call(t, "phase/au/restore/0", "RestoreRDSSnapshot", map[string]any{"instanceID": "au", "snapshotID": id, "dbEngine": "aurora-mysql", "dbSubnetGroup": a.subnet})
		require.NoError(t, err)
		after := a.seeCluster(t, "au")
		require.Equal(t, clusterShape(before), clusterShape(after))
		differs(t, clusterShape(a.seeCluster(t, "plain-au")), clusterShape(after))
		one := a.seeInstance(t, "au-one")
		require.Equal(t, []string{"member", "false", "rds-ca-ecc384-g1", "mon:05:00-mon:05:30"},
			[]string{*one.DBParameterGroups[0].DBParameterGroupName, text(one.AutoMinorVersionUpgrade), text(one.CACertificateIdentifier), text(one.PreferredMaintenanceWindow)})
	})
	t.Run("gone", func(t *testing.T) {
		t.Parallel()
		a.instance(t, "lost")
		_, err := a.admin.ModifyDBInstance(t.Context(), &sdk.ModifyDBInstanceInput{DBInstanceIdentifier: aws.String("lost"), DBParameterGroupName: aws.String("tuned"), MaxAllocatedStorage: aws.Int32(300)})
		require.NoError(t, err)
		_, err = a.admin.AddTagsToResource(t.Context(), &sdk.AddTagsToResourceInput{ResourceName: a.seeInstance(t, "lost").DBInstanceArn, Tags: ownTags})
		require.NoError(t, err)
		before := shape(a.seeInstance(t, "lost"))
		out, err := a.call(t, "phase/lost/backup/0", "CreateRDSSnapshot", map[string]any{"instanceID": "lost"})
		require.NoError(t, err)
		_, err = a.admin.DeleteDBInstance(t.Context(), &sdk.DeleteDBInstanceInput{DBInstanceIdentifier: aws.String("lost"), SkipFinalSnapshot: aws.Bool(true)})
		require.NoError(t, err)
		_, err = a.call(t, "phase/lost/restore/0", "RestoreRDSSnapshot", map[string]any{"instanceID": "lost", "snapshotID": out["snapshotID"], "dbSubnetGroup": a.subnet})
		require.NoError(t, err)
		after := shape(a.seeInstance(t, "lost"))
		for _, name := range []string{"parameters", "maxsize", "tag"} { // the rest is what moto keeps in a snapshot by itself
			require.Equal(t, before[name], after[name])
		}
		require.Equal(t, []string{"tuned", "300", "data: 1"}, []string{after["parameters"], after["maxsize"], after["tag"]})
	})
}
