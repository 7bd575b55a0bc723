package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

const (
	// profileFile is where a binding puts the profile if it does not say otherwise.
	profileFile = "/var/run/secrets/davit/profile.json"
	// maxProfile is more than any Kubernetes object can hold.
	maxProfile = 2 << 20
)

// openers are the types of location this build knows.
func openers() map[string]location.Opener {
	return map[string]location.Opener{location.TypeFile: file.Open}
}

// place is what the flags of the location commands say.
type place struct {
	Streams
	profile, path string
}

func locationCommand(s Streams) *cobra.Command {
	p := &place{Streams: s}
	cmd := &cobra.Command{
		Use:   "location",
		Short: "Moves data between this container and a location",
		Long: "Moves data between this container and a location.\n\nThe profile is that of --profile, or the file named by " +
			cluster.ProfileEnv + ", or " + profileFile + ".\n\n" + exitCodes,
		RunE: group,
		Args: cobra.ArbitraryArgs,
	}
	flags := cmd.PersistentFlags()
	flags.StringVarP(&p.profile, "profile", "p", "", "JSON of the profile; visible to who can list processes, unlike a file")
	flags.StringVarP(&p.path, "path", "s", "", "path in the location, below its prefix")
	flags.StringP("output-name", "o", "", "accepted and ignored: it is for Kopia servers")
	flags.StringP("kopia-snapshot", "k", "", "accepted and ignored: it is for Kopia servers")
	cmd.AddCommand(pushCommand(p), pullCommand(p), deleteCommand(p))
	return cmd
}

// withBucket opens the location and calls f, in a context that ends with the process's signals.
func (p *place) withBucket(ctx context.Context, grace graceful, f func(context.Context, *location.Bucket) error) error {
	if p.path == "" {
		return usage("--path is missing or empty")
	}
	text, err := p.readProfile()
	if err != nil {
		return err
	}
	return untilSignal(ctx, grace, func(ctx context.Context) error {
		b, err := location.OpenProfile(ctx, text, openers())
		if err != nil {
			return err
		}
		err = f(ctx, b)
		return errors.Join(err, b.Close())
	})
}

func (p *place) readProfile() ([]byte, error) {
	if p.profile != "" {
		if !strings.HasPrefix(strings.TrimSpace(p.profile), "{") && strings.TrimSpace(p.profile) != "null" {
			return nil, usage("invalid profile: it is not JSON: --profile takes the JSON itself; a file is named by %s", cluster.ProfileEnv)
		}
		return []byte(p.profile), nil
	}
	name := p.Env(cluster.ProfileEnv)
	if name == "" {
		name = profileFile
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage("no profile: give --profile, or let %s name a file; %q does not exist: only containers that Davit starts find one there, "+
			"not those a command is executed in", cluster.ProfileEnv, name)
	}
	if err != nil {
		return nil, usage("read the profile: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err != nil {
		return nil, fmt.Errorf("read the profile: %w", err)
	}
	return text, nil // a text that is too long is refused by ParseProfile
}

func deleteCommand(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "delete",
		Short: "Deletes the object at the path, and what is below it; none is fine",
		Args:  exactly(0, "the path is a flag"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withBucket(cmd.Context(), graceful(true), func(ctx context.Context, b *location.Bucket) error {
				_, err := b.Delete(ctx, p.path)
				return err
			})
		},
	}
}
