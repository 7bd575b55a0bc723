package data

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository"
)

// inRepository opens a repository in this process and calls f.
func (d Deps) inRepository(ctx context.Context, p *place, given function.Secret, f func(*repository.Repository) error) error {
	password, err := d.password(ctx, p, given, false)
	if err != nil {
		return err
	}
	err = p.with(ctx, d, func(b *location.Bucket) error {
		repo, err := mover.Open(ctx, b, &mover.Request{Path: p.path, Password: password}, 0)
		if err != nil {
			return err
		}
		return f(repo)
	})
	return ended(ctx, err)
}

func (d Deps) backupDataStats(ctx context.Context, call *function.Call, in backupDataStatsArgs) (backupDataStatsOutputs, error) {
	p, err := placeOf(call, in.BackupArtifactPrefix, false)
	if err != nil {
		return backupDataStatsOutputs{}, err
	}
	modes := []repository.StatsMode{
		repository.StatsRestoreSize, repository.StatsFilesByContents, repository.StatsBlobsPerFile, repository.StatsRawData,
	}
	mode := repository.StatsMode(in.StatsMode)
	if !slices.Contains(modes, mode) {
		return backupDataStatsOutputs{}, function.Permanent(fmt.Errorf("argument statsMode: %q is none of %q", in.StatsMode, modes))
	}
	out := backupDataStatsOutputs{Mode: in.StatsMode, Version: version}
	err = d.inRepository(ctx, p, in.EncryptionKey, func(repo *repository.Repository) error {
		stats, err := repo.Stats(ctx, mode, in.BackupID)
		if err != nil {
			return err
		}
		count := stats.TotalFiles
		if mode == repository.StatsRawData { // Kanister shows the blobs there
			count = stats.TotalBlobs
		}
		out.FileCount, out.Size = strconv.FormatUint(count, 10), sizeText(int64(stats.TotalSize)) //nolint:gosec // more is nobody's
		return nil
	})
	if err != nil {
		return backupDataStatsOutputs{}, err
	}
	return out, nil
}

// removal is one snapshot that is deleted, by its ID or by its tag.
type removal struct {
	place   *place
	id, tag string
}

// remove deletes snapshots, and what they alone needed if that is wanted. Those that are gone already are no error: an earlier attempt has deleted them.
func (d Deps) remove(ctx context.Context, all []removal, key function.Secret, reclaim bool) (deleteOutputs, error) {
	var freed int64
	for i, r := range all {
		err := d.inRepository(ctx, r.place, key, func(repo *repository.Repository) error {
			ids, err := r.find(ctx, repo)
			if err != nil {
				return err
			}
			if len(ids) > 0 {
				if err := repo.Forget(ctx, ids...); err != nil {
					return err
				}
			}
			again := slices.ContainsFunc(all[i+1:], func(later removal) bool { return later.place.name == r.place.name })
			if !reclaim || again { // once for each repository
				return nil
			}
			pruned, err := repo.Prune(ctx, nil)
			freed += max(0, pruned.BytesFreed)
			return err
		})
		if err != nil && !errors.Is(err, repository.ErrNoRepository) {
			return deleteOutputs{}, fmt.Errorf("repository at %q: %w", r.place.full, err)
		}
	}
	return deleteOutputs{SpaceFreed: strconv.FormatInt(freed, 10) + " B"}, nil
}

// find returns the snapshots. Of a tag, that is the first, as in Kanister.
func (r removal) find(ctx context.Context, repo *repository.Repository) ([]string, error) {
	if r.id != "" {
		s, err := repo.Find(ctx, r.id, nil)
		if errors.Is(err, repository.ErrNoSnapshot) {
			return nil, nil
		}
		return []string{s.ID}, err
	}
	found, err := repo.Snapshots(ctx, &repository.Filter{Tags: []string{r.tag}})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return []string{found[0].ID}, nil
}

func (d Deps) deleteData(ctx context.Context, call *function.Call, in deleteDataArgs) (deleteOutputs, error) {
	names, byTag := in.BackupID, false
	if len(names) == 0 {
		names, byTag = in.BackupTag, true
	}
	switch {
	case len(in.BackupID) > 0 && len(in.BackupTag) > 0, len(names) == 0:
		return deleteOutputs{}, function.Permanent(errors.New("exactly one of the arguments backupID and backupTag is required"))
	case len(names) != len(in.BackupArtifactPrefix):
		return deleteOutputs{}, function.Permanent(fmt.Errorf("argument backupArtifactPrefix has %d paths for %d snapshots: there must be one for each",
			len(in.BackupArtifactPrefix), len(names)))
	}
	var all []removal
	for i, prefix := range in.BackupArtifactPrefix {
		p, err := placeOf(call, prefix, in.InsecureTLS)
		if err != nil {
			return deleteOutputs{}, err
		}
		r := removal{place: p, id: names[i]}
		if byTag {
			r.id, r.tag = "", names[i]
		}
		all = append(all, r)
	}
	return d.remove(ctx, all, in.EncryptionKey, in.ReclaimSpace)
}

func (d Deps) deleteDataAll(ctx context.Context, call *function.Call, in deleteDataAllArgs) (deleteOutputs, error) {
	p, err := placeOf(call, in.BackupArtifactPrefix, in.InsecureTLS)
	if err != nil {
		return deleteOutputs{}, err
	}
	info, err := parseInfo(in.BackupInfo)
	if err != nil {
		return deleteOutputs{}, err
	}
	var pods []string
	for pod, b := range info {
		if b.BackupID == "" {
			return deleteOutputs{}, function.Permanent(fmt.Errorf("argument backupInfo has no BackupID for pod %q", pod))
		}
		pods = append(pods, pod)
	}
	slices.Sort(pods)
	freed := make([]int64, len(pods))
	err = d.each(ctx, call, pods, func(ctx context.Context, _ *function.Call, i int) error {
		out, err := d.remove(ctx, []removal{{place: p.below(pods[i]), id: info[pods[i]].BackupID}}, in.EncryptionKey, in.ReclaimSpace)
		_, _ = fmt.Sscan(out.SpaceFreed, &freed[i]) // empty after an error
		return err
	})
	if err != nil {
		return deleteOutputs{}, err
	}
	var total int64
	for _, n := range freed {
		total += n
	}
	return deleteOutputs{SpaceFreed: strconv.FormatInt(total, 10) + " B"}, nil
}

func (d Deps) checkRepository(ctx context.Context, call *function.Call, in checkRepositoryArgs) (checkRepositoryOutputs, error) {
	p, err := placeOf(call, in.BackupArtifactPrefix, in.InsecureTLS)
	if err != nil {
		return checkRepositoryOutputs{}, err
	}
	err = d.inRepository(ctx, p, in.EncryptionKey, func(repo *repository.Repository) error {
		_, err := repo.Snapshots(ctx, nil)
		return err
	})
	wrong, none := errors.Is(err, repository.ErrPassword), errors.Is(err, repository.ErrNoRepository)
	if err != nil && !wrong && !none {
		return checkRepositoryOutputs{}, err
	}
	return checkRepositoryOutputs{PasswordIncorrect: strconv.FormatBool(wrong), RepoUnavailable: strconv.FormatBool(none), Version: version}, nil
}
