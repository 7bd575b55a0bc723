package data

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/location"
)

// place is where a repository is.
type place struct {
	// profile is the JSON of the run's profile without its prefix.
	profile []byte
	// path is that of the repository in the bucket.
	path string
	// full is the path with the bucket's name before it, as Kanister has it.
	full string
	// name is the same for every profile that leads there.
	name string
}

// placeOf finds a repository as Kanister does: right below the bucket, whatever the profile's prefix is. The bucket's name may stand before the path.
func placeOf(call *function.Call, prefix string, insecure bool) (*place, error) {
	if !call.Profile.IsSet() {
		return nil, function.Permanent(errors.New("the action has no profile, so there is no location for a repository: give it one"))
	}
	loc, err := location.ParseProfile([]byte(call.Profile.Reveal()))
	if err != nil {
		return nil, function.Permanent(err)
	}
	below := strings.Trim(prefix, "/")
	bucket := strings.Trim(loc.Bucket, "/")
	if rest, ok := strings.CutPrefix(below+"/", bucket+"/"); ok {
		below = strings.Trim(rest, "/")
	}
	if slices.Contains(strings.Split(below, "/"), "..") {
		return nil, function.Permanent(fmt.Errorf("the repository's path %q must not have .. in it", prefix))
	}
	below = strings.Trim(path.Clean("/"+below), "/")
	loc.Prefix, loc.SkipSSLVerify = "", loc.SkipSSLVerify || insecure
	profile, err := loc.Profile()
	if err != nil {
		return nil, function.Permanent(err)
	}
	full := loc.Bucket
	if below != "" {
		full = strings.TrimRight(loc.Bucket, "/") + "/" + below
	}
	return &place{profile: profile, path: below, full: full, name: loc.Type + " " + hostOf(loc.Endpoint) + " " + full}, nil
}

// hostOf is what of an endpoint tells stores apart.
func hostOf(endpoint string) string {
	if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
		return strings.ToLower(u.Host)
	}
	return strings.ToLower(strings.Trim(endpoint, "/"))
}

// below is the place of a repository in a folder of this one, such as that of a pod.
func (p *place) below(name string) *place {
	q := *p
	q.path = path.Join(p.path, name)
	q.full, q.name = p.full+"/"+name, p.name+"/"+name
	return &q
}

// with opens the bucket and calls f.
func (p *place) with(ctx context.Context, d Deps, f func(*location.Bucket) error) error {
	if d.Open == nil {
		return errNothing("Open")
	}
	b, err := d.Open(ctx, p.profile)
	if err != nil {
		return err
	}
	err = f(b)
	return errors.Join(err, b.Close())
}

// exists tells whether there is a repository.
func (p *place) exists(ctx context.Context, d Deps) (there bool, err error) {
	err = p.with(ctx, d, func(b *location.Bucket) error {
		_, err := b.Objects().Size(ctx, path.Join(p.path, "config"))
		there = err == nil
		if errors.Is(err, location.ErrNotFound) || errors.Is(err, location.ErrNoBucket) {
			return nil
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for a repository at %q: %w", p.full, err)
	}
	return there, nil
}
