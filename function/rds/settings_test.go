package rds

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

// withInstanceSettings is a world whose instance has everything set that a restore is to keep.
func withInstanceSettings() *world {
	w := withInstance()
	w.families = map[string]string{"tuned": "postgres15", "tuned14": "postgres14", "extras": "postgres15"}
	db := w.get(instanceKind, "db")
	db.class = "db.m6g.xlarge"
	db.tags = map[string]string{"team": "data @ friends: 1", "cost-center": "größe", "aws:cloudformation:stack-name": "prod", "davit.io/owner": "an earlier run"}
	db.has = map[string]string{"DBParameterGroupName": "tuned", "OptionGroupName": "extras", "MultiAZ": "true", "EnableIAMDatabaseAuthentication": "true",
		"StorageType": "gp3", "Iops": "14000", "StorageThroughput": "600", "AllocatedStorage": "500", "MaxAllocatedStorage": "1000", "Port": "5433",
		"CACertificateIdentifier": "rds-ca-ecc384-g1", "BackupRetentionPeriod": "14", "PreferredBackupWindow": "03:00-03:30",
		"PreferredMaintenanceWindow": "sun:05:00-sun:05:30", "CopyTagsToSnapshot": "true", "AutoMinorVersionUpgrade": "false", "MasterUserSecretKmsKeyId": "arn:aws:kms:eu-west-1:1:key/a",
		"logs": "postgresql upgrade", "MonitoringInterval": "60", "MonitoringRoleArn": "arn:aws:iam::1:role/watch,er", "EnablePerformanceInsights": "true",
		"PerformanceInsightsRetentionPeriod": "465", "PerformanceInsightsKMSKeyId": "arn:aws:kms:eu-west-1:1:key/b", "DatabaseInsightsMode": "advanced"}
	return w
}

// withClusterSettings is the same for a cluster and its members.
func withClusterSettings() *world {
	w := withCluster()
	w.families = map[string]string{"tuned": "aurora-mysql8.0", "member": "aurora-mysql8.0"}
	au := w.get(clusterKind, "au")
	au.tags = map[string]string{"team": "data"}
	au.has = map[string]string{"DBClusterParameterGroupName": "tuned", "EnableIAMDatabaseAuthentication": "true", "StorageType": "aurora-iopt1", "Port": "3307",
		"BackupRetentionPeriod": "7", "PreferredBackupWindow": "03:00-03:30", "PreferredMaintenanceWindow": "sun:05:00-sun:05:30", "CopyTagsToSnapshot": "true",
		"logs": "audit error", "MasterUserSecretKmsKeyId": "key"}
	for _, m := range au.members {
		i := w.get(instanceKind, m)
		i.tags = map[string]string{"name": m}
		i.has = map[string]string{"DBParameterGroupName": "member", "CACertificateIdentifier": "rds-ca-rsa4096-g1", "PreferredMaintenanceWindow": "mon:05:00-mon:05:30",
			"AutoMinorVersionUpgrade": "false", "MonitoringInterval": "30", "MonitoringRoleArn": "arn:aws:iam::1:role/w", "EnablePerformanceInsights": "true",
			"PerformanceInsightsRetentionPeriod": "7", "PerformanceInsightsKMSKeyId": "k", "DatabaseInsightsMode": "standard"}
	}
	return w
}

// settled is what of something is to be as it was.
func settled(x *thing) map[string]string {
	all := maps.Clone(x.has)
	for k, v := range x.tags {
		if !strings.HasPrefix(k, tagPrefix) && !strings.HasPrefix(k, "aws:") {
			all["tag "+k] = v
		}
	}
	all["class"], all["protected"], all["shape"] = x.class, fmt.Sprint(x.protected), strings.TrimPrefix(x.shape, ":")
	return all
}

var (
	ofInstance = map[string]any{"instanceID": "db", "snapshotID": "snap"}
	ofCluster  = map[string]any{"instanceID": "au", "snapshotID": "snap", "dbEngine": "aurora-mysql"}
)

