package data_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/functiontest"
)

// all are the functions of the package but LocationDelete, which has tests of its own.
func all() []function.Func {
	return append(slices.DeleteFunc(data.Functions(data.Deps{}), func(f function.Func) bool { return f.Name() == "LocationDelete" }), data.Declared()...)
}

// TestDeclarations compares the declarations with what blueprints in the field can rely on.
func TestDeclarations(t *testing.T) {
	pod := " podOverride podAnnotations podLabels"
	tests := map[string]functiontest.Signature{
		"BackupData": {Required: "namespace pod container includePath backupArtifactPrefix", Optional: "encryptionKey insecureTLS",
			Outputs: "backupID backupTag fileCount size phySize version", Defaults: "insecureTLS=false"},
		"BackupDataAll": {Required: "namespace container includePath backupArtifactPrefix", Optional: "pods encryptionKey insecureTLS",
			Outputs: "BackupAllInfo version", Defaults: "insecureTLS=false"},
		"BackupDataStats": {Required: "namespace backupArtifactPrefix backupID", Optional: "statsMode image encryptionKey" + pod,
			Outputs: "mode fileCount size version", Defaults: "statsMode=restore-size"},
		"RestoreData": {Required: "namespace image backupArtifactPrefix", Open: true,
			Optional: "restorePath encryptionKey pod volumes backupTag backupIdentifier backupPath insecureTLS" + pod,
			Defaults: "restorePath=/ insecureTLS=false"},
		"RestoreDataAll": {Required: "namespace image backupArtifactPrefix backupInfo", Open: true,
			Optional: "restorePath encryptionKey pods insecureTLS" + pod, Defaults: "restorePath=/ insecureTLS=false"},
		"CopyVolumeData": {Required: "namespace volume dataArtifactPrefix", Optional: "image encryptionKey mountPath insecureTLS" + pod,
			Outputs:  "backupID backupRoot backupArtifactLocation backupTag fileCount size phySize version",
			Defaults: "insecureTLS=false"},
		"DeleteData": {Required: "namespace backupArtifactPrefix",
			Optional: "image backupID backupTag encryptionKey reclaimSpace insecureTLS" + pod,
			Outputs:  "spaceFreed", Defaults: "reclaimSpace=false insecureTLS=false"},
		"DeleteDataAll": {Required: "namespace backupArtifactPrefix backupInfo",
			Optional: "image encryptionKey reclaimSpace insecureTLS" + pod,
			Outputs:  "spaceFreed", Defaults: "reclaimSpace=false insecureTLS=false"},
		"CheckRepository": {Required: "backupArtifactPrefix", Optional: "image encryptionKey insecureTLS" + pod,
			Outputs: "passwordIncorrect repoUnavailable version", Defaults: "insecureTLS=false"},
		"BackupDataUsingKopiaServer": {Required: "container includePath namespace pod",
			Optional: "snapshotTags repositoryServerUserHostname", Outputs: "backupID size phySize"},
		"RestoreDataUsingKopiaServer": {Required: "backupIdentifier namespace restorePath image",
			Optional: "pod volumes repositoryServerUserHostname" + pod},
		"DeleteDataUsingKopiaServer": {Required: "backupID namespace image",
			Optional: "repositoryServerUserHostname podAnnotations podLabels"},
	}
	require.NoError(t, functiontest.Declarations(t.Context(), all(), tests))
}

func TestRules(t *testing.T) {
	tests := map[string]struct {
		function string
		args     map[string]any
		want     []function.Problem
	}{
		"neither pod nor volumes": {"RestoreData", map[string]any{"backupTag": "t"},
			[]function.Problem{{Fault: function.FaultMissing, Message: "one of pod and volumes is required"}}},
		"pod and volumes": {"RestoreData", map[string]any{"pod": "a", "volumes": map[string]any{"b": "/b"}, "backupTag": "t"},
			[]function.Problem{{Path: "volumes", Fault: function.FaultValue, Message: "only one of pod and volumes may be given"}}},
		"a pod that may render to nothing": {"RestoreData",
			map[string]any{"pod": "{{ .Options.pod }}", "volumes": map[string]any{"b": "/b"}, "backupTag": "t"}, nil},
		"an empty pod is none": {"RestoreData", map[string]any{"pod": "", "volumes": map[string]any{"b": "/b"}, "backupTag": "t"}, nil},
		"tag and identifier": {"RestoreData", map[string]any{"pod": "a", "backupTag": "t", "backupIdentifier": "i"},
			[]function.Problem{{Path: "backupIdentifier", Fault: function.FaultValue,
				Message: "only one of backupTag and backupIdentifier may be given"}}},
		"nothing to delete": {"DeleteData", map[string]any{"backupArtifactPrefix": "a"},
			[]function.Problem{{Fault: function.FaultMissing, Message: "one of backupID and backupTag is required"}}},
		"more identifiers than paths": {"DeleteData", map[string]any{"backupArtifactPrefix": "a", "backupID": "1 2"},
			[]function.Problem{{Path: "backupID", Fault: function.FaultValue,
				Message: "must name as many snapshots as backupArtifactPrefix has paths, 1, and names 2"}}},
		"as many": {"DeleteData", map[string]any{"backupArtifactPrefix": "a b", "backupID": "1 2"}, nil},
		"neither pod nor volumes for kopia": {"RestoreDataUsingKopiaServer", map[string]any{"backupIdentifier": "i", "restorePath": "/"},
			[]function.Problem{{Fault: function.FaultMissing, Message: "one of pod and volumes is required"}}},
	}
	reg, err := function.NewRegistry(all()...)
	require.NoError(t, err)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := reg.Lookup(tc.function, "")
			require.NoError(t, err)
			for _, arg := range []string{"namespace", "image", "backupArtifactPrefix"} {
				if field, ok := f.Schema().Arg(arg); ok && field.Required && tc.args[arg] == nil {
					tc.args[arg] = "x"
				}
			}
			require.Equal(t, tc.want, f.Check(tc.args))
		})
	}
}
