package main

import (
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function/rds"
)

// --rds-wait is for every step of RDS; without it the functions have their own limits.
func TestRDSWait(t *testing.T) {
	for wait, want := range map[string]rds.Waits{
		"0s": {}, "3h": {Instance: 3 * time.Hour, Snapshot: 3 * time.Hour, Cluster: 3 * time.Hour},
	} {
		var f runFlags
		cmd := &cobra.Command{}
		f.bind(cmd)
		require.NoError(t, cmd.Flags().Parse([]string{"--rds-wait", wait}))
		d, err := (&session{flags: &f}).rdsDeps()
		require.NoError(t, err)
		require.Equal(t, want, d.Waits)
	}
	_, err := (&session{flags: &runFlags{rdsWait: -time.Second}}).rdsDeps()
	require.ErrorContains(t, err, "--rds-wait: -1s is less than no time")
}
