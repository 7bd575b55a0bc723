//go:build e2e && unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/rds"
	"github.com/davit-project/davit/internal/pgdump/motords"
	"github.com/davit-project/davit/internal/pgdump/pgserver"
)

// built is the program: its pods run it.
func built(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "rds")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

// What the program says is what it has done.
func TestOnThisMachine(t *testing.T) {
	t.Parallel()
	program, temp := built(t), t.TempDir()
	for _, dir := range []string{temp, filepath.Dir(temp)} {
		require.NoError(t, os.Chmod(dir, 0o711)) //nolint:gosec // PostgreSQL runs as another user
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	var said, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &faults
	require.NoError(t, cmd.Run(), "%s%s", &said, &faults)
	require.Empty(t, faults.String())
	require.Equal(t, `instance shop has a snapshot and a dump
instance restored holds the same 10000 orders
after the delete there are 2 instances and 0 snapshots of ours
`, said.String())
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestOnAWS dumps an instance and restores the dump to another one, with an address of RDS that the SDK finds in its environment.
func TestOnAWS(t *testing.T) {
	t.Parallel()
	ctx, program, folder := t.Context(), built(t), t.TempDir()
	servers := map[string]*pgserver.Server{}
	for _, name := range []string{"shop", "other"} {
		s, err := pgserver.Start(ctx)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		servers[name] = s
	}
	fake, err := motords.Start(ctx, region, func(instance string) (string, int) {
		if instance == "other" {
			return "127.0.0.1", servers["other"].Port
		}
		return "127.0.0.1", servers["shop"].Port
	})
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	client, err := rds.NewClient(ctx, rds.Access{Region: region, AccessKeyID: "id", SecretAccessKey: function.NewSecret("key")}, &rds.ClientOptions{Endpoint: fake.URL})
	require.NoError(t, err)
	for name, server := range servers {
		require.NoError(t, (&story{client: client}).create(ctx, database{instance: name, user: "postgres", password: server.Password}))
	}
	_, err = servers["shop"].SQL(ctx, "postgres", "CREATE TABLE kept AS SELECT 42 AS answer;")
	require.NoError(t, err)

	run := func(instance string, more ...string) string {
		ca := filepath.Join(folder, instance+".pem")
		require.NoError(t, os.WriteFile(ca, servers[instance].CA, 0o600))
		cmd := exec.CommandContext(ctx, program, append([]string{"--instance", instance, "--region", region, "--folder", filepath.Join(folder, "dumps"), "--ca", ca}, more...)...)
		cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+fake.URL, "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=key", "DB_PASSWORD="+servers[instance].Password)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	said := regexp.MustCompile(`^snapshot (shop-\S+), dump (rds/shop/\S+)\n$`).FindStringSubmatch(run("shop"))
	require.NotNil(t, said)
	require.FileExists(t, filepath.Join(folder, "dumps", said[2]))
	require.Equal(t, "restored "+said[2]+" to instance other\n", run("other", "--dump", said[2]))
	got, err := servers["other"].SQL(ctx, "postgres", "SELECT answer FROM kept;")
	require.NoError(t, err)
	require.Equal(t, "42", got)
}
