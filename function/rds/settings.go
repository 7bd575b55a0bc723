package rds

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// setting is one property of an instance, as text, that a snapshot does not bring back.
type setting struct {
	name string
	// of reads it; empty where it is not set, or RDS's default.
	of func(*types.DBInstance) string
	// restore, create and modify ask for it: in a restore, for a new member of a cluster, for what is there. Nil where RDS has no such parameter.
	restore func(*rds.RestoreDBInstanceFromDBSnapshotInput, string)
	create  func(*rds.CreateDBInstanceInput, string)
	modify  func(*rds.ModifyDBInstanceInput, string)
}

// clusterSetting is one property of a cluster.
type clusterSetting struct {
	name    string
	of      func(*types.DBCluster) string
	restore func(*rds.RestoreDBClusterFromSnapshotInput, string)
	modify  func(*rds.ModifyDBClusterInput, string)
}

// The settings whose names are needed elsewhere.
const (
	parameterGroup = "parameters"
	optionGroup    = "options"
	sizeSetting    = "size"
	classSetting   = "class"
)

type (
	restoreInput = rds.RestoreDBInstanceFromDBSnapshotInput
	createInput  = rds.CreateDBInstanceInput
	modifyInput  = rds.ModifyDBInstanceInput
)

// settings are those of an instance, in the order in which they are noted.
func settings() []setting {
	return slices.Concat(resourceSettings(), backupSettings(), watchSettings())
}

func resourceSettings() []setting {
	return []setting{
		{classSetting, func(i *types.DBInstance) string { return aws.ToString(i.DBInstanceClass) },
			func(in *restoreInput, v string) { in.DBInstanceClass = &v }, nil,
			func(in *modifyInput, v string) { in.DBInstanceClass = &v }},
		{parameterGroup, parameterGroupOf,
			func(in *restoreInput, v string) { in.DBParameterGroupName = &v },
			func(in *createInput, v string) { in.DBParameterGroupName = &v },
			func(in *modifyInput, v string) { in.DBParameterGroupName = &v }},
		{optionGroup, optionGroupOf,
			func(in *restoreInput, v string) { in.OptionGroupName = &v }, nil,
			func(in *modifyInput, v string) { in.OptionGroupName = &v }},
		{"multiaz", func(i *types.DBInstance) string { return boolText(i.MultiAZ) },
			func(in *restoreInput, v string) { in.MultiAZ = onlyTrue(v) }, nil,
			func(in *modifyInput, v string) { in.MultiAZ = boolOf(v) }},
		{"iam", func(i *types.DBInstance) string { return boolText(i.IAMDatabaseAuthenticationEnabled) },
			func(in *restoreInput, v string) { in.EnableIAMDatabaseAuthentication = onlyTrue(v) }, nil,
			func(in *modifyInput, v string) { in.EnableIAMDatabaseAuthentication = boolOf(v) }},
		{"storage", storageOf,
			func(in *restoreInput, v string) { in.StorageType, in.Iops, in.StorageThroughput = storageIn(v) }, nil,
			func(in *modifyInput, v string) { in.StorageType, in.Iops, in.StorageThroughput = storageIn(v) }},
		{sizeSetting, func(i *types.DBInstance) string { return intText(i.AllocatedStorage) },
			func(in *restoreInput, v string) { in.AllocatedStorage = int32Of(v) }, nil,
			func(in *modifyInput, v string) { in.AllocatedStorage = int32Of(v) }},
		{"maxsize", func(i *types.DBInstance) string { return intText(i.MaxAllocatedStorage) }, nil, nil,
			func(in *modifyInput, v string) { in.MaxAllocatedStorage = int32Of(v) }},
		{"port", portOf,
			func(in *restoreInput, v string) { in.Port = int32Of(v) }, nil,
			func(in *modifyInput, v string) { in.DBPortNumber = int32Of(v) }},
		{"ca", func(i *types.DBInstance) string { return aws.ToString(i.CACertificateIdentifier) }, // one that has ended cannot be had again: it is not insisted on
			func(in *restoreInput, v string) { in.CACertificateIdentifier = &v },
			func(in *createInput, v string) { in.CACertificateIdentifier = &v }, nil},
	}
}

