package volume_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/function/volume"
)

// TestDeclarations compares the declarations with what blueprints in the field can rely on.
func TestDeclarations(t *testing.T) {
	tests := map[string]functiontest.Signature{
		"CreateCSISnapshot": {Required: "pvc namespace snapshotClass", Optional: "name labels",
			Outputs: "name pvc namespace restoreSize snapshotContent"},
		"CreateCSISnapshotStatic": {Required: "name namespace driver snapshotHandle snapshotClass",
			Outputs: "name namespace restoreSize snapshotContent"},
		"RestoreCSISnapshot": {Required: "name pvc namespace storageClass restoreSize", Optional: "accessModes volumeMode labels",
			Defaults: "accessModes=ReadWriteOnce volumeMode=Filesystem"},
		"DeleteCSISnapshot":        {Required: "name namespace"},
		"DeleteCSISnapshotContent": {Required: "name"},
		"CreateVolumeSnapshot": {Required: "namespace", Optional: "pvcs skipWait", Outputs: "volumeSnapshotInfo",
			Defaults: "skipWait=false"},
		"WaitForSnapshotCompletion": {Required: "snapshots"},
		"CreateVolumeFromSnapshot":  {Required: "namespace snapshots", Optional: "pvcNames", Open: true},
		"DeleteVolumeSnapshot":      {Required: "namespace snapshots"},
	}
	require.NoError(t, functiontest.Declarations(t.Context(), volume.Declared(), tests))
}

func TestRestoreSize(t *testing.T) {
	reg, err := function.NewRegistry(volume.Declared()...)
	require.NoError(t, err)
	f, err := reg.Lookup("RestoreCSISnapshot", "")
	require.NoError(t, err)
	for size, good := range map[string]bool{
		"8Gi": true, "1": true, "10": true, "0.5Gi": true, "{{ .Options.size }}": true, "100m": true,
		"0": false, "0Gi": false, "0.0k": false, "": false,
	} {
		problems := f.Check(map[string]any{"name": "a", "pvc": "b", "namespace": "c", "storageClass": "d", "restoreSize": size})
		require.Equal(t, good, len(problems) == 0, "%q: %v", size, problems)
	}
}
