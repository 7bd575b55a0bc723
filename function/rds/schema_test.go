package rds_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/function/rds"
)

// TestDeclarations compares the declarations with what blueprints in the field can rely on.
func TestDeclarations(t *testing.T) {
	credentials := " credentialsSource credentialsSecret region"
	tests := map[string]functiontest.Signature{
		"CreateRDSSnapshot": {Required: "instanceID", Optional: "dbEngine" + credentials,
			Outputs: "snapshotID instanceID securityGroupID allocatedStorage dbSubnetGroup", Defaults: "credentialsSource=profile"},
		"ExportRDSSnapshotToLocation": {Required: "namespace instanceID snapshotID dbEngine",
			Optional: "username password backupArtifactPrefix databases securityGroupID dbSubnetGroup image podAnnotations podLabels" + credentials,
			Outputs:  "backupID snapshotID instanceID securityGroupID", Defaults: "credentialsSource=profile"},
		"RestoreRDSSnapshot": {Required: "instanceID",
			Optional: "snapshotID dbEngine backupArtifactPrefix backupID username password namespace securityGroupID dbSubnetGroup" +
				" image podAnnotations podLabels" + credentials,
			Outputs: "endpoint", Defaults: "credentialsSource=profile"},
		"DeleteRDSSnapshot": {Required: "snapshotID", Optional: "dbEngine" + credentials, Defaults: "credentialsSource=profile"},
	}
	require.NoError(t, functiontest.Declarations(t.Context(), rds.Functions(rds.Deps{}), tests))
}

func TestRules(t *testing.T) {
	missing := func(name, why string) function.Problem {
		return function.Problem{Path: name, Fault: function.FaultMissing, Message: "argument is required " + why}
	}
	const dump = "where snapshotID is unset"
	tests := map[string]struct {
		function string
		args     map[string]any
		want     []function.Problem
	}{
		"secret without its name": {"CreateRDSSnapshot", map[string]any{"instanceID": "i", "credentialsSource": "Secret"},
			[]function.Problem{missing("credentialsSecret", "where credentialsSource is secret")}},
		"secret with its name": {"DeleteRDSSnapshot",
			map[string]any{"snapshotID": "i", "credentialsSource": "secret", "credentialsSecret": "s"}, nil},
		"snapshot": {"RestoreRDSSnapshot", map[string]any{"instanceID": "i", "snapshotID": "{{ .Options.id }}"}, nil},
		"dump": {"RestoreRDSSnapshot", map[string]any{"instanceID": "i"}, []function.Problem{
			missing("backupArtifactPrefix", dump), missing("backupID", dump), missing("dbEngine", dump),
			missing("namespace", dump), missing("password", dump), missing("username", dump)}},
		"export of another engine": {"ExportRDSSnapshotToLocation",
			map[string]any{"namespace": "n", "instanceID": "i", "snapshotID": "s", "dbEngine": "aurora"},
			[]function.Problem{{Path: "dbEngine", Fault: function.FaultValue, Message: `must be one of PostgreSQL, is "aurora"`}}},
	}
	reg, err := function.NewRegistry(rds.Functions(rds.Deps{})...)
	require.NoError(t, err)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := reg.Lookup(tc.function, "")
			require.NoError(t, err)
			require.Equal(t, tc.want, f.Check(tc.args))
		})
	}
}

func TestSecurityGroups(t *testing.T) {
	reg, err := function.NewRegistry(rds.Functions(rds.Deps{})...)
	require.NoError(t, err)
	f, err := reg.Lookup("RestoreRDSSnapshot", "")
	require.NoError(t, err)
	require.NoError(t, f.Validate(map[string]any{"instanceID": "i", "snapshotID": "s", "credentialsSource": "ServiceAccount"}))
	for _, groups := range []any{"- sg-1\n- sg-2\n", []any{"sg-1"}, ""} {
		require.NoError(t, f.Validate(map[string]any{"instanceID": "i", "snapshotID": "s", "securityGroupID": groups}))
	}
}