func backupSettings() []setting {
	return []setting{
		{"retention", func(i *types.DBInstance) string { return intText(i.BackupRetentionPeriod) }, nil, nil,
			func(in *modifyInput, v string) { in.BackupRetentionPeriod = int32Of(v) }},
		{"backup", func(i *types.DBInstance) string { return aws.ToString(i.PreferredBackupWindow) }, nil, nil,
			func(in *modifyInput, v string) { in.PreferredBackupWindow = &v }},
		{"maintenance", func(i *types.DBInstance) string { return aws.ToString(i.PreferredMaintenanceWindow) }, nil,
			func(in *createInput, v string) { in.PreferredMaintenanceWindow = &v },
			func(in *modifyInput, v string) { in.PreferredMaintenanceWindow = &v }},
		{"copytags", func(i *types.DBInstance) string { return boolText(i.CopyTagsToSnapshot) },
			func(in *restoreInput, v string) { in.CopyTagsToSnapshot = boolOf(v) }, nil,
			func(in *modifyInput, v string) { in.CopyTagsToSnapshot = boolOf(v) }},
		{"minor", func(i *types.DBInstance) string { return boolText(i.AutoMinorVersionUpgrade) },
			func(in *restoreInput, v string) { in.AutoMinorVersionUpgrade = boolOf(v) },
			func(in *createInput, v string) { in.AutoMinorVersionUpgrade = boolOf(v) },
			func(in *modifyInput, v string) { in.AutoMinorVersionUpgrade = boolOf(v) }},
		{"secret", func(i *types.DBInstance) string { return secretOf(i.MasterUserSecret) }, nil, nil,
			func(in *modifyInput, v string) {
				in.ManageMasterUserPassword, in.MasterUserSecretKmsKeyId = aws.Bool(true), &v
			}},
		// not in the restore: one that ends in a broken state has to be deleted again
		{"protect", func(i *types.DBInstance) string { return boolText(i.DeletionProtection) }, nil, nil,
			func(in *modifyInput, v string) { in.DeletionProtection = boolOf(v) }},
	}
}

func watchSettings() []setting {
	return []setting{
		{"logs", func(i *types.DBInstance) string { return logsText(i.EnabledCloudwatchLogsExports) },
			func(in *restoreInput, v string) { in.EnableCloudwatchLogsExports = logsOf(v) }, nil,
			func(in *modifyInput, v string) { in.CloudwatchLogsExportConfiguration = logsChange(v) }},
		{"monitoring", monitoringOf, nil,
			func(in *createInput, v string) { in.MonitoringInterval, in.MonitoringRoleArn = monitoringIn(v) },
			func(in *modifyInput, v string) { in.MonitoringInterval, in.MonitoringRoleArn = monitoringIn(v) }},
		{"insights", insightsOf, nil,
			func(in *createInput, v string) {
				in.EnablePerformanceInsights = aws.Bool(true)
				in.DatabaseInsightsMode, in.PerformanceInsightsRetentionPeriod, in.PerformanceInsightsKMSKeyId = insightsIn(v)
			},
			func(in *modifyInput, v string) {
				in.EnablePerformanceInsights = aws.Bool(true)
				in.DatabaseInsightsMode, in.PerformanceInsightsRetentionPeriod, in.PerformanceInsightsKMSKeyId = insightsIn(v)
			}},
	}
}

