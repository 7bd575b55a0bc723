package data

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/internal/mover"
)

// restore is one snapshot that is restored.
type restore struct {
	d       Deps
	call    *function.Call
	place   *place
	key     function.Secret
	work    podWork
	pod     string
	id, tag string
	inside  string
	target  string
}

func (r *restore) run(ctx context.Context) error {
	var mounts []string
	for _, claim := range slices.Sorted(maps.Keys(r.work.claims)) {
		at := path.Clean(r.work.claims[claim])
		if !strings.HasPrefix(at, "/") || at == "/" {
			return function.Permanent(fmt.Errorf("the mount path %q of claim %q is no absolute path of a folder", r.work.claims[claim], claim))
		}
		mounts = append(mounts, at)
		if err := r.d.checkClaim(ctx, r.work.namespace, claim, false); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(r.target, "/") {
		return function.Permanent(fmt.Errorf("argument restorePath: %q is no absolute path", r.target))
	}
	password, err := r.d.password(ctx, r.place, r.key, false)
	if err != nil {
		return err
	}
	app, user, err := r.user(ctx)
	if err != nil {
		return err
	}
	if r.work.base, err = app.fit(user); err != nil {
		return err
	}
	_, err = r.d.runPod(ctx, r.call, r.work, &mover.Request{
		Op: mover.Restore, Profile: r.place.profile, Path: r.place.path, Password: password,
		Snapshot: r.id, Tag: r.tag, Inside: r.inside, Target: path.Clean(r.target), Mounts: mounts,
	})
	return err
}

// user finds the container that the restored files are for.
func (r *restore) user(ctx context.Context) (*application, *corev1.Container, error) {
	app, err := r.d.application(ctx, r.call.Subject, r.work.namespace, r.pod)
	if err != nil {
		return nil, nil, err
	}
	for _, claim := range slices.Sorted(maps.Keys(r.work.claims)) {
		if ct := app.mounting(claim); ct != nil {
			return app, ct, nil
		}
	}
	return app, app.container(""), nil
}

// userOf finds, among the pods of the action's subject, one that mounts a claim. Where there is none, both are empty.
func (d Deps) userOf(ctx context.Context, subject function.Subject, namespace, claim string) (*application, *corev1.Container, error) {
	for _, pod := range slices.Sorted(slices.Values(subject.Pods)) {
		if _, ok := subject.Claims[pod][claim]; !ok || subject.Namespace != namespace {
			continue
		}
		app, err := d.application(ctx, subject, namespace, pod)
		if err != nil {
			return nil, nil, err
		}
		return app, app.mounting(claim), nil
	}
	return &application{}, nil, nil
}

func (d Deps) restoreData(ctx context.Context, call *function.Call, in restoreDataArgs) (function.Outputs, error) {
	switch {
	case (in.Pod == "") == (len(in.Volumes) == 0):
		return nil, function.Permanent(errors.New("exactly one of the arguments pod and volumes is required"))
	case (in.BackupTag == "") == (in.BackupIdentifier == ""):
		return nil, function.Permanent(errors.New("exactly one of the arguments backupTag and backupIdentifier is required"))
	}
	p, err := placeOf(call, in.BackupArtifactPrefix, in.InsecureTLS)
	if err != nil {
		return nil, err
	}
	claims := in.Volumes
	if in.Pod != "" {
		if claims, err = claimsOf(call, in.Pod); err != nil {
			return nil, err
		}
	}
	r := &restore{
		d: d, call: call, place: p, key: in.EncryptionKey, pod: in.Pod, id: in.BackupIdentifier, tag: in.BackupTag, inside: in.BackupPath, target: in.RestorePath,
		work: podWork{namespace: cmp.Or(in.Namespace, d.Namespace), image: in.Image, claims: claims, settings: in.podSettings},
	}
	return nil, r.run(ctx)
}

// claimsOf are the claims of a pod and where it mounted them when the action began.
func claimsOf(call *function.Call, pod string) (map[string]string, error) {
	claims := call.Subject.Claims[pod]
	if len(claims) == 0 {
		return nil, function.Permanent(fmt.Errorf("pod %q of the action's subject mounted no claim when the action began, so there is nothing to restore to: "+
			"name claims in argument volumes of RestoreData", pod))
	}
	return claims, nil
}

func (d Deps) restoreDataAll(ctx context.Context, call *function.Call, in restoreDataAllArgs) (function.Outputs, error) {
	p, err := placeOf(call, in.BackupArtifactPrefix, in.InsecureTLS)
	if err != nil {
		return nil, err
	}
	pods, err := podsOf(call, in.Pods)
	if err != nil {
		return nil, err
	}
	info, err := parseInfo(in.BackupInfo)
	if err != nil {
		return nil, err
	}
	var faults []error
	claims := make([]map[string]string, len(pods))
	for i, pod := range pods { // before anything is touched
		if info[pod].BackupID == "" {
			faults = append(faults, function.Permanent(fmt.Errorf("argument backupInfo has no backup of pod %q", pod)))
		}
		var err error
		claims[i], err = claimsOf(call, pod)
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return nil, d.each(ctx, call, pods, func(ctx context.Context, call *function.Call, i int) error {
		r := &restore{
			d: d, call: call, place: p.below(pods[i]), key: in.EncryptionKey, pod: pods[i], id: info[pods[i]].BackupID, target: in.RestorePath,
			work: podWork{suffix: pods[i], namespace: cmp.Or(in.Namespace, d.Namespace), image: in.Image, claims: claims[i], settings: in.podSettings},
		}
		return r.run(ctx)
	})
}

// parseInfo reads the output BackupAllInfo.
func parseInfo(text string) (map[string]podBackup, error) {
	var info map[string]podBackup
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		return nil, function.Permanent(fmt.Errorf("argument backupInfo is not the output BackupAllInfo of BackupDataAll: %w", err))
	}
	for pod := range info {
		if pod == "" || strings.Contains(pod, "/") || pod == ".." || pod == "." {
			return nil, function.Permanent(fmt.Errorf("argument backupInfo names a pod %q, which is no name", pod))
		}
	}
	return info, nil
}