// Every setting is in the worlds of these tests: one that is read and not tried here is a fault of theirs.
func TestEverySettingIsTried(t *testing.T) {
	h := newHost(withInstanceSettings(), quick)
	call, _ := newCall()
	s, err := h.session(t.Context(), call, credentials{CredentialsSource: sourceProfile})
	require.NoError(t, err)
	i, err := s.instance(t.Context(), "db")
	require.NoError(t, err)
	require.Len(t, settingsOf(i), len(settings()))
	h = newHost(withClusterSettings(), quick)
	s, err = h.session(t.Context(), call, credentials{CredentialsSource: sourceProfile})
	require.NoError(t, err)
	c, err := s.cluster(t.Context(), "au")
	require.NoError(t, err)
	require.Len(t, clusterSettingsOf(c), len(clusterSettings()))
}

func TestRestoreKeepsSettings(t *testing.T) {
	w := withInstanceSettings()
	before := settled(w.get(instanceKind, "db"))
	_, err := newHost(w, quick).run(t, "RestoreRDSSnapshot", ofInstance)
	require.NoError(t, err)
	require.Equal(t, before, settled(w.get(instanceKind, "db")))
	require.Equal(t, 1, w.count("ModifyDBInstance"))
	require.Empty(t, w.get(snapshotKind, "snap").tags)
}

// An instance with nothing but defaults comes back without a change.
func TestRestoreOfDefaults(t *testing.T) {
	w := withInstance()
	_, err := newHost(w, quick).run(t, "RestoreRDSSnapshot", ofInstance)
	require.NoError(t, err)
	require.Zero(t, w.count("ModifyDBInstance"))
}

func TestRestoreKeepsSettingsOfCluster(t *testing.T) {
	w := withClusterSettings()
	before := withClusterSettings()
	_, err := newHost(w, quick).run(t, "RestoreRDSSnapshot", ofCluster)
	require.NoError(t, err)
	require.Equal(t, settled(before.get(clusterKind, "au")), settled(w.get(clusterKind, "au")))
	for _, m := range []string{"au-a", "au-b"} {
		require.Equal(t, settled(before.get(instanceKind, m)), settled(w.get(instanceKind, m)))
	}
}

// A database that is gone gets what it had when Davit took the snapshot, its protection too.
func TestRestoreOfWhatIsGoneKeepsSettings(t *testing.T) {
	w := withInstanceSettings()
	w.get(instanceKind, "db").protected = true
	before := settled(w.get(instanceKind, "db"))
	h := newHost(w, quick)
	out, err := h.run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "db"})
	require.NoError(t, err)
	delete(w.things, instanceKind+"/db")
	_, err = h.run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "db", "snapshotID": out["snapshotID"]})
	require.NoError(t, err)
	require.Equal(t, before, settled(w.get(instanceKind, "db")))
	require.True(t, w.get(instanceKind, "db").public)

	w = withClusterSettings()
	was := withClusterSettings()
	h = newHost(w, quick)
	out, err = h.run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "au", "dbEngine": "aurora-mysql"})
	require.NoError(t, err)
	for _, gone := range []string{clusterKind + "/au", instanceKind + "/au-a", instanceKind + "/au-b"} {
		delete(w.things, gone)
	}
	_, err = h.run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "au", "snapshotID": out["snapshotID"], "dbEngine": "aurora-mysql"})
	require.NoError(t, err)
	require.Equal(t, settled(was.get(clusterKind, "au")), settled(w.get(clusterKind, "au")))
	for _, m := range []string{"au-a", "au-b"} {
		require.Equal(t, settled(was.get(instanceKind, m)), settled(w.get(instanceKind, m)))
	}
}

// What is there counts more than what was there when the snapshot was taken, and arguments count more than both.
func TestRestorePrefersWhatIsThere(t *testing.T) {
	w := withInstanceSettings()
	h := newHost(w, quick)
	out, err := h.run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "db"})
	require.NoError(t, err)
	db := w.get(instanceKind, "db")
	db.has["PreferredBackupWindow"], db.has["MultiAZ"], db.tags["team"] = "01:00-01:30", "false", "other"
	_, err = h.run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "db", "snapshotID": out["snapshotID"], "securityGroupID": "- sg-7\n"})
	require.NoError(t, err)
	db = w.get(instanceKind, "db")
	require.Equal(t, "01:00-01:30", db.has["PreferredBackupWindow"])
	require.NotEqual(t, "true", db.has["MultiAZ"])
	require.Equal(t, "other", db.tags["team"])
	require.Equal(t, []string{"sg-7"}, db.groups)
}

