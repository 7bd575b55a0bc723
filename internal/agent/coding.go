package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/codec"
)

// coding is what the flags say of encryption and compression.
type coding struct {
	compress     bool
	recipients   []string
	identities   string
	acceptsPlain bool
}

func (c *coding) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&c.compress, "compress", false, "compress what is stored, with zstd; what is fetched is decompressed where it has to be, also without this flag")
	flags.StringSliceVar(&c.recipients, "recipient", nil, "encrypt what is stored with age, to this public key (age1…); may be given more than once")
	flags.StringVar(&c.identities, "identity-file", "", "file of secret keys of age, a line each, to read what is encrypted; what is stored is encrypted to them where no --recipient is given")
	flags.BoolVar(&c.acceptsPlain, "accept-plain", false, "with a key, fetch objects that are not encrypted too; without it, they are refused")
}

func (c *coding) codecs() ([]location.Codec, error) {
	zstd := codec.Zstd()
	if !c.compress {
		zstd.Encode = nil
	}
	codecs := []location.Codec{zstd}
	if len(c.recipients) == 0 && c.identities == "" {
		if c.acceptsPlain {
			return nil, usage("--accept-plain goes with --identity-file")
		}
		return codecs, nil
	}
	opts := &codec.AgeOptions{Recipients: c.recipients, AcceptPlain: c.acceptsPlain}
	if c.identities != "" {
		var err error
		if opts.Identities, err = readIdentities(c.identities); err != nil {
			return nil, err
		}
	}
	age, err := codec.Age(opts)
	if err != nil {
		return nil, err
	}
	return append(codecs, age), nil
}

// maxIdentities is far above what a file of keys has.
const maxIdentities = 1 << 20

// readIdentities reads the lines of a file of keys but for empty ones and comments, as age writes it.
func readIdentities(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usage("open the identity file: %w", err)
	}
	defer func() { _ = f.Close() }()
	var keys []string
	lines := bufio.NewScanner(io.LimitReader(f, maxIdentities))
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			keys = append(keys, line)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, usage("the identity file %q has a line that is no key", name)
	} else if err != nil {
		return nil, fmt.Errorf("read the identity file: %w", err)
	}
	if len(keys) == 0 {
		return nil, usage("the identity file %q holds no key", name)
	}
	return keys, nil
}
