package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/snapshot"
)

const untilCut = "cut"

type createCSISnapshotGroupArgs struct {
	Namespace     string            `arg:"namespace,optional" doc:"Namespace of the claims and of the snapshots; that of the action's subject if unset."`
	PVCs          []string          `arg:"pvcs,optional,yaml" doc:"Names of the claims; if unset those that the held pod mounts, or without hold those of all pods of the action's subject."`
	SnapshotClass string            `arg:"snapshotClass,optional" doc:"Name of the VolumeSnapshotClass; the default class for each claim's storage if unset."`
	Labels        map[string]string `arg:"labels,optional" doc:"Labels of the snapshots, as in CreateCSISnapshot."`
	Names         map[string]string `arg:"names,optional" doc:"Names of the snapshots by the names of the claims; made from the claim's name where unset."`
	Until         string            `arg:"until" default:"ready" enum:"ready,cut" doc:"Wait until every snapshot is ready to be restored, or only until each is cut and the application may go on."`
	MaxHold       time.Duration     `arg:"maxHold" default:"1m" doc:"Longest time that the application is held; when it is over before every snapshot is cut, the phase fails."`
	Hold          *holdArgs         `arg:"hold,optional" doc:"A command that holds the application still until every snapshot is cut; none if unset."`
}

type holdArgs struct {
	Pod        string        `arg:"pod,optional" doc:"Pod the command runs in; the only pod of the action's subject if unset."`
	Container  string        `arg:"container,optional" doc:"Container the command runs in; the pod's only one if unset."`
	Command    []string      `arg:"command,command,nonempty" doc:"Holds the application, writes the held line to standard output and reads standard input; at its end it lets go and exits with 0."`
	HeldLine   string        `arg:"heldLine" default:"held" doc:"The line that says that the application is held."`
	Grace      time.Duration `arg:"grace" default:"10s" doc:"Time the command has to let go before it is ended."`
	KeepOutput bool          `arg:"keepOutput" default:"true" doc:"Keep what the command writes after the held line: more than 64 KiB, or what is no UTF-8, then fails the phase, and a host that comes after one that died takes the snapshots anew, as it is lost."`
}

type groupSnapshot struct {
	Name            string `out:"name" doc:"Name of the snapshot."`
	PVC             string `out:"pvc" doc:"Name of the claim."`
	Namespace       string `out:"namespace" doc:"Namespace of both."`
	RestoreSize     string `out:"restoreSize" doc:"Smallest size of a volume that the snapshot can be restored to, such as 8Gi; empty while it is unknown."`
	SnapshotContent string `out:"snapshotContent" doc:"Name of the VolumeSnapshotContent; empty while there is none."`
}

type createCSISnapshotGroupOutputs struct {
	Snapshots  []groupSnapshot `out:"snapshots" doc:"The snapshots in the order of the claims, each with name, pvc, namespace, restoreSize and snapshotContent."`
	FirstCut   string          `out:"firstCut" doc:"When the first was cut, by the storage's clock, in RFC 3339."`
	LastCut    string          `out:"lastCut" doc:"When the last was cut."`
	HoldTime   time.Duration   `out:"holdTime" doc:"How long the application was held, such as 1.2s; 0s without hold, and for a group that was adopted."`
	HoldOutput string          `out:"holdOutput" doc:"What the command wrote after the held line, at most 64 KiB of UTF-8; empty without keepOutput, and without hold."`
	Adopted    bool            `out:"adopted" doc:"The snapshots were found complete after the host had died."`
}

func createCSISnapshotGroup(d Deps) function.Func {
	return function.Define("CreateCSISnapshotGroup",
		"Takes CSI snapshots of several claims at once, while a command holds the application that writes to them; when one fails, all are removed.",
		func(ctx context.Context, call *function.Call, in createCSISnapshotGroupArgs) (createCSISnapshotGroupOutputs, error) {
			g, err := newGroup(ctx, call, d, in)
			if err != nil {
				return createCSISnapshotGroupOutputs{}, err
			}
			return g.create(ctx)
		},
		&function.Options{Replay: function.Adopt, Check: groupProblems, Rules: groupRules, Example: `func: CreateCSISnapshotGroup
name: snapshots
args:
  pvcs: [data-db-0, wal-db-0]
  namespace: "{{ .StatefulSet.Namespace }}"
  maxHold: 30s
  hold:
    pod: db-0
    command:
    - sh
    - -c
    - |
      trap 'fsfreeze -u /wal; fsfreeze -u /data' EXIT; trap exit TERM
      fsfreeze -f /data && fsfreeze -f /wal && echo held && cat
`})
}

// groupProblems finds a maxHold that bounds nothing.
func groupProblems(args map[string]any) []function.Problem {
	if args["hold"] == nil && args["maxHold"] != nil {
		return []function.Problem{{Path: "maxHold", Fault: function.FaultValue, Message: "bounds argument hold, which is not given"}}
	}
	return nil
}

// group is one execution of CreateCSISnapshotGroup.
type group struct {
	call      *function.Call
	snapshots *snapshot.Snapshotter
	request   snapshot.GroupRequest
	// holder is nil when nothing is held.
	holder *holder
	// keep is true when what the holder writes must not be lost.
	keep bool
	// output is what it wrote, once the application goes on.
	output string
}

