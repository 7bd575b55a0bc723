//go:build e2e

package all_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/internal/agent"
	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/all"
)

// stores are real servers, each with an empty place.
func stores() map[string]func(t *testing.T) *location.Location {
	s3 := func(start func(testing.TB) *testserver.S3) func(t *testing.T) *location.Location {
		return func(t *testing.T) *location.Location {
			s := start(t)
			return &location.Location{
				Type: location.TypeS3, Bucket: s.Bucket(t), Endpoint: s.Endpoint, Region: s.Region, Credential: location.NewKeyPair(s.AccessKey, s.SecretKey),
			}
		}
	}
	return map[string]func(t *testing.T) *location.Location{
		"versitygw": s3(testserver.VersityGW),
		"minio":     s3(testserver.MinIO),
		"gcs": func(t *testing.T) *location.Location {
			s := testserver.GCS(t)
			return &location.Location{Type: location.TypeGCS, Bucket: s.GCSBucket(t), Endpoint: s.Endpoint}
		},
		"azurite": func(t *testing.T) *location.Location {
			s := testserver.Azurite(t)
			return &location.Location{Type: location.TypeAzure, Bucket: s.Container(t), Endpoint: s.Endpoint, Credential: location.NewKeyPair(s.Account, s.Key)}
		},
		"folder": func(t *testing.T) *location.Location {
			return &location.Location{Type: location.TypeFile, Bucket: t.TempDir()}
		},
	}
}

// place is one store under a prefix, as a blueprint, the agent and other tools see it.
type place struct {
	t       *testing.T
	raw     *blob.Bucket
	profile string
}

func open(t *testing.T, loc *location.Location) *place {
	t.Helper()
	raw, err := all.Openers()[loc.Type](t.Context(), loc)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, raw.Close()) })
	loc.Prefix = "backups/prod"
	profile, err := loc.Profile()
	require.NoError(t, err)
	return &place{t, raw, string(profile)}
}

// keys are those of the store itself.
func (p *place) keys() (keys []string) {
	p.t.Helper()
	for it := p.raw.List(nil); ; {
		o, err := it.Next(p.t.Context())
		if err != nil {
			require.ErrorContains(p.t, err, "EOF")
			return keys
		}
		keys = append(keys, o.Key)
	}
}

// kando calls the agent by its other name, with the profile in a file.
func (p *place) kando(in []byte, args ...string) (code int, out []byte, errs string) {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "profile.json")
	require.NoError(p.t, os.WriteFile(file, []byte(p.profile), 0o600))
	var stdout, stderr bytes.Buffer
	code = agent.Main(p.t.Context(), append([]string{"kando", "location"}, args...), agent.Streams{
		In: bytes.NewReader(in), Out: &stdout, Err: &stderr, Openers: all.Openers(),
		Env: func(name string) string { return map[string]string{cluster.ProfileEnv: file}[name] },
	})
	return code, stdout.Bytes(), stderr.String()
}

func (p *place) ok(in []byte, args ...string) []byte {
	p.t.Helper()
	code, out, errs := p.kando(in, args...)
	require.Zero(p.t, code, errs)
	return out
}

func noise(t *testing.T, size int) []byte {
	t.Helper()
	content := make([]byte, size)
	_, err := rand.Read(content)
	require.NoError(t, err)
	return content
}

// What the agent stores is where Kanister's tool looks for it, and what that tool has stored is found by the agent: the same paths, the same bytes.
func TestKandoOnEveryStore(t *testing.T) {
	for name, start := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, start(t))
			for _, size := range []int{1, 100_000, 20 << 20} {
				content := noise(t, size)
				p.ok(content, "push", "--path", "/mysql//ns/app/dump.sql.gz", "-")
				stored, err := p.raw.ReadAll(t.Context(), "backups/prod/mysql/ns/app/dump.sql.gz")
				require.NoError(t, err)
				require.True(t, bytes.Equal(content, stored), "the object is the stream and nothing else")
				require.True(t, bytes.Equal(content, p.ok(nil, "pull", "--path", "mysql/ns/app/dump.sql.gz", "-")))

				target := filepath.Join(t.TempDir(), "target")
				p.ok(nil, "pull", "--path", "mysql/ns/app/dump.sql.gz", target)
				pulled, err := os.ReadFile(target)
				require.NoError(t, err)
				require.True(t, bytes.Equal(content, pulled))

				content = noise(t, size)
				require.NoError(t, p.raw.WriteAll(t.Context(), "backups/prod/theirs/dump", content, nil))
				require.True(t, bytes.Equal(content, p.ok(nil, "cat", "--path", "theirs/dump")), "an object without a record of ours")
			}
			require.NoError(t, p.raw.WriteAll(t.Context(), "backups/prod/theirs/dump2", []byte("x"), nil))
			require.Equal(t, "theirs/dump\ntheirs/dump2\n", string(p.ok(nil, "ls", "--path", "theirs")))
			p.ok(nil, "delete", "--path", "theirs/dump")
			require.Equal(t, "mysql/ns/app/dump.sql.gz\ntheirs/dump2\n", string(p.ok(nil, "ls")), "whole names only")
			code, _, errs := p.kando(nil, "pull", "--path", "theirs/dump", "-")
			require.Equal(t, 3, code, errs)
			p.ok(nil, "delete", "--path", "theirs")
			p.ok(nil, "delete", "--path", "mysql")
			require.Empty(t, p.keys(), "nothing is left, no record either")
		})
	}
}

