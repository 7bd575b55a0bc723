//go:build unix

package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
)

const stateful = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - {name: db, image: "example.com/db:1", command: [sleep, "600"], volumeMounts: [{name: data, mountPath: /data}, {name: tmp, mountPath: /scratch}]}
      - {name: side, image: "example.com/db:1", command: [sleep, "600"], volumeMounts: [{name: shared, mountPath: /shared}]}
      volumes: [{name: tmp, emptyDir: {}}, {name: shared, persistentVolumeClaim: {claimName: common}}]
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: common}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Secret
metadata: {name: password}
data: {b: Yg==}
stringData: {a: a}
`

// TestStagedIsWhatWillRun compares what a plan reads of manifests with what the local cluster makes of them.
func TestStagedIsWhatWillRun(t *testing.T) {
	s := localSession(t, t.TempDir())
	require.NoError(t, os.WriteFile(filepath.Join(s.flags.local[0], "more.yml"), []byte(stateful), 0o600))
	logger := slog.New(slog.DiscardHandler)
	l, err := s.openLocal(t.Context(), logger)
	require.NoError(t, err)
	defer func() { require.NoError(t, l.close(t.Context())) }()
	manifests, err := s.readManifests(s.flags.local)
	require.NoError(t, err)
	staged, err := stage(manifests)
	require.NoError(t, err)
	for _, w := range []cluster.Workload{{Kind: "deployment", Namespace: "shop", Name: "db"}, {Kind: "StatefulSet", Namespace: "default", Name: "db"}} {
		n := int32(1)
		if w.Kind == "StatefulSet" {
			n = 2
		}
		require.NoError(t, l.AwaitScaled(t.Context(), w, n))
		want, err := l.WorkloadPods(t.Context(), w)
		require.NoError(t, err)
		for i := range want {
			want[i].Started = time.Time{}
		}
		got, err := staged.WorkloadPods(t.Context(), w)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, ref := range []cluster.Ref{
		{APIVersion: "v1", Resource: "secrets", Namespace: "default", Name: "password"},
		{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "default", Name: "data-db-1"},
		{APIVersion: "v1", Resource: "persistentvolumeclaims", Namespace: "default", Name: "common"},
		{Group: "apps", Resource: "deployments", Namespace: "shop", Name: "db"},
		{APIVersion: "v1", Resource: "secrets", Namespace: "default", Name: "absent"},
	} {
		want, wantErr := l.Get(t.Context(), ref)
		got, err := staged.Get(t.Context(), ref)
		require.Equal(t, wantErr == nil, err == nil, "%s: %v, %v", ref, wantErr, err)
		assert.Equal(t, want["data"], got["data"])
		if err != nil {
			require.ErrorIs(t, err, cluster.ErrNotFound)
		}
	}
	_, err = staged.WorkloadPods(t.Context(), cluster.Workload{Kind: "Deployment", Namespace: "shop", Name: "absent"})
	require.ErrorIs(t, err, cluster.ErrNotFound)
}