// clusterSettings are those of a cluster of Aurora.
func clusterSettings() []clusterSetting {
	type restoreInput = rds.RestoreDBClusterFromSnapshotInput
	type modifyInput = rds.ModifyDBClusterInput
	return []clusterSetting{
		{parameterGroup, func(c *types.DBCluster) string { return custom(aws.ToString(c.DBClusterParameterGroup)) },
			func(in *restoreInput, v string) { in.DBClusterParameterGroupName = &v },
			func(in *modifyInput, v string) { in.DBClusterParameterGroupName = &v }},
		{"iam", func(c *types.DBCluster) string { return boolText(c.IAMDatabaseAuthenticationEnabled) },
			func(in *restoreInput, v string) { in.EnableIAMDatabaseAuthentication = onlyTrue(v) },
			func(in *modifyInput, v string) { in.EnableIAMDatabaseAuthentication = boolOf(v) }},
		{"storage", func(c *types.DBCluster) string { return auroraStorage(aws.ToString(c.StorageType)) },
			func(in *restoreInput, v string) { in.StorageType = &v },
			func(in *modifyInput, v string) { in.StorageType = &v }},
		{"port", func(c *types.DBCluster) string { return intText(c.Port) },
			func(in *restoreInput, v string) { in.Port = int32Of(v) },
			func(in *modifyInput, v string) { in.Port = int32Of(v) }},
		{"retention", func(c *types.DBCluster) string { return intText(c.BackupRetentionPeriod) }, nil,
			func(in *modifyInput, v string) { in.BackupRetentionPeriod = int32Of(v) }},
		{"backup", func(c *types.DBCluster) string { return aws.ToString(c.PreferredBackupWindow) }, nil,
			func(in *modifyInput, v string) { in.PreferredBackupWindow = &v }},
		{"maintenance", func(c *types.DBCluster) string { return aws.ToString(c.PreferredMaintenanceWindow) }, nil,
			func(in *modifyInput, v string) { in.PreferredMaintenanceWindow = &v }},
		{"copytags", func(c *types.DBCluster) string { return boolText(c.CopyTagsToSnapshot) },
			func(in *restoreInput, v string) { in.CopyTagsToSnapshot = boolOf(v) },
			func(in *modifyInput, v string) { in.CopyTagsToSnapshot = boolOf(v) }},
		{"logs", func(c *types.DBCluster) string { return logsText(c.EnabledCloudwatchLogsExports) },
			func(in *restoreInput, v string) { in.EnableCloudwatchLogsExports = logsOf(v) },
			func(in *modifyInput, v string) { in.CloudwatchLogsExportConfiguration = logsChange(v) }},
		{"secret", func(c *types.DBCluster) string { return secretOf(c.MasterUserSecret) }, nil,
			func(in *modifyInput, v string) {
				in.ManageMasterUserPassword, in.MasterUserSecretKmsKeyId = aws.Bool(true), &v
			}},
		{"protect", func(c *types.DBCluster) string { return boolText(c.DeletionProtection) }, nil,
			func(in *modifyInput, v string) { in.DeletionProtection = boolOf(v) }},
	}
}

// settingsOf reads those of an instance.
func settingsOf(i *types.DBInstance) map[string]string {
	all := map[string]string{}
	for _, s := range settings() {
		if v := s.of(i); v != "" {
			all[s.name] = v
		}
	}
	return all
}

// memberSettings reads those of a member that are its own, and not its cluster's.
func memberSettings(i *types.DBInstance) map[string]string {
	all := map[string]string{}
	for _, s := range settings() {
		if v := s.of(i); v != "" && s.create != nil {
			all[s.name] = v
		}
	}
	return all
}

func clusterSettingsOf(c *types.DBCluster) map[string]string {
	all := map[string]string{}
	for _, s := range clusterSettings() {
		if v := s.of(c); v != "" {
			all[s.name] = v
		}
	}
	return all
}

// missing are those of the names whose settings now is to have and has not.
func missing(names []string, want, now map[string]string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		v, is := want[name], now[name]
		return v == "" || v == is || v == "false" && is == "" || name == sizeSetting && number(is) >= number(v) // storage never shrinks
	})
}

// custom is the name of a group, but for one of RDS's own: those belong to a version.
func custom(group string) string {
	if strings.HasPrefix(group, "default.") || strings.HasPrefix(group, "default:") {
		return ""
	}
	return group
}

func parameterGroupOf(i *types.DBInstance) string {
	if len(i.DBParameterGroups) == 0 {
		return ""
	}
	return custom(aws.ToString(i.DBParameterGroups[0].DBParameterGroupName))
}

func optionGroupOf(i *types.DBInstance) string {
	if len(i.OptionGroupMemberships) == 0 {
		return ""
	}
	return custom(aws.ToString(i.OptionGroupMemberships[0].OptionGroupName))
}

func portOf(i *types.DBInstance) string {
	if i.Endpoint != nil && aws.ToInt32(i.Endpoint.Port) > 0 {
		return intText(i.Endpoint.Port)
	}
	return ""
}

