package volume

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/davit-project/davit/function"
)

const (
	// nameMax is the longest name of an object of Kubernetes, labelMax the longest key without a prefix, and value, of a label.
	nameMax, labelMax = 253, 63
	// hashLength leaves 75 bits of a hash.
	hashLength = 15
)

// snapshotName is the claim's name with a suffix that is the same on every attempt of this phase and different from that of every other phase and claim.
func snapshotName(call *function.Call, claim string) string {
	sum := sha256.Sum256([]byte(token(call) + "/" + claim))
	suffix := "-snapshot-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:hashLength]
	if room := nameMax - len(suffix); len(claim) > room {
		claim = strings.TrimRight(claim[:room], ".-")
	}
	return claim + suffix
}

// snapshotLabels returns those of the run and those of the phase, as Kanister writes them: keys and values have at most 63 characters, are in lower case, and
// have _ for what is no letter, digit, _ or -.
func snapshotLabels(call *function.Call, given map[string]string) (map[string]string, error) {
	all := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		plain := plainLabel(key)
		if plain == "" {
			return nil, function.Permanent(fmt.Errorf("argument labels: nothing is left of the key %q: it needs a letter or a digit", key))
		}
		if _, taken := all[plain]; taken {
			return nil, function.Permanent(fmt.Errorf("argument labels: key %q becomes %q, as another one does", key, plain))
		}
		all[plain] = plainLabel(given[key])
	}
	maps.Copy(all, call.Labels)
	return all, nil
}

func plainLabel(text string) string {
	if len(text) > labelMax {
		text = text[:labelMax]
	}
	plain := strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, strings.ToLower(text))
	return strings.Trim(plain, "_-")
}

// claimLabels returns those of the phase and those of the run, which win.
func claimLabels(call *function.Call, given map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, given)
	maps.Copy(all, call.Labels)
	return all
}

// oneLine returns the beginning of a text without line breaks and other characters that could fake a message.
func oneLine(text string, length int) string {
	text = strings.Join(strings.Fields(text), " ")
	rest := ""
	if len(text) > length {
		text, rest = text[:length], "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text) + rest
}
