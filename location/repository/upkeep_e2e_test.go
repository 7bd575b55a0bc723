//go:build e2e

package repository

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// resticSnapshots are the IDs of the snapshots, the oldest first.
func resticSnapshots(t *testing.T, dir string) []string {
	t.Helper()
	var list []struct{ ID string }
	require.NoError(t, json.Unmarshal(restic(t, dir, "snapshots", "--json"), &list))
	var ids []string
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

// killedBackup begins a backup with restic and kills it, so that packs without an index and a lock are left.
func killedBackup(t *testing.T, dir, src string) {
	t.Helper()
	for try := range 20 {
		cmd := exec.CommandContext(t.Context(), "restic", "-r", dir, "--no-cache", "--limit-upload", "4000", "backup", src)
		cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+testPassword)
		before := countFiles(t, filepath.Join(dir, "data"))
		require.NoError(t, cmd.Start())
		deadline := time.Now().Add(time.Minute)
		for countFiles(t, filepath.Join(dir, "data")) == before && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		if countFiles(t, filepath.Join(dir, "locks")) > 0 {
			return
		}
		require.Less(t, try, 10)
	}
}

func countFiles(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	require.NoError(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		// Files that are being written have longer names.
		if err == nil && d.Type().IsRegular() && len(d.Name()) == 64 {
			n++
		}
		return nil
	}))
	return n
}

// checkBoth has both programs check all data.
func checkBoth(t *testing.T, dir string) CheckReport {
	t.Helper()
	restic(t, dir, "check", "--read-data")
	report, err := openFolder(t, dir, nil).Check(t.Context(), &CheckOptions{ReadData: "all"})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	return report
}

// restored compares what restic restores of the snapshot with the tree.
func restored(t *testing.T, dir, id, want string) {
	t.Helper()
	target := t.TempDir()
	restic(t, dir, "restore", id, "--target", target)
	sameTrees(t, want, filepath.Join(target, want))
}

// What restic has made, with all that a killed one leaves, is checked, forgotten, and pruned by us; restic agrees with what is left and restores it.
func TestUpkeepOfRestics(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		t.Run(version, func(t *testing.T) {
			dir, src := filepath.Join(t.TempDir(), "repository"), t.TempDir()
			restic(t, dir, "init", "--repository-version", version)
			second := filepath.Join(t.TempDir(), "password")
			require.NoError(t, os.WriteFile(second, []byte("another\n"), 0o600))
			restic(t, dir, "key", "add", "--new-password-file", second)
			for i := range 4 {
				makeTree(t, src, uint64(30+i))
				restic(t, dir, "backup", src)
			}
			ids := resticSnapshots(t, dir)
			big := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(big, "f"), randomBytes(90, 60<<20), 0o600))
			killedBackup(t, dir, big)
			half := filepath.Join(dir, "data", "aa", "aa"+fmt.Sprintf("%062d", 1))
			require.NoError(t, os.WriteFile(half, randomBytes(91, 1<<20), 0o600))

			r, err := Open(t.Context(), folder(t, dir), "another", nil)
			require.NoError(t, err)
			report, err := r.Check(t.Context(), &CheckOptions{ReadData: "all"})
			require.NoError(t, err)
			require.NoError(t, report.Err())
			require.GreaterOrEqual(t, report.Hints, 2)
			require.NoError(t, r.Forget(t.Context(), ids[0][:8], ids[2]))
			require.Equal(t, []string{ids[1], ids[3]}, resticSnapshots(t, dir))
			sum, err := r.Prune(t.Context(), &PruneOptions{MaxUnused: -1})
			require.NoError(t, err)
			require.GreaterOrEqual(t, sum.PacksUnindexed, 2)
			require.Greater(t, sum.BytesFreed, int64(4<<20))
			after := checkBoth(t, dir)
			require.Zero(t, after.Hints)
			require.Zero(t, after.BlobsUnused)
			require.Zero(t, countFiles(t, filepath.Join(dir, "locks")))
			restored(t, dir, ids[3], src)

			// And on it goes.
			makeTree(t, src, 50)
			restic(t, dir, "backup", src)
			out := restic(t, dir, "forget", "--keep-last", "1", "--prune", "--max-unused", "0")
			require.NotContains(t, string(out), "error")
			checkBoth(t, dir)
			restored(t, dir, "latest", src)
		})
	}
}