// storageOf is the type of the storage, with what it does in a second where that can be chosen.
func storageOf(i *types.DBInstance) string {
	kind := aws.ToString(i.StorageType)
	if kind == "" || strings.HasPrefix(kind, "aurora") {
		return ""
	}
	return kind + "/" + strconv.Itoa(int(aws.ToInt32(i.Iops))) + "/" + strconv.Itoa(int(aws.ToInt32(i.StorageThroughput)))
}

// What gp3 does at least. RDS does not take it as a number where the storage is small.
const leastIops, leastThroughput = 3000, 125

func storageIn(v string) (kind *string, iops, throughput *int32) {
	parts := strings.Split(v, "/")
	if len(parts) != 3 {
		return nil, nil, nil
	}
	kind = &parts[0]
	switch parts[0] {
	case "io1", "io2":
		iops = positive(parts[1])
	case "gp3":
		if number(parts[1]) > leastIops || number(parts[2]) > leastThroughput {
			iops, throughput = positive(parts[1]), positive(parts[2])
		}
	}
	return kind, iops, throughput
}

// auroraStorage is the one kind of storage of a cluster that has to be asked for.
func auroraStorage(kind string) string {
	if kind == "aurora-iopt1" {
		return kind
	}
	return ""
}

// logsText joins the names with a character that tags may have.
func logsText(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), "/")
}

func logsOf(v string) []string { return strings.Split(v, "/") }

func logsChange(v string) *types.CloudwatchLogsExportConfiguration {
	return &types.CloudwatchLogsExportConfiguration{EnableLogTypes: logsOf(v)}
}

func monitoringOf(i *types.DBInstance) string {
	if aws.ToInt32(i.MonitoringInterval) == 0 || aws.ToString(i.MonitoringRoleArn) == "" {
		return ""
	}
	return intText(i.MonitoringInterval) + "/" + *i.MonitoringRoleArn
}

func monitoringIn(v string) (interval *int32, role *string) {
	seconds, arn, _ := strings.Cut(v, "/")
	return positive(seconds), &arn
}

func insightsOf(i *types.DBInstance) string {
	if !aws.ToBool(i.PerformanceInsightsEnabled) {
		return ""
	}
	return strings.Join([]string{string(i.DatabaseInsightsMode), intText(i.PerformanceInsightsRetentionPeriod), aws.ToString(i.PerformanceInsightsKMSKeyId)}, "/")
}

func insightsIn(v string) (mode types.DatabaseInsightsMode, days *int32, key *string) {
	parts := strings.SplitN(v, "/", 3)
	if len(parts) != 3 {
		return "", nil, nil
	}
	if parts[2] != "" {
		key = &parts[2]
	}
	return types.DatabaseInsightsMode(parts[0]), positive(parts[1]), key
}

// secretOf is the key of a master password that RDS keeps in Secrets Manager.
func secretOf(s *types.MasterUserSecret) string {
	if s == nil {
		return ""
	}
	return aws.ToString(s.KmsKeyId)
}

func boolText(b *bool) string {
	if b == nil {
		return ""
	}
	return strconv.FormatBool(*b)
}

func boolOf(v string) *bool { return aws.Bool(v == "true") }

// onlyTrue leaves out what is RDS's default, which some engines do not take as a parameter.
func onlyTrue(v string) *bool {
	if v == "true" {
		return aws.Bool(true)
	}
	return nil
}

func intText(n *int32) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}

// number reads a number; 0 where it is none, as in a tag that somebody else wrote.
func number(v string) int32 {
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return 0
	}
	return int32(n)
}

func int32Of(v string) *int32 { return aws.Int32(number(v)) }

func positive(v string) *int32 {
	if n := number(v); n > 0 {
		return &n
	}
	return nil
}

// ownTags are the tags that somebody gave to what has them: not AWS's, nor those of runs.
func ownTags(tags []types.Tag) []types.Tag {
	own := slices.DeleteFunc(slices.Clone(tags), func(t types.Tag) bool {
		key := aws.ToString(t.Key)
		return key == "" || strings.HasPrefix(strings.ToLower(key), "aws:") || strings.HasPrefix(key, tagPrefix)
	})
	slices.SortFunc(own, func(a, b types.Tag) int { return cmp.Compare(aws.ToString(a.Key), aws.ToString(b.Key)) })
	return own
}
