//go:build e2e

package repository

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// The policy keeps what restic keeps, for the same reasons.
func TestPolicyIsRestics(t *testing.T) {
	r, dir := initFolder(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	zones := []*time.Location{time.UTC, time.FixedZone("", 5*3600+1800), time.FixedZone("", -11*3600)}
	at := time.Now().Add(48 * time.Hour)
	for i := range 150 {
		at = at.Add(-time.Duration(rnd.Int64N(int64(3*24*time.Hour)>>(rnd.IntN(8))) + 1))
		plant(t, r, planted{}, func(s *format.Snapshot) {
			s.Time = at.In(zones[i%3])
			s.Hostname = []string{"a", "b"}[rnd.IntN(2)]
			s.Paths = [][]string{{"/x", "/y"}, {"/y", "/x"}, {"/x"}}[rnd.IntN(3)]
			s.Tags = [][]string{nil, {"one"}, {"two", "one"}, {"three"}}[rnd.IntN(4)]
		})
	}
	all, err := r.Snapshots(t.Context(), nil)
	require.NoError(t, err)
	for _, c := range []struct {
		p    KeepPolicy
		args []string
	}{
		{KeepPolicy{Last: 3}, []string{"--keep-last", "3"}},
		{KeepPolicy{Hourly: 9}, []string{"--keep-hourly", "9"}},
		{KeepPolicy{Daily: 11, Weekly: 3, Monthly: 2}, []string{"--keep-daily", "11", "--keep-weekly", "3", "--keep-monthly", "2"}},
		{KeepPolicy{Yearly: 5, Last: 1}, []string{"--keep-yearly", "5", "--keep-last", "1"}},
		{KeepPolicy{Weekly: 50}, []string{"--keep-weekly", "50"}},
		{KeepPolicy{Within: 50 * time.Hour, Monthly: 1}, []string{"--keep-within", "2d2h", "--keep-monthly", "1"}},
		{KeepPolicy{Tags: [][]string{{"one", "two"}, {"three"}}}, []string{"--keep-tag", "one,two", "--keep-tag", "three"}},
		{KeepPolicy{Last: 4, Daily: 6, Together: true}, []string{"--keep-last", "4", "--keep-daily", "6", "--group-by", ""}},
	} {
		want := map[string][]string{}
		var groups []struct {
			Keep    []struct{ ID string }
			Remove  []struct{ ID string }
			Reasons []struct{ Matches []string }
		}
		out := restic(t, dir, append([]string{"forget", "--dry-run", "--json"}, c.args...)...)
		require.NoError(t, json.Unmarshal(out, &groups), "%s", out)
		for _, g := range groups {
			for i, k := range g.Keep {
				want[k.ID] = g.Reasons[i].Matches
			}
			for _, k := range g.Remove {
				want[k.ID] = nil
			}
		}
		got := c.p.Apply(slices.Clone(all))
		require.Len(t, got, len(all))
		require.Len(t, want, len(all))
		kept := 0
		for _, k := range got {
			if len(k.Why) > 0 {
				kept++
			}
			why := k.Why
			if c.p.Within > 0 && len(why) > 0 && why[0] == "within 50h0m0s" {
				why[0] = "within 2d2h"
			}
			if c.p.Tags == nil {
				require.Equal(t, want[k.Snapshot.ID], why, "%v %v", c.args, k.Snapshot)
			} else {
				require.Len(t, why, len(want[k.Snapshot.ID]), "%v %v", c.args, k.Snapshot)
			}
		}
		require.NotZero(t, kept)
		require.Less(t, kept, len(all), fmt.Sprint(c.args))
	}
}
