package rds

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

func TestCreate(t *testing.T) {
	w := withInstance()
	w.slow = 5
	out, err := newHost(w, quick).run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "db"})
	require.NoError(t, err)
	id := out["snapshotID"].(string)
	require.Regexp(t, `^db-[a-z2-7]{12}$`, id)
	require.Equal(t, function.Outputs{"snapshotID": id, "instanceID": "db", "securityGroupID": "- sg-1\n- sg-2\n", "allocatedStorage": "20GiB", "dbSubnetGroup": "default"}, out)
	snap := w.get(snapshotKind, id)
	require.Equal(t, "available", snap.status)
	require.Equal(t, "run", snap.tags["davit.io/run"])
	require.NotEmpty(t, snap.tags[ownerTag])
	require.Equal(t, "group:sg-1 group:sg-2 public:true subnets:default minor:true port:5432 protect:false retention:1 size:20", snap.tags["davit.io/source.1"])
}

func TestCreateOfCluster(t *testing.T) {
	w := withCluster()
	out, err := newHost(w, quick).run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "au", "dbEngine": "aurora-mysql"})
	require.NoError(t, err)
	require.Equal(t, "0GiB", out["allocatedStorage"])
	require.Equal(t, "- sg-1\n", out["securityGroupID"])
	require.Equal(t, "default", out["dbSubnetGroup"])
	require.Equal(t, "available", w.get(clusterSnapshotKind, out["snapshotID"].(string)).status)
	require.Equal(t, []string{"snap"}, w.all(clusterSnapshotKind)[1:])
}

// What RDS refuses for the moment is asked again, and an answer that was lost does not make a second snapshot.
func TestCreateThroughFaults(t *testing.T) {
	for name, code := range map[string]string{"throttled": "Throttling", "lost answer": "InternalFailure", "busy": "InvalidDBInstanceState"} {
		for _, done := range []bool{false, true} {
			t.Run(name+" "+map[bool]string{true: "after", false: "before"}[done], func(t *testing.T) {
				if done && name == "busy" {
					t.Log("RDS does not say so after it has done it")
					return
				}
				w := withInstance()
				w.fault = func(action, _ string, nth int) (string, bool) {
					if nth > 3 {
						return "", true
					}
					return code, done && strings.HasPrefix(action, "Create") && nth == 1
				}
				if name == "busy" {
					w.fault = func(action, _ string, nth int) (string, bool) {
						if action == "CreateDBSnapshot" && nth <= 3 {
							return code, false
						}
						return "", true
					}
				}
				out, err := newHost(w, quick).run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "db"})
				require.NoError(t, err)
				require.ElementsMatch(t, []string{"snap", out["snapshotID"].(string)}, w.all(snapshotKind))
				require.Greater(t, w.count("CreateDBSnapshot"), 1)
			})
		}
	}
}

func TestCreateThatFails(t *testing.T) {
	short := quick
	short.Snapshot, short.Appear = 50*time.Millisecond, 50*time.Millisecond
	tests := map[string]struct {
		args   map[string]any
		change func(w *world)
		want   string
		is     error
		// left is true where the snapshot cannot be removed.
		permanent, left bool
	}{
		"no instance":  {args: map[string]any{"instanceID": "nil"}, want: "RDS has no instance nil in this account and region", permanent: true},
		"no cluster":   {args: map[string]any{"instanceID": "db", "dbEngine": "aurora"}, want: "RDS has no cluster db", permanent: true},
		"no name":      {args: map[string]any{"instanceID": "a--b"}, want: "is no identifier of RDS", permanent: true},
		"of a cluster": {change: func(w *world) { w.get(instanceKind, "db").cluster = "au" }, want: "belongs to cluster au", permanent: true},
		"fails": {change: func(w *world) { w.becomes = func(string, string) string { return "failed" } },
			want: `it is "failed"`, is: ErrState},
		"slow": {change: func(w *world) { w.slow = 1 << 20 }, want: `still "creating" after 50ms; left behind`, is: ErrWait, left: true},
		"denied": {change: func(w *world) {
			w.fault = func(action, _ string, _ int) (string, bool) {
				return map[string]string{"CreateDBSnapshot": "AccessDenied"}[action], false
			}
		}, want: "RDS CreateDBSnapshot: AccessDenied: scripted", permanent: true},
		"never seen": {change: func(w *world) { w.unseen = 1 << 20 }, want: "RDS does not know it", is: ErrState, left: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withInstance()
			if tc.args == nil {
				tc.args = map[string]any{"instanceID": "db"}
			}
			if tc.change != nil {
				tc.change(w)
			}
			waits := quick
			if tc.left {
				waits = short
			}
			_, err := newHost(w, waits).run(t, "CreateRDSSnapshot", tc.args)
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, tc.permanent, function.IsPermanent(err), err)
			if tc.is != nil {
				require.ErrorIs(t, err, tc.is)
			}
			if !tc.left {
				require.Equal(t, []string{"snap"}, w.all(snapshotKind))
			}
		})
	}
}

