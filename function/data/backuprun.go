package data

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/internal/mover"
)

// backup is one folder that is backed up.
type backup struct {
	d      Deps
	call   *function.Call
	at     container
	folder string
	place  *place
	// number tells the pods of a phase apart; empty for the only one.
	number string
	key    function.Secret
}

// run makes a snapshot with the first mover that can.
func (b *backup) run(ctx context.Context) (mover.Result, error) {
	if !strings.HasPrefix(b.folder, "/") {
		return mover.Result{}, function.Permanent(fmt.Errorf("the folder to back up, %q, is no absolute path", b.folder))
	}
	b.folder = path.Clean(b.folder)
	req, err := b.request(ctx)
	if err != nil {
		return mover.Result{}, err
	}
	var unsuitable []error
	for _, m := range b.d.Movers {
		result, err := b.by(ctx, m, req)
		if !errors.Is(err, errUnsuitable) {
			return result, err
		}
		unsuitable = append(unsuitable, fmt.Errorf("%s: %w", m, err))
	}
	return mover.Result{}, function.Permanent(fmt.Errorf("no mover can read %s of %s:\n%w", b.folder, b.at, errors.Join(unsuitable...)))
}

func (b *backup) request(ctx context.Context) (*mover.Request, error) {
	password, err := b.d.password(ctx, b.place, b.key, true)
	if err != nil {
		return nil, err
	}
	return &mover.Request{
		Op: mover.Backup, Profile: b.place.profile, Path: b.place.path, Password: password, Create: true,
		Tag: b.tag(), Again: b.call.Resumed || b.call.Attempt > 1, Host: b.at.pod, Folder: b.folder,
	}, nil
}

// tag is the same on every attempt of the phase.
func (b *backup) tag() string { return b.call.Name("") }

func (b *backup) by(ctx context.Context, m Mover, req *mover.Request) (mover.Result, error) {
	switch m {
	case MoverAgent:
		return b.d.runAgent(ctx, b.call, b.at, req)
	case MoverPod:
		return b.byPod(ctx, req)
	case MoverExec:
		return b.byExec(ctx, req)
	default:
		return mover.Result{}, function.Permanent(fmt.Errorf("the host program names a mover %q, which is none: want %s, %s or %s", string(m), MoverAgent, MoverPod, MoverExec))
	}
}

// byPod has a pod beside the application's do it.
func (b *backup) byPod(ctx context.Context, req *mover.Request) (mover.Result, error) {
	if b.d.MoverImage == "" {
		return mover.Result{}, fmt.Errorf("%w: the host program names no MoverImage", errUnsuitable)
	}
	app, err := b.d.runningPod(ctx, b.at.namespace, b.at.pod)
	if err != nil {
		return mover.Result{}, forGood(err)
	}
	ct := app.container(b.at.name)
	if ct == nil {
		return mover.Result{}, function.Permanent(fmt.Errorf("%s: there is no such container", b.at))
	}
	claim, mount, err := app.claimOf(ct, b.folder)
	if err != nil {
		return mover.Result{}, err
	}
	if err := b.d.checkClaim(ctx, b.at.namespace, claim, true); err != nil {
		return mover.Result{}, err
	}
	base, err := app.fit(ct, mount)
	if err != nil {
		return mover.Result{}, err
	}
	return b.d.runPod(ctx, b.call, podWork{
		suffix: b.number, namespace: b.at.namespace, claims: map[string]string{claim: mount}, base: base,
	}, req)
}

// checkClaim looks for a claim that a pod would wait for in vain. With shared, one that no second pod can mount is errUnsuitable.
func (d Deps) checkClaim(ctx context.Context, namespace, name string, shared bool) error {
	if d.Objects == nil {
		return errNothing("cluster.Getter")
	}
	object, err := d.Objects.Get(ctx, cluster.Ref{APIVersion: "v1", Resource: "persistentvolumeclaims", Namespace: namespace, Name: name})
	if err != nil {
		return forGood(fmt.Errorf("look up claim %s/%s: %w", namespace, name, err))
	}
	spec, _ := object["spec"].(map[string]any)
	modes, _ := spec["accessModes"].([]any)
	status, _ := object["status"].(map[string]any)
	switch {
	case status["phase"] == "Lost":
		return fmt.Errorf("claim %s/%s has lost its volume", namespace, name)
	case shared && slices.Contains(modes, any("ReadWriteOncePod")):
		return fmt.Errorf("%w: claim %s/%s can be mounted by one pod alone", errUnsuitable, namespace, name)
	}
	return nil
}

