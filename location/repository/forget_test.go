package repository

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPolicy(t *testing.T) {
	now := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	var list []Snapshot
	for i, age := range []time.Duration{-2, 1, 2, 30, 31, 60, 24 * 40} {
		list = append(list, Snapshot{ID: string(rune('a' + i)), Time: now.Add(-age * time.Hour), Host: "h", Paths: []string{"/x", "/y"}, Tags: []string{"t", string(rune('a' + i))}})
	}
	other := Snapshot{ID: "z", Time: now.Add(-5000 * time.Hour), Host: "h", Paths: []string{"/x"}}
	for _, c := range []struct {
		name string
		p    KeepPolicy
		want string
	}{
		{"empty keeps all", KeepPolicy{}, "abcdefgz"},
		{"last", KeepPolicy{Last: 2}, "abz"},
		{"last of all together", KeepPolicy{Last: 2, Together: true}, "ab"},
		{"all", KeepPolicy{Daily: -1}, "adfgz"},
		{"daily", KeepPolicy{Daily: 2}, "adz"},
		{"hourly", KeepPolicy{Hourly: 4}, "abcdz"},
		{"monthly", KeepPolicy{Monthly: 2}, "adz"},
		{"yearly", KeepPolicy{Yearly: 1, Together: true}, "a"},
		{"within does not count from the future", KeepPolicy{Within: 30 * time.Hour}, "abcdz"},
		{"tags", KeepPolicy{Tags: [][]string{{"t", "c"}, {"f"}, {"t", "no"}}}, "cf"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			for _, k := range c.p.apply(append([]Snapshot{other}, list...), now) {
				if len(k.Why) > 0 {
					got += k.Snapshot.ID
				}
			}
			require.ElementsMatch(t, []byte(c.want), []byte(got), got)
		})
	}
	require.Empty(t, (&KeepPolicy{Last: 1}).Apply(nil))
}

func ExampleKeepPolicy_Apply() {
	day := func(n, hour int) time.Time { return time.Date(2024, 5, n, hour, 0, 0, 0, time.UTC) }
	snapshots := []Snapshot{{ID: "a", Time: day(1, 3)}, {ID: "b", Time: day(1, 23)}, {ID: "c", Time: day(2, 3)}, {ID: "d", Time: day(3, 3)}}
	policy := &KeepPolicy{Last: 1, Daily: 3}
	for _, k := range policy.Apply(snapshots) {
		fmt.Println(k.Snapshot.ID, k.Why)
	}
	// Output:
	// d [last snapshot daily snapshot]
	// c [daily snapshot]
	// b [daily snapshot]
	// a []
}
