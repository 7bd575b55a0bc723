package data

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/location"
)

type locationDeleteArgs struct {
	Artifact string `arg:"artifact,nonempty" doc:"Path of what to delete, below the location's prefix; the name of the bucket may stand in front."`
}

type locationDeleteOutputs struct {
	Deleted int `out:"deleted" doc:"How many objects were deleted."`
}

// LocationDelete returns the function of that name, which deletes an object of the run's profile's location and everything
// below it; or, where there is nothing, the repository of BackupData that its path names, which is not below the prefix. A path that is not there is no error. Open opens the bucket of a profile's JSON; the function closes it.
func LocationDelete(open func(ctx context.Context, profile []byte) (*location.Bucket, error)) function.Func {
	run := func(ctx context.Context, call *function.Call, in locationDeleteArgs) (locationDeleteOutputs, error) {
		if !call.Profile.IsSet() {
			return locationDeleteOutputs{}, function.Permanent(errors.New("the action has no profile, so there is no location to delete from: give it one"))
		}
		profile := []byte(call.Profile.Reveal())
		loc, err := location.ParseProfile(profile)
		if err != nil {
			return locationDeleteOutputs{}, function.Permanent(err)
		}
		path, err := withoutBucket(in.Artifact, loc.Bucket)
		if err != nil {
			return locationDeleteOutputs{}, function.Permanent(err)
		}
		deleted, err := deleteBelow(ctx, open, profile, path)
		if err == nil && deleted == 0 && loc.Prefix != "" {
			deleted, err = deleteRepository(ctx, open, call, in.Artifact)
		}
		if errors.Is(err, location.ErrKey) || errors.Is(err, location.ErrProfile) || errors.Is(err, location.ErrUnsupported) {
			err = function.Permanent(err)
		}
		return locationDeleteOutputs{Deleted: deleted}, err
	}
	return function.Define("LocationDelete", "Deletes an object of the location, and everything below its path.", run,
		&function.Options{
			Replay: function.Idempotent,
			Example: `func: LocationDelete
name: delete
args:
  artifact: "{{ .ArtifactsIn.backup.KeyValue.path }}"
`,
		})
}

func deleteBelow(ctx context.Context, open func(context.Context, []byte) (*location.Bucket, error), profile []byte, path string) (int, error) {
	b, err := open(ctx, profile)
	if err != nil {
		return 0, err
	}
	deleted, err := b.Delete(ctx, path)
	return deleted, errors.Join(err, b.Close())
}

// deleteRepository deletes the repository that the path names, if there is one and the bucket's name stands before the path. Repositories are right below the bucket, whatever the
// profile's prefix is, so blueprints that delete one by its artifact would miss it. What makes it a repository is deleted last, so that this can be done again.
func deleteRepository(ctx context.Context, open func(context.Context, []byte) (*location.Bucket, error), call *function.Call, artifact string) (deleted int, err error) {
	p, err := placeOf(call, artifact, false)
	if err != nil || strings.Trim(artifact, "/") != strings.Trim(p.full, "/") {
		return 0, nil //nolint:nilerr // it names no repository
	}
	d := Deps{Open: open}
	there, err := p.exists(ctx, d)
	if err != nil || !there {
		return 0, err
	}
	err = p.with(ctx, d, func(b *location.Bucket) error {
		for _, part := range []string{"snapshots", "index", "data", "locks", ""} {
			n, err := b.Delete(ctx, strings.Trim(p.path+"/"+part, "/"))
			deleted += n
			if err != nil {
				return err
			}
		}
		return nil
	})
	return deleted, err
}

// withoutBucket takes the bucket off the front of the path, if it is there as a whole name. A URL, such as s3://bucket/path,
// must name that bucket.
func withoutBucket(artifact, bucket string) (string, error) {
	scheme, path, isURL := strings.Cut(artifact, "://")
	if !isURL {
		path = artifact
	}
	path = strings.TrimLeft(path, "/")
	rest, ok := strings.CutPrefix(path+"/", strings.Trim(bucket, "/")+"/")
	switch {
	case ok:
		path = strings.TrimRight(rest, "/")
	case isURL:
		return "", fmt.Errorf("the artifact is a %s URL of another bucket than the profile's, %q: nothing was deleted", scheme, bucket)
	}
	if strings.Trim(path, "/") == "" {
		return "", fmt.Errorf("the artifact %q names the whole bucket: nothing was deleted; name a path in it", artifact)
	}
	return path, nil
}