func TestCheckOnEveryStore(t *testing.T) {
	for name, start := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, start(t))
			code, out, errs := p.kando(nil, "check")
			require.Zero(t, code, "%s%s", out, errs)
			require.Equal(t, 9, strings.Count(string(out), "\nok    "), string(out))
			require.Empty(t, p.keys(), "nothing is left")
		})
	}
}

func TestEncryptedOnEveryStore(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	keys := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(keys, []byte(id.String()), 0o600))
	for name, start := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, start(t))
			content := bytes.Repeat([]byte("INSERT INTO items VALUES (1);\n"), 1<<20)
			p.ok(content, "push", "--path", "dump", "--compress", "--recipient", id.Recipient().String(), "-")
			stored, err := p.raw.ReadAll(t.Context(), "backups/prod/dump")
			require.NoError(t, err)
			require.Less(t, len(stored), len(content)/10)
			require.NotContains(t, string(stored), "INSERT")
			require.True(t, bytes.Equal(content, p.ok(nil, "cat", "--path", "dump", "--identity-file", keys)))
			if name != "folder" { // which keeps no metadata
				require.NoError(t, p.raw.Delete(t.Context(), "backups/prod/.davit/sum/dump.json"))
				require.True(t, bytes.Equal(content, p.ok(nil, "cat", "--path", "dump", "--identity-file", keys)), "the object itself says how it was written")
			}
			code, out, _ := p.kando(nil, "cat", "--path", "dump")
			require.NotZero(t, code)
			require.Empty(t, out)
		})
	}
}

// LocationDelete takes away a backup of more objects than a batch has, and nothing beside it.
func TestLocationDeleteOnEveryStore(t *testing.T) {
	openProfile := func(ctx context.Context, profile []byte) (*location.Bucket, error) {
		return location.OpenProfile(ctx, profile, all.Openers())
	}
	for name, start := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loc := start(t)
			p := open(t, loc)
			b, err := openProfile(t.Context(), []byte(p.profile))
			require.NoError(t, err)
			defer func() { require.NoError(t, b.Close()) }()
			for i := range 120 {
				_, err := b.Write(t.Context(), fmt.Sprintf("a/1/%d", i), strings.NewReader("x"), nil)
				require.NoError(t, err)
			}
			for i := range 1000 {
				require.NoError(t, p.raw.WriteAll(t.Context(), fmt.Sprintf("backups/prod/a/1/theirs/%d", i), []byte("x"), nil))
			}
			_, err = b.Write(t.Context(), "a/10", strings.NewReader("x"), nil)
			require.NoError(t, err)

			call, _ := functiontest.NewCall("id")
			call.Profile = function.NewSecret(p.profile)
			out, err := data.LocationDelete(openProfile).Exec(t.Context(), call, map[string]any{"artifact": loc.Bucket + "/a/1"})
			require.NoError(t, err)
			require.EqualValues(t, 1120, out["deleted"])
			require.Equal(t, []string{"backups/prod/.davit/sum/a/10.json", "backups/prod/a/10"}, p.keys())
		})
	}
}

// What is wrong with a location is said in the words of the package, whatever is tried, and without the credential.
func TestErrorsOnEveryStore(t *testing.T) {
	for name, start := range stores() {
		if name == "folder" { // it has neither bucket nor credential; its own errors are tested with it
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := start(t)
			type fault struct {
				loc  location.Location
				want error
			}
			absent := *good
			absent.Bucket = "there-is-no-such-bucket"
			faults := map[string]fault{"no such bucket": {absent, location.ErrNoBucket}}
			id, secret, _ := good.Credential.KeyPair()
			if id != "" {
				wrong := *good
				wrong.Credential = location.NewKeyPair(id, strings.Repeat("QUJD", 22))
				faults["wrong secret"] = fault{wrong, location.ErrCredential}
			}
			for fault, tc := range faults {
				b, err := location.Open(t.Context(), &tc.loc, all.Openers(), nil)
				require.NoError(t, err, "opening makes no request")
				_, werr := b.Write(t.Context(), "k", strings.NewReader("x"), nil)
				_, rerr := b.Read(t.Context(), "k", &bytes.Buffer{}, nil)
				_, serr := b.Stat(t.Context(), "k")
				_, derr := b.Delete(t.Context(), "k")
				_, cerr := location.Check(t.Context(), b)
				var lerr error
				for _, err := range b.List(t.Context(), "") {
					lerr = err
				}
				for what, err := range map[string]error{"write": werr, "read": rerr, "look up": serr, "delete": derr, "check": cerr, "list": lerr} {
					if name == "azurite" && errors.Is(err, fs.ErrPermission) {
						continue // to some requests it answers AuthorizationFailure where Azure says AuthenticationFailed
					}
					require.ErrorIs(t, err, tc.want, "%s: %s", fault, what)
					require.NotErrorIs(t, err, location.ErrNotFound, "%s: %s", fault, what)
					require.NotContains(t, err.Error(), "QUJDQUJD", "%s: %s", fault, what)
					if secret != "" {
						require.NotContains(t, err.Error(), secret, "%s: %s", fault, what)
					}
				}
				t.Log(fault, "\n", werr, "\n", rerr, "\n", serr, "\n", derr, "\n", lerr)
				require.NoError(t, b.Close())
			}
		})
	}
}
