package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/internal/agent"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/catalog"
	"github.com/davit-project/davit/template"
)

// catalogRestore is what the flags of davit catalog restore say.
type catalogRestore struct {
	runFlags
	place  *agent.Place
	digest string
	dry    bool
	json   bool
}

func (p *program) catalogRestoreCommand(place *agent.Place) *cobra.Command {
	f := &catalogRestore{place: place}
	cmd := &cobra.Command{
		Use:   "restore ID",
		Short: "Run an action with the artifacts of a manifest, as a rule to restore them",
		Long: `Runs an action of the blueprint that a manifest holds, with the artifacts, the subject and the options that it names; flags change them. The location takes the
place of the run's profile, also for pods: it must be one that they can reach, with a credential that the flags or the environment name. Of an s3:// URL, that is
$AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY (and $AWS_SESSION_TOKEN) where they are set; else pods find their own, as with a profile without credential.

The journal is in the folder of --state, as that of davit run. A run that was interrupted goes on with the same command and --run ID.

Who can write to the location can change what is run. --digest and --blueprint hold it to a blueprint that you know; --dry-run shows what it would do.

Exit codes: 0 the run is complete, 1 it failed, 2 wrong usage or input (nothing was touched), 3 it was cancelled, or there is no such manifest, 4 the manifest is damaged,
130 ended by a second interrupt.`,
		Example: `  davit catalog restore backup-1x2y3z4w --location s3://backups/prod
  davit catalog restore backup-1x2y3z4w --location file:///mnt/backups --local app.yaml --dry-run`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.catalogRestore(cmd.Context(), f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.action, "action", "a", "restore", "`NAME` of the action")
	flags.StringArrayVarP(&f.blueprints, "blueprint", "b", nil, "`FILE` with the blueprint to use in place of the manifest's")
	flags.StringVar(&f.digest, "digest", "", "refuse a blueprint with another digest, `sha256:HEX` as davit catalog show prints it")
	flags.BoolVar(&f.dry, "dry-run", false, "show what would be done, as davit plan does, and do nothing")
	flags.BoolVar(&f.json, "json", false, "with --dry-run: print one JSON object")
	f.bindTo(cmd)
	return cmd
}

func (p *program) catalogRestore(ctx context.Context, f *catalogRestore, id string) error {
	s, req, unknown, err := p.newSession(&f.runFlags)
	if err != nil {
		return err
	}
	err = withPlace(ctx, f.place, func(loc *location.Location, b *location.Bucket) (err error) {
		if s.profile, err = p.profileOf(loc); err == nil {
			s.manifest, err = findManifest(ctx, b, id)
		}
		return err
	})
	if err != nil {
		return catalogError(err)
	}
	if f.dry {
		s.state, err = p.stateFolder(f.state)
	} else {
		s.state, err = p.openState(f.state)
	}
	if err != nil {
		return err
	}
	if !f.dry {
		if done, err := s.resume(ctx, true, unknown); done || err != nil {
			return err
		}
	}
	o, err := s.newOrder(ctx, req)
	if err != nil {
		return s.invalid(err)
	}
	if err := f.pinned(o); err != nil {
		return err
	}
	if f.dry {
		return s.showPlan(ctx, o, f.json)
	}
	return s.execute(ctx, o, unknown)
}

// invalid gives an error of the manifest its exit code; others are those of the request.
func (s *session) invalid(err error) error {
	if errors.Is(err, catalog.ErrInvalid) {
		return catalogError(err)
	}
	return err
}

// pinned refuses a blueprint of another digest than the flag names.
func (f *catalogRestore) pinned(o *order) error {
	if f.digest == "" {
		return nil
	}
	want, ok := strings.CutPrefix(strings.ToLower(f.digest), "sha256:")
	if !ok || len(want) != 64 {
		return fmt.Errorf("--digest %q: want sha256: and 64 hexadecimal digits", f.digest)
	}
	if got := o.blueprints[0].Digest(); got != want {
		return fmt.Errorf("blueprint %q has the digest sha256:%s, not that of --digest: it was changed, or is another one", o.blueprints[0].Name, got)
	}
	return nil
}

// profileOf makes a location the profile of an action.
func (p *program) profileOf(loc *location.Location) (*template.Profile, error) {
	if id, key := p.getenv("AWS_ACCESS_KEY_ID"), p.getenv("AWS_SECRET_ACCESS_KEY"); loc.Type == location.TypeS3 && loc.Credential.IsZero() && id != "" && key != "" {
		with := *loc
		with.Credential = location.NewKeyPair(id, key)
		if token := p.getenv("AWS_SESSION_TOKEN"); token != "" {
			with.Credential = location.NewSecret("secrets.kanister.io/aws", map[string][]byte{
				"aws_access_key_id": []byte(id), "aws_secret_access_key": []byte(key), "aws_session_token": []byte(token),
			})
		}
		loc = &with
	}
	text, err := loc.Profile()
	if err != nil {
		return nil, err
	}
	profile := &template.Profile{}
	if err := json.Unmarshal(text, profile); err != nil {
		return nil, errors.New("the location cannot be made a profile") // the decoder's text may hold a credential
	}
	return profile, nil
}
