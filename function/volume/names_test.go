package volume

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

func TestSnapshotName(t *testing.T) {
	a, b := &function.Call{ID: "backup/run-1/backup/0"}, &function.Call{ID: "backup/run-2/backup/0"}
	require.Regexp(t, `^data-db-0-snapshot-[a-z2-7]{15}$`, snapshotName(a, "data-db-0"))
	again := *a
	again.Attempt, again.Resumed = 3, true
	require.Equal(t, snapshotName(a, "data"), snapshotName(&again, "data"), "the same on every attempt")
	require.NotEqual(t, snapshotName(a, "data"), snapshotName(b, "data"), "another in every run")
	long := strings.Repeat("x", 226) + "."
	for _, claim := range []string{long + strings.Repeat("y", 20), long + strings.Repeat("z", 20)} {
		name := snapshotName(a, claim)
		require.LessOrEqual(t, len(name), nameMax)
		require.NotContains(t, name, ".-", "a part of a name ends with a letter or digit")
	}
	require.NotEqual(t, snapshotName(a, long+strings.Repeat("y", 20)), snapshotName(a, long+strings.Repeat("z", 20)), "what is cut off still counts")
}

func TestSnapshotLabels(t *testing.T) {
	call := &function.Call{Labels: map[string]string{"davit.io/run": "r"}}
	labels, err := snapshotLabels(call, map[string]string{
		"app.kubernetes.io/name": "My App!", "tier": "db-1", "davit.io/run": "forged", "x": strings.Repeat("A", 70), "empty": "", "ends": "with-_",
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"app_kubernetes_io_name": "my_app", "tier": "db-1", "davit_io_run": "forged", "x": strings.Repeat("a", 63), "empty": "", "ends": "with",
		"davit.io/run": "r",
	}, labels)
	for _, bad := range []map[string]string{{"a.b": "1", "a/b": "2"}, {"": "x"}, {"___": "x"}, {"größe": "1", "gr__e": "2"}} {
		_, err := snapshotLabels(call, bad)
		require.ErrorContains(t, err, "argument labels", "%v", bad)
		require.True(t, function.IsPermanent(err))
	}
}

func TestClaimLabels(t *testing.T) {
	call := &function.Call{Labels: map[string]string{"davit.io/run": "r"}}
	require.Equal(t, map[string]string{"davit.io/run": "r", "App.io/x": "Y"}, claimLabels(call, map[string]string{"App.io/x": "Y", "davit.io/run": "forged"}))
}

func TestOneLine(t *testing.T) {
	require.Equal(t, "a b c", oneLine("a\n b\x1b\tc\xff", 100))
	require.Equal(t, "aaa…", oneLine("aaaa", 3))
	require.Equal(t, "ä…", oneLine("ää", 3), "a character that is cut is dropped")
}