func (d Deps) backupData(ctx context.Context, call *function.Call, in backupDataArgs) (backupDataOutputs, error) {
	p, err := placeOf(call, in.BackupArtifactPrefix, in.InsecureTLS)
	if err != nil {
		return backupDataOutputs{}, err
	}
	b := &backup{d: d, call: call, at: container{cmp.Or(in.Namespace, d.Namespace), in.Pod, in.Container}, folder: in.IncludePath, place: p, key: in.EncryptionKey}
	result, err := b.run(ctx)
	if err != nil {
		return backupDataOutputs{}, err
	}
	out := backupDataOutputs{BackupID: short(result.Snapshot), BackupTag: b.tag(), Version: version}
	out.FileCount, out.Size, out.PhySize = counts(result)
	return out, nil
}

// podBackup is what BackupAllInfo says of a pod. The names are Kanister's.
type podBackup struct {
	PodName   string
	BackupID  string
	BackupTag string
}

func (d Deps) backupDataAll(ctx context.Context, call *function.Call, in backupDataAllArgs) (backupDataAllOutputs, error) {
	p, err := placeOf(call, in.BackupArtifactPrefix, in.InsecureTLS)
	if err != nil {
		return backupDataAllOutputs{}, err
	}
	pods, err := podsOf(call, in.Pods)
	if err != nil {
		return backupDataAllOutputs{}, err
	}
	made := make([]podBackup, len(pods))
	err = d.each(ctx, call, pods, func(ctx context.Context, call *function.Call, i int) error {
		b := &backup{
			d: d, call: call, at: container{cmp.Or(in.Namespace, d.Namespace), pods[i], in.Container}, folder: in.IncludePath,
			place: p.below(pods[i]), key: in.EncryptionKey, number: pods[i],
		}
		result, err := b.run(ctx)
		made[i] = podBackup{pods[i], short(result.Snapshot), b.tag()}
		return err
	})
	if err != nil {
		return backupDataAllOutputs{}, err
	}
	info := map[string]podBackup{}
	for _, m := range made {
		info[m.PodName] = m
	}
	text, err := json.Marshal(info)
	return backupDataAllOutputs{BackupAllInfo: string(text), Version: version}, err
}

func (d Deps) copyVolumeData(ctx context.Context, call *function.Call, in copyVolumeDataArgs) (copyVolumeDataOutputs, error) {
	p, err := placeOf(call, in.DataArtifactPrefix, in.InsecureTLS)
	if err != nil {
		return copyVolumeDataOutputs{}, err
	}
	namespace := cmp.Or(in.Namespace, d.Namespace)
	mount := path.Clean(cmp.Or(in.MountPath, "/mnt/vol_data/"+in.Volume))
	b := &backup{d: d, call: call, at: container{namespace, in.Volume, ""}, folder: mount, place: p, key: in.EncryptionKey}
	if !strings.HasPrefix(mount, "/") || mount == "/" {
		return copyVolumeDataOutputs{}, function.Permanent(fmt.Errorf("argument mountPath: %q is no absolute path of a folder", in.MountPath))
	}
	if err := d.checkClaim(ctx, namespace, in.Volume, false); err != nil {
		return copyVolumeDataOutputs{}, err
	}
	req, err := b.request(ctx)
	if err != nil {
		return copyVolumeDataOutputs{}, err
	}
	app, user, err := d.userOf(ctx, call.Subject, namespace, in.Volume)
	if err != nil {
		return copyVolumeDataOutputs{}, err
	}
	base, err := app.fit(user, mount)
	if err != nil {
		return copyVolumeDataOutputs{}, err
	}
	result, err := d.runPod(ctx, call, podWork{
		namespace: namespace, image: in.Image, claims: map[string]string{in.Volume: mount}, base: base, settings: in.podSettings,
	}, req)
	if err != nil {
		return copyVolumeDataOutputs{}, err
	}
	out := copyVolumeDataOutputs{BackupID: short(result.Snapshot), BackupRoot: mount, BackupArtifactLocation: p.full, BackupTag: b.tag(), Version: version}
	out.FileCount, out.Size, out.PhySize = counts(result)
	return out, nil
}