// A group that is gone is told before anything is deleted.
func TestRestoreWantsTheGroups(t *testing.T) {
	for _, tc := range []struct {
		world      func() *world
		args       map[string]any
		group, has string
	}{
		{withInstanceSettings, ofInstance, "tuned", `RDS instance db is to have the group of parameters "tuned" again`},
		{withInstanceSettings, ofInstance, "extras", `RDS instance db is to have the group of options "extras" again`},
		{withClusterSettings, ofCluster, "tuned", `RDS cluster au is to have the group of parameters "tuned" again`},
		{withClusterSettings, ofCluster, "member", `RDS instance au-b is to have the group of parameters "member" again`},
	} {
		w := tc.world()
		delete(w.families, tc.group)
		_, err := newHost(w, quick).run(t, "RestoreRDSSnapshot", tc.args)
		require.ErrorContains(t, err, tc.has)
		require.ErrorContains(t, err, "nothing was touched")
		require.True(t, function.IsPermanent(err))
		require.Empty(t, w.changes())
	}
}

// A group of a newer version than the snapshot gives way to the one of the snapshot's time, or to RDS's default.
func TestRestoreOfOlderVersion(t *testing.T) {
	w := withInstanceSettings()
	db := w.get(instanceKind, "db")
	db.has["DBParameterGroupName"], db.version = "tuned14", "14.1"
	h := newHost(w, quick)
	out, err := h.run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "db"})
	require.NoError(t, err)
	db.has["DBParameterGroupName"], db.version = "tuned", "15.4"
	_, err = h.run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "db", "snapshotID": out["snapshotID"]})
	require.NoError(t, err)
	require.Equal(t, "tuned14", w.get(instanceKind, "db").has["DBParameterGroupName"])
	require.Empty(t, w.get(instanceKind, "db").has["OptionGroupName"], "the only one known is of 15")

	require.True(t, fitsVersion("sqlserver-se-15.0", "sqlserver-se", "15.00.4073.23.v1"))
	require.True(t, fitsVersion("oracle-ee-19", "oracle-ee", "19.0.0.0.ru-2023-01.rur-2023-01.r1"))
	require.True(t, fitsVersion("aurora-mysql8.0", "aurora-mysql", "8.0.mysql_aurora.3.04.0"))
	require.False(t, fitsVersion("mysql8.0", "mysql", "5.7.44"))
	require.False(t, fitsVersion("postgres9.6", "postgres", "9"))
}

// Settings that RDS does not take in the restore are set afterwards: the database comes back.
func TestRestoreWithoutSomeSettings(t *testing.T) {
	for _, refused := range []string{"Iops@Restore", "DBParameterGroupName@Restore", "MultiAZ@Restore"} {
		w := withInstanceSettings()
		w.refuses = []string{refused}
		if !strings.HasPrefix(refused, "DBParameterGroupName") { // the groups come with the restore: set afterwards, they would want a reboot
			w.refuses = append(w.refuses, "DBParameterGroupName@Modify", "OptionGroupName@Modify")
		}
		before := settled(w.get(instanceKind, "db"))
		_, err := newHost(w, quick).run(t, "RestoreRDSSnapshot", ofInstance)
		require.NoError(t, err, refused)
		now := settled(w.get(instanceKind, "db"))
		delete(before, "CACertificateIdentifier") // not insisted on
		delete(now, "CACertificateIdentifier")
		require.Equal(t, before, now, refused)
	}
	w := withClusterSettings()
	w.refuses = []string{"StorageType@Restore", "MonitoringRoleArn@Create"}
	_, err := newHost(w, quick).run(t, "RestoreRDSSnapshot", ofCluster)
	require.NoError(t, err)
	require.Equal(t, "aurora-iopt1", w.get(clusterKind, "au").has["StorageType"])
	require.Equal(t, "arn:aws:iam::1:role/w", w.get(instanceKind, "au-a").has["MonitoringRoleArn"])
}

