package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/snapshot"
)

type awaitCSISnapshotsArgs struct {
	Snapshots []map[string]string `arg:"snapshots,optional,yaml" doc:"The snapshots, each with name and namespace, as output snapshots of CreateCSISnapshotGroup has them; what else they have is not looked at."`
	Names     []string            `arg:"names,optional,words" doc:"Names of the snapshots, in place of snapshots."`
	Namespace string              `arg:"namespace,optional" doc:"Namespace of snapshots that come without one; that of the action's subject if unset."`
}

type awaitCSISnapshotsOutputs struct {
	Snapshots []groupSnapshot `out:"snapshots" doc:"The snapshots in the order of the arguments, each with name, pvc, namespace, restoreSize and snapshotContent."`
}

func awaitCSISnapshots(d Deps) function.Func {
	return function.Define("AwaitCSISnapshots",
		"Waits until CSI snapshots can be restored: those that CreateCSISnapshotGroup left when they were cut.",
		func(ctx context.Context, call *function.Call, in awaitCSISnapshotsArgs) (awaitCSISnapshotsOutputs, error) {
			all, err := await(ctx, call, d, in)
			return awaitCSISnapshotsOutputs{shown(all)}, err
		},
		&function.Options{Replay: function.Idempotent, Rules: awaitRules,
			Check: func(args map[string]any) []function.Problem { return function.ExactlyOne(args, "snapshots", "names") },
			Example: `func: AwaitCSISnapshots
name: ready
args:
  namespace: "{{ .StatefulSet.Namespace }}"
  names: snapshot-of-data snapshot-of-wal
`})
}

// refs names the snapshots.
func (in awaitCSISnapshotsArgs) refs(subject function.Subject) ([]snapshot.Ref, error) {
	if len(in.Names) > 0 == (len(in.Snapshots) > 0) {
		return nil, errors.New("one of the arguments snapshots and names is required")
	}
	refs := make([]snapshot.Ref, 0, len(in.Names)+len(in.Snapshots))
	for _, name := range in.Names {
		refs = append(refs, snapshot.Ref{Name: name})
	}
	for i, s := range in.Snapshots {
		if s["name"] == "" {
			return nil, fmt.Errorf("argument snapshots[%d]: it has no name", i)
		}
		refs = append(refs, snapshot.Ref{Namespace: s["namespace"], Name: s["name"]})
	}
	for i, ref := range refs {
		refs[i].Namespace = cmp.Or(ref.Namespace, in.Namespace, subject.Namespace)
		if refs[i].Namespace == "" {
			return nil, fmt.Errorf("argument namespace is required: nothing else says where snapshot %q is, and the action's subject is no workload", ref.Name)
		}
	}
	return refs, nil
}

func await(ctx context.Context, call *function.Call, d Deps, in awaitCSISnapshotsArgs) ([]snapshot.Status, error) {
	snapshots, err := d.snapshots(ctx, call)
	if err != nil {
		return nil, err
	}
	refs, err := in.refs(call.Subject)
	if err != nil {
		return nil, function.Permanent(err)
	}
	// One after the other: the last one to be ready decides how long it takes, whatever the order.
	all := make([]snapshot.Status, len(refs))
	for i, ref := range refs {
		if all[i], err = snapshots.Wait(ctx, ref); err != nil {
			return nil, forGood(fmt.Errorf("wait until snapshot %s can be restored: %w", ref, err))
		}
	}
	return all, nil
}
