package rds

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

func TestExport(t *testing.T) {
	w := withInstance()
	w.slow = 4
	h := newHost(w, quick)
	var got dumpRequest
	var temporary thing
	h.write = func(_ context.Context, _ *function.Call, req dumpRequest) error {
		got = req
		for _, id := range w.all(instanceKind) {
			if id != "db" {
				temporary = *w.get(instanceKind, id)
			}
		}
		return nil
	}
	args := exportArgs()
	args["databases"], args["dbSubnetGroup"], args["podLabels"] = []any{"a"}, "other", map[string]any{"l": "v"}
	args["securityGroupID"] = "- sg-7\n"
	out, err := h.run(t, "ExportRDSSnapshotToLocation", args)
	require.NoError(t, err)
	require.Equal(t, function.Outputs{"backupID": out["backupID"], "snapshotID": "snap", "instanceID": "db", "securityGroupID": "- sg-7\n"}, out)
	require.Equal(t, "db/"+out["backupID"].(string), got.Path)
	require.Equal(t, []string{"a"}, got.Databases)
	require.Equal(t, map[string]string{"l": "v"}, got.Labels)
	require.Equal(t, temporary.id+".example", got.Endpoint.Host)
	require.Equal(t, "15.4", got.Endpoint.EngineVersion)
	require.Equal(t, password, got.Endpoint.Password.Reveal())
	require.Equal(t, "available", temporary.status)
	require.False(t, temporary.public)
	require.Equal(t, "other", temporary.subnet)
	require.Equal(t, []string{"sg-7"}, temporary.groups)
	require.Equal(t, "run", temporary.tags["davit.io/run"])
	require.Equal(t, []string{"db"}, w.all(instanceKind), "it is gone when the function returns")
}

func TestExportIsRefused(t *testing.T) {
	tests := map[string]struct {
		args   map[string]any
		change func(*world, *host)
		want   string
	}{
		"no snapshot":    {map[string]any{"snapshotID": "nil"}, nil, "RDS snapshot nil does not exist"},
		"empty snapshot": {map[string]any{"snapshotID": ""}, nil, "snapshotID is empty"},
		"another engine": {nil, func(w *world, _ *host) { w.get(snapshotKind, "snap").engine = "mysql" }, "only PostgreSQL can be exported"},
		"in the making":  {nil, func(w *world, _ *host) { w.get(snapshotKind, "snap").status = "creating" }, "not available"},
		"no user":        {map[string]any{"username": ""}, nil, "username and password are needed"},
		"no password":    {map[string]any{"password": ""}, nil, "username and password are needed"},
		"no namespace":   {map[string]any{"namespace": ""}, nil, "namespace is empty"},
		"no pods":        {nil, func(_ *world, h *host) { h.Pods = nil }, "no way to run pods"},
		"no image":       {nil, func(_ *world, h *host) { h.DumpImage = "" }, "no image for the pod"},
		"no subnets":     {map[string]any{"dbSubnetGroup": "nil"}, nil, `no subnet group "nil"`},
		"groups unknown": {nil, func(w *world, _ *host) { delete(w.things, instanceKind+"/db") }, "give argument securityGroupID"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := withInstance()
			h := newHost(w, quick)
			args := exportArgs()
			for k, v := range tc.args {
				args[k] = v
			}
			if tc.change != nil {
				tc.change(w, h)
			}
			_, err := h.run(t, "ExportRDSSnapshotToLocation", args)
			require.ErrorContains(t, err, tc.want)
			require.Empty(t, w.changes())
		})
	}
}

// The temporary instance is removed whatever comes, or named.
func TestExportThatFails(t *testing.T) {
	failed := errors.New("the dump failed")
	w := withInstance()
	h := newHost(w, quick)
	h.write = func(context.Context, *function.Call, dumpRequest) error { return failed }
	_, err := h.run(t, "ExportRDSSnapshotToLocation", exportArgs())
	require.Equal(t, failed, err)
	require.Equal(t, []string{"db"}, w.all(instanceKind))

	w.becomes = func(kind, id string) string {
		return map[bool]string{true: "incompatible-restore"}[kind == instanceKind && id != "db"]
	}
	_, err = h.run(t, "ExportRDSSnapshotToLocation", exportArgs())
	require.ErrorIs(t, err, ErrState)
	require.Equal(t, []string{"db"}, w.all(instanceKind))

	w.becomes = nil
	w.fault = func(action, _ string, _ int) (string, bool) {
		return map[string]string{"DeleteDBInstance": "AccessDenied"}[action], false
	}
	_, err = h.run(t, "ExportRDSSnapshotToLocation", exportArgs())
	require.ErrorIs(t, err, failed)
	require.ErrorContains(t, err, "left behind, remove by hand: temporary RDS instance db-")
}

// A dump that is whole is a result, also where the temporary instance cannot be removed: the host is told of it.
func TestExportLeavesItsInstance(t *testing.T) {
	w := withInstance()
	denied := true
	w.fault = func(action, _ string, _ int) (string, bool) {
		return map[bool]string{true: "AccessDenied"}[denied && action == "DeleteDBInstance"], false
	}
	call, _ := newCall()
	var what string
	var again func(context.Context) error
	call.OnRecorded = func(name string, do func(context.Context) error) { what, again = name, do }
	_, err := newHost(w, quick).funcs["ExportRDSSnapshotToLocation"].Exec(t.Context(), call, exportArgs())
	require.NoError(t, err)
	require.Contains(t, what, "temporary RDS instance db-")
	require.ErrorContains(t, again(t.Context()), "AccessDenied")
	denied = false
	require.NoError(t, again(t.Context()))
	require.Equal(t, []string{"db"}, w.all(instanceKind))
}

func TestExportIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := withInstance()
		h := newHost(w, quick)
		ctx, cancel := context.WithCancel(t.Context())
		h.write = func(ctx context.Context, _ *function.Call, _ dumpRequest) error {
			cancel()
			return context.Cause(ctx)
		}
		call, _ := newCall()
		_, err := h.funcs["ExportRDSSnapshotToLocation"].Exec(ctx, call, exportArgs())
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, []string{"db"}, w.all(instanceKind))
	})
}

func TestExportBesideAStranger(t *testing.T) {
	w := withInstance()
	h := newHost(w, quick)
	call, _ := newCall()
	s := &session{deps: h.deps, call: call, owner: call.Name("rds")}
	w.put(&thing{kind: instanceKind, id: s.derived("db"), status: "available"})
	_, err := h.run(t, "ExportRDSSnapshotToLocation", exportArgs())
	require.ErrorContains(t, err, "this phase did not make it")
	require.Empty(t, w.changes())
}
