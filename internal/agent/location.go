package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/location"
)

const (
	// sasFileEnv names the file of a shared access signature for federated identities of Azure, as Kanister has it.
	sasFileEnv = "AZURE_SAS_TOKEN_FILE"
	// profileFile is where a binding puts the profile if it does not say otherwise.
	profileFile = "/var/run/secrets/davit/profile.json"
	// gcPercent is by how much the heap may grow between two collections. Most of it are a stream's buffers, which cost a collection nothing, and pods pay for what they
	// may use.
	gcPercent = 20
	// maxProfile is more than any Kubernetes object can hold.
	maxProfile = 2 << 20
)

// place is what the flags of the location commands say.
type place struct {
	Streams
	profile, url, path string
	coding             coding
	readBack           bool
}

func locationCommand(s Streams) *cobra.Command {
	p := &place{Streams: s}
	cmd := &cobra.Command{
		Use:   "location",
		Short: "Moves data between this container and a location",
		Long: "Moves data between this container and a location.\n\nThe profile is that of --profile, or the file named by " +
			cluster.ProfileEnv + ", or " + profileFile + ".\n" +
			"With --location there is no profile: the credential is that of the environment.\n\n" + exitCodes,
		RunE: group,
		Args: cobra.ArbitraryArgs,
	}
	flags := cmd.PersistentFlags()
	flags.StringVarP(&p.profile, "profile", "p", "", "JSON of the profile; visible to who can list processes, unlike a file")
	flags.StringVar(&p.url, "location", "", "URL of the location instead of a profile: s3://bucket/prefix, gs://…, azblob://…, file:///folder")
	flags.StringVarP(&p.path, "path", "s", "", "path in the location, below its prefix")
	flags.BoolVar(&p.readBack, "read-back", false, "read what was stored from its first byte to its last, although the store has confirmed its checksums")
	p.coding.addFlags(flags)
	flags.StringP("output-name", "o", "", "accepted and ignored: it is for Kopia servers")
	flags.StringP("kopia-snapshot", "k", "", "accepted and ignored: it is for Kopia servers")
	cmd.AddCommand(pushCommand(p), pullCommand(p), catCommand(p), listCommand(p), deleteCommand(p), checkCommand(p))
	return cmd
}

// withBucket opens the location and calls f, in a context that ends with the process's signals.
func (p *place) withBucket(ctx context.Context, grace graceful, f func(context.Context, *location.Bucket) error) error {
	if p.path == "" {
		return usage("--path is missing or empty")
	}
	return p.withLocation(ctx, grace, "", func(ctx context.Context, _ *location.Location, b *location.Bucket) error { return f(ctx, b) })
}

// withLocation is withBucket without a path, below a prefix.
func (p *place) withLocation(
	ctx context.Context, grace graceful, prefix string, f func(context.Context, *location.Location, *location.Bucket) error,
) error {
	loc, err := p.where()
	if err != nil {
		return err
	}
	opts := &location.Options{Prefix: prefix, ReadBack: p.readBack}
	if opts.Codecs, err = p.coding.codecs(); err != nil {
		return err
	}
	if p.Env("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	return untilSignal(ctx, grace, func(ctx context.Context) error {
		b, err := location.Open(ctx, loc, p.Openers, opts)
		if err != nil {
			return err
		}
		err = f(ctx, loc, b)
		return errors.Join(err, b.Close())
	})
}

func (p *place) where() (*location.Location, error) {
	if p.url != "" && p.profile != "" {
		return nil, usage("give --profile or --location, not both")
	}
	if p.url != "" {
		return location.ParseURL(p.url)
	}
	text, err := p.readProfile()
	if err != nil {
		return nil, err
	}
	loc, err := location.ParseProfile(text)
	if err != nil {
		return nil, err
	}
	if name := p.Env(sasFileEnv); name != "" && loc.Type == location.TypeAzure {
		loc.Credential = loc.Credential.WithSASFile(name)
	}
	return loc, nil
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
