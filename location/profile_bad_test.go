package location_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestBadProfiles checks the files of testdata/profiles: what each is about, then profiles (or URLs), each with its error. A Secret's values
// stand there in clear, as stringData.
func TestBadProfiles(t *testing.T) {
	files, err := filepath.Glob("testdata/profiles/bad-*.txtar")
	require.NoError(t, err)
	count := 0
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		require.NoError(t, err)
		require.NotEmpty(t, strings.TrimSpace(string(archive.Comment)), "say what the file is about")
		require.Zero(t, len(archive.Files)%2, "each with its error")
		parse := fromProfile
		if filepath.Base(file) == "bad-urls.txtar" {
			parse = fromURL
		}
		for i := 0; i < len(archive.Files); i += 2 {
			name, text, golden := archive.Files[i].Name, strings.TrimSpace(string(archive.Files[i].Data)), &archive.Files[i+1]
			require.Equal(t, name+".error", golden.Name)
			count++
			t.Run(filepath.Base(file)+"/"+name, func(t *testing.T) {
				err := parse(t, text)
				require.Error(t, err)
				require.True(t, errors.Is(err, location.ErrProfile) || errors.Is(err, location.ErrUnsupported), "%v", err)
				requireNoSecret(t, err.Error(), text)
				got := err.Error() + "\n"
				if *update {
					golden.Data = []byte(got)
				}
				require.Equal(t, string(golden.Data), got)
			})
		}
		if *update {
			require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o600))
		}
	}
	require.GreaterOrEqual(t, count, 40)
}

func fromURL(_ *testing.T, text string) error {
	_, err := location.ParseURL(text)
	return err
}

func fromProfile(t *testing.T, text string) error {
	_, err := location.ParseProfile(encodeData(t, text))
	return err
}

// encodeData makes the stringData of a profile's Secret what Kubernetes makes of it: data, in base64.
func encodeData(t *testing.T, text string) []byte {
	t.Helper()
	var p map[string]any
	if json.Unmarshal([]byte(text), &p) != nil {
		return []byte(text)
	}
	c, _ := p["Credential"].(map[string]any)
	secret, _ := c["Secret"].(map[string]any)
	clear, ok := secret["stringData"].(map[string]any)
	if !ok {
		return []byte(text)
	}
	data := map[string]string{}
	for k, v := range clear {
		data[k] = base64.StdEncoding.EncodeToString([]byte(v.(string)))
	}
	secret["data"] = data
	delete(secret, "stringData")
	encoded, err := json.Marshal(p)
	require.NoError(t, err)
	return encoded
}

// plain are values that are no secrets, and which an error may say.
var plain = []string{"true", "false", "service_account", "authorized_user", "external_account", "external_account_authorized_user", "impersonated_service_account",
	"gdch_service_account", "AzureGermanCloud", "AzurePublicCloud"}

// requireNoSecret fails if a text shows a credential of the profile, as it is or in base64, or anything that is called a canary.
func requireNoSecret(t *testing.T, shown, profile string) {
	t.Helper()
	require.NotContains(t, strings.ToLower(shown), "canary")
	for _, secret := range secrets(profile) {
		require.NotContains(t, shown, secret)
		require.NotContains(t, shown, base64.StdEncoding.EncodeToString([]byte(secret)))
	}
}

// secrets are the values in a profile's credential, and those in texts of JSON there.
func secrets(profile string) []string {
	var p struct {
		Credential struct {
			KeyPair *struct{ ID, Secret any }
			Secret  *struct{ Data, StringData map[string]any }
		}
	}
	if json.Unmarshal([]byte(profile), &p) != nil {
		return nil
	}
	var all []string
	add := func(v any) {
		text, _ := v.(string)
		var inner map[string]any
		if json.Unmarshal([]byte(text), &inner) == nil {
			for _, v := range inner {
				all = append(all, leaf(v)...)
			}
		}
		all = append(all, leaf(text)...)
	}
	if k := p.Credential.KeyPair; k != nil {
		add(k.ID)
		add(k.Secret)
	}
	if s := p.Credential.Secret; s != nil {
		for _, v := range s.StringData {
			add(v)
		}
		for _, v := range s.Data {
			add(v)
		}
	}
	return all
}

func leaf(v any) []string {
	text, _ := v.(string)
	for _, p := range plain {
		if text == p {
			return nil
		}
	}
	if len(strings.TrimSpace(text)) < 4 {
		return nil
	}
	return []string{text}
}
