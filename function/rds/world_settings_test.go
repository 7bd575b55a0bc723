package rds

import (
	"cmp"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// shown are the properties of instances and clusters that RDS shows by the name of their parameter.
var shown = []string{"MultiAZ", "StorageType", "Iops", "StorageThroughput", "MaxAllocatedStorage", "CACertificateIdentifier", "PreferredBackupWindow",
	"PreferredMaintenanceWindow", "CopyTagsToSnapshot", "AutoMinorVersionUpgrade", "MonitoringInterval", "MonitoringRoleArn", "PerformanceInsightsRetentionPeriod",
	"PerformanceInsightsKMSKeyId", "DatabaseInsightsMode"}

// renamed are those that RDS shows by another name; kept are those that render shows in a way of its own.
var (
	renamed = map[string]string{"EnableIAMDatabaseAuthentication": "IAMDatabaseAuthenticationEnabled", "EnablePerformanceInsights": "PerformanceInsightsEnabled"}
	kept    = []string{"DBParameterGroupName", "OptionGroupName", "DBClusterParameterGroupName", "BackupRetentionPeriod", "AllocatedStorage", "Port", "MasterUserSecretKmsKeyId"}
)

// properties are what a request asks for.
func properties(form url.Values) map[string]string {
	has := map[string]string{}
	for _, name := range slices.Concat(shown, kept) {
		if form.Has(name) {
			has[name] = form.Get(name)
		}
	}
	for name := range renamed {
		if form.Has(name) {
			has[name] = form.Get(name)
		}
	}
	if form.Has("DBPortNumber") {
		has["Port"] = form.Get("DBPortNumber")
	}
	logs := slices.Concat(listIn(form, "EnableCloudwatchLogsExports.member"), listIn(form, "CloudwatchLogsExportConfiguration.EnableLogTypes.member"))
	if len(logs) > 0 {
		has["logs"] = strings.Join(logs, " ")
	}
	return has
}

func (x *thing) renderProperties() string {
	text := ""
	for _, name := range shown {
		if x.has[name] != "" {
			text += el(name, x.has[name])
		}
	}
	if x.has["AutoMinorVersionUpgrade"] == "" {
		text += el("AutoMinorVersionUpgrade", "true")
	}
	for name, as := range renamed {
		if x.has[name] != "" {
			text += el(as, x.has[name])
		}
	}
	text += el("BackupRetentionPeriod", cmp.Or(x.has["BackupRetentionPeriod"], "1"))
	if x.has["MasterUserSecretKmsKeyId"] != "" {
		text += el("MasterUserSecret", el("KmsKeyId", x.has["MasterUserSecretKmsKeyId"]))
	}
	if logs := strings.Fields(x.has["logs"]); len(logs) > 0 {
		text += el("EnabledCloudwatchLogsExports", el("member", strings.Join(logs, "</member><member>")))
	}
	if x.kind == clusterKind {
		if x.has["Port"] != "" {
			text += el("Port", x.has["Port"])
		}
		return text + el("DBClusterParameterGroup", cmp.Or(x.has["DBClusterParameterGroupName"], "default.aurora-mysql8.0"))
	}
	return text + el("AllocatedStorage", cmp.Or(x.has["AllocatedStorage"], "20")) +
		el("DBParameterGroups", el("DBParameterGroup", el("DBParameterGroupName", cmp.Or(x.has["DBParameterGroupName"], "default.postgres15")))) +
		el("OptionGroupMemberships", el("OptionGroupMembership", el("OptionGroupName", cmp.Or(x.has["OptionGroupName"], "default:postgres-15"))))
}

// modify changes something after a while: for one look all is as before.
func (w *world) modify(kind string, form url.Values) (answer, failure string) {
	x := w.things[kind+"/"+form.Get(kind+"Identifier")]
	switch {
	case x == nil:
		return "", notFoundCode(kind)
	case x.status != "available":
		return "", "Invalid" + kind + "State"
	case form.Get("ApplyImmediately") != "true":
		return "", "InvalidParameterCombination"
	case !w.knowsGroups(form):
		return "", "DBParameterGroupNotFound"
	}
	if x.changing == nil {
		x.changing = map[string]string{}
	}
	maps.Copy(x.changing, properties(form))
	for _, name := range []string{"DBInstanceClass", "DeletionProtection"} {
		if form.Has(name) {
			x.changing[name] = form.Get(name)
		}
	}
	x.next = append(append([]string{"available"}, slices.Repeat([]string{"modifying"}, w.slow)...), "available")
	return w.render(x), ""
}

// apply ends a change.
func (x *thing) apply() {
	for name, v := range x.changing {
		switch name {
		case "DBInstanceClass":
			x.class = v
		case "DeletionProtection":
			x.protected = v == "true"
		default:
			x.has[name] = v
		}
	}
	x.changing = nil
}

// takes tells whether the world takes all parameters.
func (w *world) takes(form url.Values) bool {
	return !slices.ContainsFunc(w.refuses, func(refused string) bool {
		name, action, only := strings.Cut(refused, "@")
		return form.Has(name) && (!only || strings.HasPrefix(form.Get("Action"), action))
	})
}

func (w *world) knowsGroups(form url.Values) bool {
	for _, name := range []string{"DBParameterGroupName", "OptionGroupName", "DBClusterParameterGroupName"} {
		if g := form.Get(name); g != "" && w.families[g] == "" {
			return false
		}
	}
	return true
}

// group describes a parameter or option group.
func (w *world) group(action string, form url.Values) (answer, failure string) {
	kind := strings.TrimSuffix(strings.TrimPrefix(action, "Describe"), "s")
	name := form.Get(kind + "Name")
	family := w.families[name]
	switch {
	case family == "" && kind == "OptionGroup":
		return "", "OptionGroupNotFoundFault"
	case family == "":
		return "", "DBParameterGroupNotFound"
	case kind == "OptionGroup":
		at := strings.IndexAny(family, "0123456789")
		return el("OptionGroupsList", el("OptionGroup", el("OptionGroupName", name)+el("EngineName", family[:at])+el("MajorEngineVersion", family[at:]))), ""
	}
	return el(kind+"s", el(kind, el(kind+"Name", name)+el("DBParameterGroupFamily", family))), ""
}

// tagText is what AWS takes in tags.
var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// validTags tells of tags that AWS takes.
func validTags(tags map[string]string) bool {
	for k, v := range tags {
		if k == "" || len(k) > 128 || len(v) > 256 || strings.HasPrefix(strings.ToLower(k), "aws:") || !tagText.MatchString(k) || !tagText.MatchString(v) {
			return false
		}
	}
	return len(tags) <= 50
}
