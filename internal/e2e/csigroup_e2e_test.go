//go:build e2e

package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/template"
)

// writer counts in two volumes at once, in bursts; where /tmp/hold is, it stands still and says so.
const writer = `i=0; while :; do
if [ -e /tmp/hold ]; then touch /tmp/idle; sleep 0.01; continue; fi
i=$((i+1)); echo $i >/data/n; echo $i >/wal/n
[ $((i % 50)) = 0 ] && sleep 0.01
done`

// hold makes the writer stand still.
const hold = `rm -f /tmp/idle; touch /tmp/hold; while ! [ -e /tmp/idle ]; do sleep 0.01; done; sync`

const groupDocument = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: group}
actions:
  session:
    outputArtifacts:
      group: &artifact
        keyValue:
          snapshots: "{{ toJson .Phases.snapshots.Output.snapshots }}"
          cut: "{{ .Phases.snapshots.Output.firstCut }}"
          held: "{{ .Phases.snapshots.Output.holdTime }}"
          output: "{{ .Phases.snapshots.Output.holdOutput }}"
    phases:
    - func: CreateCSISnapshotGroup
      name: snapshots
      args:
        maxHold: 30s
        hold:
          command: [sh, -ec, "trap 'rm -f /tmp/hold' EXIT; HOLD; echo held; cat >/dev/null; cat /data/n"]
  phases:
    outputArtifacts:
      group:
        keyValue:
          snapshots: "{{ toJson .Phases.ready.Output.snapshots }}"
    phases:
    - func: KubeExec
      name: freeze
      release: [thaw]
      maxHold: 30s
      args: &exec
        namespace: "{{ .Deployment.Namespace }}"
        pod: "{{ index .Deployment.Pods 0 }}"
        command: [sh, -ec, "HOLD"]
    - func: CreateCSISnapshotGroup
      name: snapshots
      args: {until: cut}
    - func: KubeExec
      name: thaw
      args: {<<: *exec, command: [rm, -f, /tmp/hold]}
    - func: AwaitCSISnapshots
      name: ready
      args: {snapshots: "{{ toJson .Phases.snapshots.Output.snapshots }}"}
  restore:
    inputArtifactNames: [group]
    phases:
    - func: RestoreCSISnapshot
      name: first
      args: &restore
        name: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 0).name }}"
        pvc: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 0).pvc }}-SUFFIX"
        namespace: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 0).namespace }}"
        restoreSize: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 0).restoreSize }}"
        storageClass: davit-test
    - func: RestoreCSISnapshot
      name: second
      args:
        <<: *restore
        name: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 1).name }}"
        pvc: "{{ (index (fromJson .ArtifactsIn.group.KeyValue.snapshots) 1).pvc }}-SUFFIX"
`

func groupOf(suffix string) string {
	return strings.NewReplacer("HOLD", hold, "SUFFIX", suffix).Replace(groupDocument)
}

// counter is what the writer has reached.
func (s *shop) counter() int {
	n, err := strconv.Atoi(strings.TrimSpace(s.sh(`until n=$(cat /wal/n 2>/dev/null) && [ "$n" ]; do :; done; echo $n`))) // it is empty for a moment
	require.NoError(s.t, err)
	return n
}

// goesOn waits until the writer writes.
func (s *shop) goesOn() {
	s.t.Helper()
	n := s.counter()
	require.Eventually(s.t, func() bool { return s.counter() > n }, 2*time.Minute, 50*time.Millisecond, "the writer goes on")
}

// alike restores both volumes and returns the one number that both hold.
func (s *shop) alike(suffix string, artifacts map[string]template.Artifact) int {
	s.t.Helper()
	s.must(parseBlueprint(s.t, groupOf(suffix)), "restore", artifacts)
	found := strings.Fields(s.in("cat /data-"+suffix+"/n /wal-"+suffix+"/n", "data-"+suffix, "wal-"+suffix))
	require.Len(s.t, found, 2)
	require.Equal(s.t, found[0], found[1], "both volumes are of one moment")
	n, err := strconv.Atoi(found[0])
	require.NoError(s.t, err)
	return n
}

// TestCSIGroup takes two volumes that are written to all the time, held by a session in the pod and held by phases.
func TestCSIGroup(t *testing.T) {
	t.Parallel()
	s := newShop(t, writer, "data", "wal")
	s.goesOn()
	bp := parseBlueprint(t, groupOf("x"))

	before := s.counter()
	artifacts := s.must(bp, "session", nil)
	s.goesOn()
	made := artifacts["group"].KeyValue
	held, err := time.ParseDuration(made["held"])
	require.NoError(t, err)
	t.Logf("held for %s by a session", held)
	require.Positive(t, held)
	require.Less(t, held, 30*time.Second)
	require.NotEmpty(t, made["cut"])
	n := s.alike("session", artifacts)
	require.Equal(t, strconv.Itoa(n), strings.TrimSpace(made["output"]), "what the session wrote was kept")
	require.Greater(t, n, before)

	before = s.counter()
	artifacts = s.must(bp, "phases", nil)
	s.goesOn()
	require.Greater(t, s.alike("phases", artifacts), before)
}
