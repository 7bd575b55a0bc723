package volume_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/function/volume"
)

// every function of the package, over nothing.
func every() []function.Func {
	return slices.Concat(volume.Functions(volume.Deps{}), volume.Declared())
}

// lookup returns a function of a set.
func lookup(t testing.TB, funcs []function.Func, name string) function.Func {
	t.Helper()
	reg, err := function.NewRegistry(funcs...)
	require.NoError(t, err)
	f, err := reg.Lookup(name, "")
	require.NoError(t, err)
	return f
}

// TestDeclarations compares the declarations with what blueprints in the field can rely on.
func TestDeclarations(t *testing.T) {
	tests := map[string]functiontest.Signature{
		"CreateCSISnapshot": {Required: "pvc namespace snapshotClass", Optional: "name labels",
			Outputs: "name pvc namespace restoreSize snapshotContent"},
		"CreateCSISnapshotStatic": {Required: "name namespace driver snapshotHandle snapshotClass", Optional: "volumeMode",
			Defaults: "volumeMode=Filesystem", Outputs: "name namespace restoreSize snapshotContent"},
		"CreateCSISnapshotGroup": {Optional: "namespace pvcs snapshotClass labels names until maxHold hold",
			Outputs: "snapshots firstCut lastCut holdTime holdOutput adopted", Defaults: "until=ready maxHold=1m"},
		"AwaitCSISnapshots": {Optional: "snapshots names namespace", Outputs: "snapshots"},
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
	require.NoError(t, functiontest.Declarations(t.Context(), every(), tests))
}

func TestRestoreSize(t *testing.T) {
	f := lookup(t, every(), "RestoreCSISnapshot")
	for size, good := range map[string]bool{
		"8Gi": true, "1": true, "10": true, "0.5Gi": true, "{{ .Options.size }}": true, "100m": true,
		"0": false, "0Gi": false, "0.0k": false, "": false,
	} {
		problems := f.Check(map[string]any{"name": "a", "pvc": "b", "namespace": "c", "storageClass": "d", "restoreSize": size})
		require.Equal(t, good, len(problems) == 0, "%q: %v", size, problems)
	}
}

// TestNothingToWorkOn wants an error that says what is missing.
func TestNothingToWorkOn(t *testing.T) {
	call, _ := functiontest.NewCall("run/action/phase")
	args := map[string]any{"name": "a", "namespace": "b"}
	_, err := lookup(t, every(), "DeleteCSISnapshot").Exec(t.Context(), call, args)
	require.ErrorContains(t, err, "gave no snapshot.Snapshotter")
	require.True(t, function.IsPermanent(err))
	_, err = lookup(t, volume.Functions(volume.Deps{Without: errors.New("there is no storage here")}), "DeleteCSISnapshot").Exec(t.Context(), call, args)
	require.EqualError(t, err, `function "DeleteCSISnapshot": there is no storage here`)
}