// What we have made, restic forgets and prunes, and what restic has left we check; and the other way round, by turns.
func TestUpkeepByTurns(t *testing.T) {
	r, dir := initFolder(t)
	src := t.TempDir()
	back := func(seed uint64) {
		t.Helper()
		makeTree(t, src, seed)
		s, err := NewLocalSource(nil, src)
		require.NoError(t, err)
		_, err = r.Backup(t.Context(), s, nil)
		require.NoError(t, err)
	}
	for i := range 3 {
		back(uint64(60 + i*10))
		back(uint64(61 + i*10))
		restic(t, dir, "forget", "--keep-last", "1", "--prune", "--max-unused", "0")
		checkBoth(t, dir)
		back(uint64(62 + i*10))
		ids := resticSnapshots(t, dir)
		require.Len(t, ids, 2)
		require.NoError(t, r.Forget(t.Context(), ids[0]))
		_, err := r.Prune(t.Context(), &PruneOptions{MaxUnused: -1})
		require.NoError(t, err)
		require.Zero(t, checkBoth(t, dir).BlobsUnused)
		restored(t, dir, "latest", src)
	}
}

// Wherever a bit flips or a file ends early, we find it if restic does, and what we repair restic calls good.
func TestCheckFindsWhatResticFinds(t *testing.T) {
	origin, src := filepath.Join(t.TempDir(), "repository"), t.TempDir()
	restic(t, origin, "init")
	for i := range 2 {
		makeTree(t, src, uint64(70+i))
		restic(t, origin, "backup", src)
	}
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for i := range 8 {
		dir := filepath.Join(t.TempDir(), "repository")
		require.NoError(t, os.CopyFS(dir, os.DirFS(origin)))
		what := harmFile(t, dir, rnd)
		_, resticErr := resticErr(t, dir, "check", "--read-data")
		r, err := Open(context.Background(), folder(t, dir), testPassword, nil)
		if err != nil {
			// Of a key or config that is damaged restic sees less; without a config there is no repository.
			require.True(t, errors.Is(err, ErrDamaged) || errors.Is(err, ErrNoRepository), "%d: %s: %v", i, what, err)
			continue
		}
		report, err := r.Check(t.Context(), &CheckOptions{ReadData: "all"})
		require.NoError(t, err)
		if resticErr != nil {
			require.Error(t, report.Err(), "%d: %s: restic finds something", i, what)
		}
		if report.Err() == nil || slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Kind == FoundKey || f.Kind == FoundConfig }) {
			continue
		}
		repaired, err := r.Repair(t.Context(), &RepairOptions{Index: true, Packs: []string{"all"}, Snapshots: true, Forget: true})
		require.NoError(t, err, "%d: %s", i, what)
		_, err = r.Prune(t.Context(), nil)
		require.NoError(t, err, "%d: %s", i, what)
		checkBoth(t, dir)
		for _, s := range repaired.Snapshots {
			if s.New != "" {
				restic(t, dir, "restore", s.New, "--target", t.TempDir())
			}
		}
	}
}

// harmFile flips a bit of a file of the repository, cuts it, or removes it.
func harmFile(t *testing.T, dir string, rnd *rand.Rand) string {
	t.Helper()
	kinds := []string{"config", "keys", "snapshots", "index", "data", "data", "data", "data"}
	var files []string
	require.NoError(t, filepath.WalkDir(filepath.Join(dir, kinds[rnd.IntN(len(kinds))]), func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, p)
		}
		return err
	}))
	p := files[rnd.IntN(len(files))]
	require.NoError(t, os.Chmod(p, 0o600))
	content, err := os.ReadFile(p)
	require.NoError(t, err)
	switch at := rnd.IntN(len(content)); rnd.IntN(4) {
	case 0:
		require.NoError(t, os.Remove(p))
		return p + " is removed"
	case 1:
		require.NoError(t, os.WriteFile(p, content[:at], 0o600))
		return fmt.Sprintf("%s is cut at %d", p, at)
	default:
		content[at] ^= 1 << rnd.IntN(8)
		require.NoError(t, os.WriteFile(p, content, 0o600))
		return fmt.Sprintf("%s has a bit flipped at %d of %d", p, at, len(content))
	}
}