// A setting that RDS takes in no way is told, all others are set, and the next call goes on.
func TestRestoreNamesWhatItCannotSet(t *testing.T) {
	w := withInstanceSettings()
	w.refuses = []string{"MonitoringRoleArn", "MaxAllocatedStorage"}
	before := settled(w.get(instanceKind, "db"))
	h := newHost(w, quick)
	_, err := h.run(t, "RestoreRDSSnapshot", ofInstance)
	require.ErrorContains(t, err, "RDS instance db is restored, but not with all the settings it had, set them by hand: maxsize: RDS ModifyDBInstance: InvalidParameterCombination")
	require.ErrorContains(t, err, "monitoring: RDS ModifyDBInstance")
	require.ErrorContains(t, err, "the same phase, run again, goes on from there")
	now := settled(w.get(instanceKind, "db"))
	for name, v := range before {
		if !slices.Contains([]string{"MonitoringRoleArn", "MonitoringInterval", "MaxAllocatedStorage"}, name) {
			require.Equal(t, v, now[name], name)
		}
	}
	w.refuses = nil
	_, err = h.run(t, "RestoreRDSSnapshot", ofInstance)
	require.NoError(t, err)
	require.Equal(t, before, settled(w.get(instanceKind, "db")))
	require.Equal(t, 1, w.count("DeleteDBInstance"))
}

// Tags never become more than AWS takes.
func TestRestoreWithManyTags(t *testing.T) {
	w := withInstanceSettings()
	db := w.get(instanceKind, "db")
	for n := range 46 {
		db.tags[fmt.Sprintf("%s-%d", strings.Repeat("k", 100), n)] = strings.Repeat("v:ü", 64)
	}
	h := newHost(w, quick)
	out, err := h.run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "db"})
	require.NoError(t, err)
	for n := range 10 {
		w.get(snapshotKind, out["snapshotID"].(string)).tags[fmt.Sprint("mine", n)] = "x"
	}
	_, err = h.run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "db", "snapshotID": out["snapshotID"]})
	require.NoError(t, err)
	require.Len(t, w.get(instanceKind, "db").tags, mostTags)
	require.Equal(t, "1000", w.get(instanceKind, "db").has["MaxAllocatedStorage"])

	snap := w.get(snapshotKind, out["snapshotID"].(string))
	for n := range mostTags - len(snap.tags) {
		snap.tags[fmt.Sprint("more", n)] = "x"
	}
	w.get(instanceKind, "db").tags[ownerTag] = "another run"
	before := w.changes()
	_, err = h.run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "db", "snapshotID": out["snapshotID"]})
	require.ErrorContains(t, err, "has 50 tags, and a restore notes in some what it replaces")
	require.Equal(t, before, w.changes())
}

// A cluster with all the members it can have, of long names, is noted as far as there is room.
func TestRestoreOfALargeCluster(t *testing.T) {
	w := withClusterSettings()
	au, one := w.get(clusterKind, "au"), w.get(instanceKind, "au-a")
	au.members = nil
	for n := range 15 {
		id := fmt.Sprint(strings.Repeat("m", 61), n)
		w.put(&thing{kind: instanceKind, id: id, status: "available", engine: "aurora-mysql", class: "db.r6g.16xlarge", cluster: "au", tags: maps.Clone(one.tags), has: maps.Clone(one.has)})
		w.get(instanceKind, id).has["PerformanceInsightsKMSKeyId"] = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"
		au.members = append(au.members, id)
	}
	h := newHost(w, quick)
	out, err := h.run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "au", "dbEngine": "aurora-mysql"})
	require.NoError(t, err)
	snap := w.get(clusterSnapshotKind, out["snapshotID"].(string))
	require.Len(t, recorded(typed(snap.tags)).members, 15)
	_, err = h.run(t, "RestoreRDSSnapshot", map[string]any{"instanceID": "au", "snapshotID": out["snapshotID"], "dbEngine": "aurora-mysql"})
	require.NoError(t, err)
	require.Len(t, w.get(clusterKind, "au").members, 15)
	for _, id := range au.members {
		require.Equal(t, one.has["DBParameterGroupName"], w.get(instanceKind, id).has["DBParameterGroupName"])
	}
}

func typed(tags map[string]string) []types.Tag {
	var all []types.Tag
	for k, v := range tags {
		all = append(all, types.Tag{Key: &k, Value: &v})
	}
	return all
}

// The documented permissions are those of the requests that the functions can send.
func TestPermissions(t *testing.T) {
	docs, err := os.ReadFile("../../docs/rds.md")
	require.NoError(t, err)
	var said []string
	for _, m := range regexp.MustCompile(`"rds:(\w+)"`).FindAllSubmatch(docs, -1) {
		said = append(said, string(m[1]))
	}
	needs := []string{"ListTagsForResource"} // RDS asks for it where it shows tags
	client := reflect.TypeFor[Client]()
	for n := range client.NumMethod() {
		needs = append(needs, client.Method(n).Name)
	}
	require.ElementsMatch(t, needs, said)
}