func newGroup(ctx context.Context, call *function.Call, d Deps, in createCSISnapshotGroupArgs) (*group, error) {
	snapshots, err := d.snapshots(ctx, call)
	if err != nil {
		return nil, err
	}
	in.Namespace = cmp.Or(in.Namespace, call.Subject.Namespace)
	if in.Namespace == "" {
		return nil, function.Permanent(errors.New("argument namespace is required: the action's subject is no workload"))
	}
	g := &group{call: call, snapshots: snapshots}
	if in.Hold != nil {
		g.keep = in.Hold.KeepOutput
		if g.holder, err = newHolder(call, d, in); err != nil {
			return nil, err
		}
	}
	claims, err := in.claims(call, g.holder)
	if err != nil {
		return nil, function.Permanent(err)
	}
	labels, err := snapshotLabels(call, in.Labels)
	if err != nil {
		return nil, err
	}
	g.request = snapshot.GroupRequest{MaxHold: in.MaxHold, UntilCut: in.Until == untilCut, Anew: g.keep} // what the command wrote is lost with the host
	if g.keep {
		g.request.Accept = g.accept
	}
	for _, claim := range claims {
		g.request.Requests = append(g.request.Requests, snapshot.Request{
			Ref:    snapshot.Ref{Namespace: in.Namespace, Name: cmp.Or(in.Names[claim], snapshotName(call, claim))},
			Volume: claim, Class: in.SnapshotClass, Labels: labels, Token: token(call),
		})
	}
	return g, nil
}

// claims returns the names of the claims: those of the arguments, or else of the subject.
func (in createCSISnapshotGroupArgs) claims(call *function.Call, h *holder) ([]string, error) {
	claims := in.PVCs
	if len(claims) == 0 {
		of := call.Subject.Claims
		if h != nil {
			of = map[string]map[string]string{h.pod: call.Subject.Claims[h.pod]}
		}
		found := map[string]bool{}
		for _, mounted := range of {
			for claim := range mounted {
				found[claim] = true
			}
		}
		claims = slices.Sorted(maps.Keys(found))
	}
	switch {
	case len(claims) == 0 && h != nil:
		return nil, fmt.Errorf("argument pvcs is required: %s, which is to be held, is none of the action's subject, or mounts no claim", h.pod)
	case len(claims) == 0:
		return nil, errors.New("argument pvcs is required: no running pod of the action's subject mounts a claim")
	}
	for i, claim := range claims {
		if slices.Contains(claims[:i], claim) {
			return nil, fmt.Errorf("argument pvcs names claim %q twice", claim)
		}
	}
	for _, claim := range slices.Sorted(maps.Keys(in.Names)) {
		if !slices.Contains(claims, claim) {
			return nil, fmt.Errorf("argument names has a name for %q, which is none of the claims (%s)", claim, strings.Join(claims, ", "))
		}
	}
	return claims, nil
}

// accept keeps what the holder wrote. Snapshots whose backup label is cut or garbled are of no use.
func (g *group) accept(context.Context) (err error) {
	if g.output, err = g.holder.output(); err != nil {
		return function.Permanent(fmt.Errorf("output holdOutput: %w; write less of it, or set hold.keepOutput to false where it is not needed", err))
	}
	return nil
}

func (g *group) create(ctx context.Context) (createCSISnapshotGroupOutputs, error) {
	var h snapshot.Holder
	if g.holder != nil {
		h = g.holder
	}
	g.call.Report(ctx, function.Progress{Note: fmt.Sprintf("taking %d snapshots", len(g.request.Requests))})
	res, err := g.snapshots.CreateGroup(ctx, g.request, h)
	if err != nil {
		return createCSISnapshotGroupOutputs{}, forGood(fmt.Errorf("snapshots of %s: %w", g.claims(), err))
	}
	out := createCSISnapshotGroupOutputs{
		Snapshots: shown(res.Snapshots), FirstCut: instant(res.FirstCut), LastCut: instant(res.LastCut), HoldTime: res.Held, Adopted: res.Adopted,
	}
	out.HoldOutput = g.output
	g.call.Log.InfoContext(ctx, "snapshots taken", "snapshots", len(res.Snapshots), "held", res.Held, "first", out.FirstCut, "last", out.LastCut, "adopted", res.Adopted)
	return out, nil
}

// claims names the claims for an error.
func (g *group) claims() string {
	const most = 10
	all := g.request.Requests
	names := make([]string, 0, most)
	for _, r := range all[:min(len(all), most)] {
		names = append(names, r.Volume)
	}
	if len(all) > most {
		return fmt.Sprintf("%d claims of namespace %s, among them %s", len(all), all[0].Namespace, strings.Join(names, ", "))
	}
	return fmt.Sprintf("claims %s of namespace %s", strings.Join(names, ", "), all[0].Namespace)
}

// shown are snapshots as outputs.
func shown(all []snapshot.Status) []groupSnapshot {
	out := make([]groupSnapshot, len(all))
	for i, s := range all {
		out[i] = groupSnapshot{s.Name, s.Volume, s.Namespace, s.RestoreSize, s.Content}
	}
	return out
}

// instant is empty where the storage does not say when.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
