package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/location"
)

const (
	// sasFileEnv names the file of a shared access signature for federated identities of Azure, as Kanister has it.
	sasFileEnv = "AZURE_SAS_TOKEN_FILE"
	// profileFile is where a binding puts the profile if it does not say otherwise.
	profileFile = "/var/run/secrets/davit/profile.json"
	// maxProfile is more than any Kubernetes object can hold.
	maxProfile = 2 << 20
)

// Place is the location that the flags of a command name, for this package's commands and others.
type Place struct {
	Streams
	profile, url string
}

// AddFlags adds the flags --profile and --location.
func (p *Place) AddFlags(flags *pflag.FlagSet) {
	flags.StringVarP(&p.profile, "profile", "p", "", "JSON of the profile; visible to who can list processes, unlike a file")
	flags.StringVar(&p.url, "location", "", "URL of the location instead of a profile: s3://bucket/prefix, gs://…, azblob://…, file:///folder")
}

// Location is what the flags name; without any, the profile of the environment. Its errors hold no credential; ExitCode tells the code of each.
func (p *Place) Location() (*location.Location, error) {
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

func (p *Place) readProfile() ([]byte, error) {
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
		return nil, usage("no profile: give --profile or --location, or let %s name a file; %q does not exist: only containers that Davit starts find one there, "+
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