// A snapshot that has the name and not the tag is somebody else's.
func TestCreateBesideAStranger(t *testing.T) {
	w := withInstance()
	h := newHost(w, quick)
	out, err := h.run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "db"})
	require.NoError(t, err)
	id := out["snapshotID"].(string)
	w.get(snapshotKind, id).tags = map[string]string{ownerTag: "another"}
	before := w.changes()
	call, _ := newCall()
	call.Resumed = true
	_, err = h.funcs["CreateRDSSnapshot"].Exec(t.Context(), call, map[string]any{"instanceID": "db"})
	require.ErrorContains(t, err, "this phase did not make it")
	require.True(t, function.IsPermanent(err))
	require.Equal(t, before, w.changes(), "it is not touched")

	other := w.get(snapshotKind, id)
	other.hidden = 2 // the stranger's is not seen at first
	_, err = h.funcs["CreateRDSSnapshot"].Exec(t.Context(), call, map[string]any{"instanceID": "db"})
	require.ErrorContains(t, err, "this phase did not make it")
	require.Equal(t, "available", w.get(snapshotKind, id).status)
}

// A call that is stopped removes what it made, or names it, within the time there is.
func TestCreateIsStopped(t *testing.T) {
	for name, slow := range map[string]int{"in time": 20, "too slow": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := withInstance()
				w.slow = slow
				cause := errors.New("stopped by the test")
				ctx, cancel := context.WithCancelCause(t.Context())
				call, rec := newCall()
				call.OnProgress = func(_ context.Context, p function.Progress) {
					if strings.Contains(p.Note, "creating") {
						cancel(cause)
					}
				}
				began := time.Now()
				_, err := newHost(w, quick).funcs["CreateRDSSnapshot"].Exec(ctx, call, map[string]any{"instanceID": "db"})
				noCanary(t, rec, err)
				require.Less(t, time.Since(began), quick.CleanUp+time.Second)
				if slow < 100 {
					require.Equal(t, cause, err)
					require.Equal(t, []string{"snap"}, w.all(snapshotKind))
					return
				}
				require.NotErrorIs(t, err, cause, "the host would tell nothing but the cause")
				require.ErrorContains(t, err, "left behind, remove by hand: RDS snapshot "+w.all(snapshotKind)[0])
			})
		})
	}
}

func TestDelete(t *testing.T) {
	w := withCluster()
	w.slow = 4
	h := newHost(w, quick)
	_, err := h.run(t, "DeleteRDSSnapshot", map[string]any{"snapshotID": "snap"})
	require.ErrorContains(t, err, "snap is no snapshot of an instance, but of an Aurora cluster: set dbEngine")
	_, err = h.run(t, "DeleteRDSSnapshot", map[string]any{"snapshotID": "snap", "dbEngine": "Aurora-MySQL"})
	require.NoError(t, err)
	require.Empty(t, w.all(clusterSnapshotKind), "it is gone when the function returns")
	_, err = h.run(t, "DeleteRDSSnapshot", map[string]any{"snapshotID": "snap", "dbEngine": "aurora-mysql"})
	require.NoError(t, err, "one that does not exist is no error")

	w = withInstance()
	w.fault = func(action, _ string, nth int) (string, bool) {
		return map[bool]string{true: "InvalidDBSnapshotState"}[action == "DeleteDBSnapshot" && nth < 4], false
	}
	_, err = newHost(w, quick).run(t, "DeleteRDSSnapshot", map[string]any{"snapshotID": "snap"})
	require.NoError(t, err)
	require.Empty(t, w.all(snapshotKind))
	_, err = newHost(w, quick).run(t, "DeleteRDSSnapshot", map[string]any{"snapshotID": ""})
	require.True(t, function.IsPermanent(err))
}

// A wait outlasts throttling that one request does not; an error that does not pass ends it.
func TestWaitThroughThrottling(t *testing.T) {
	for code, ends := range map[string]bool{"Throttling": false, "RequestLimitExceeded": false, "InternalFailure": false, "AccessDenied": true} {
		t.Run(code, func(t *testing.T) {
			w := withInstance()
			w.fault = func(action, id string, nth int) (string, bool) {
				return map[bool]string{true: code}[action == "DescribeDBSnapshots" && id != "snap" && nth > 2 && nth < 30], false
			}
			out, err := newHost(w, quick).run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "db"})
			if ends {
				require.ErrorContains(t, err, "AccessDenied")
				require.ErrorContains(t, err, "left behind, remove by hand: RDS snapshot db-")
				return
			}
			require.NoError(t, err)
			require.Equal(t, "available", w.get(snapshotKind, out["snapshotID"].(string)).status)
		})
	}
}
