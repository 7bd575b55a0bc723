//go:build e2e

package repository

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// A sparse file of 20 GiB is stored in no time, and each byte of it.
func TestHugeSparseFile(t *testing.T) {
	r, repo := initFolder(t)
	dir := t.TempDir()
	f, err := os.Create(dir + "/sparse")
	require.NoError(t, err)
	defer f.Close()
	const size = 20 << 30
	islands := []int64{0, 1<<30 - 100, 7<<30 + 12345, size - 1000}
	for i, at := range islands {
		_, err = f.WriteAt(randomBytes(uint64(i), 1000), at)
		require.NoError(t, err)
	}
	require.NoError(t, f.Truncate(size))
	begin := time.Now()
	s, err := r.Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	require.Less(t, time.Since(begin), time.Minute)
	require.Equal(t, int64(size), s.Summary.TotalBytes)
	require.Less(t, s.Summary.DataAddedPacked, int64(1<<20))
	restic(t, repo, "check", "--read-data")

	zeros := map[format.ID]bool{}
	for p := range r.idx.all() {
		content, err := r.loadBlob(t.Context(), p.Handle, nil)
		require.NoError(t, err)
		zero := true
		for _, b := range content {
			zero = zero && b == 0
		}
		zeros[p.ID] = zero
	}
	found, at := 0, int64(0)
	for _, id := range folderNode(t, r, s, dir+"/sparse").Content {
		p, ok := r.idx.lookup(format.Handle{ID: id})
		require.True(t, ok)
		if !zeros[id] {
			want := make([]byte, p.Size())
			_, err = f.ReadAt(want, at)
			require.NoError(t, err)
			got, err := r.loadBlob(t.Context(), p.Handle, nil)
			require.NoError(t, err)
			require.Equal(t, want, got)
			for _, island := range islands {
				if at <= island && island < at+int64(p.Size()) {
					found++
				}
			}
		}
		at += int64(p.Size())
	}
	require.Equal(t, int64(size), at)
	require.Equal(t, len(islands), found)
}

// folderNode is what the snapshot has at p.
func folderNode(t *testing.T, r *Repository, s Snapshot, p string) *format.Node {
	t.Helper()
	tree, n := s.Tree, (*format.Node)(nil)
	for rest := p; rest != "/" && rest != ""; {
		var name string
		name, rest = splitFirst(rest)
		id, err := format.ParseID(tree)
		require.NoError(t, err)
		nodes, err := r.loadTree(t.Context(), id)
		require.NoError(t, err)
		n = (&parentTree{nodes.Nodes}).find(name)
		require.NotNil(t, n, name)
		if n.Subtree != nil {
			tree = n.Subtree.String()
		}
	}
	return n
}

func splitFirst(p string) (first, rest string) {
	p = p[1:]
	for i := range len(p) {
		if p[i] == '/' {
			return p[:i], p[i:]
		}
	}
	return p, ""
}

// With OneFileSystem, what is mounted in the tree is an empty folder.
func TestOneFileSystem(t *testing.T) {
	r, _ := initFolder(t)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(dir+"/mount", 0o755))
	require.NoError(t, unix.Mount("tmpfs", dir+"/mount", "tmpfs", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir+"/mount", 0)) })
	write(t, dir+"/mount/inside", "inside")
	write(t, dir+"/beside", "beside")
	for _, one := range []bool{false, true} {
		src, err := NewLocalSource(&LocalOptions{OneFileSystem: one}, dir)
		require.NoError(t, err)
		s, err := r.Backup(t.Context(), src, nil)
		require.NoError(t, err)
		all := readSnapshot(t, r, s)
		require.Contains(t, all, dir+"/mount")
		require.Contains(t, all, dir+"/beside")
		_, inside := all[dir+"/mount/inside"]
		require.Equal(t, !one, inside)
	}
}

// childDir and childRepo tell the test binary that it is the process to be killed.
const (
	childDir  = "DAVIT_TEST_CHILD_DIR"
	childRepo = "DAVIT_TEST_CHILD_REPOSITORY"
)

// TestKilledChild is what TestKilledBackup kills; by itself it backs up nothing.
func TestKilledChild(t *testing.T) {
	if os.Getenv(childDir) == "" {
		return
	}
	r := openFolder(t, os.Getenv(childRepo), nil)
	_, err := r.Backup(t.Context(), local(t, os.Getenv(childDir)), nil)
	require.NoError(t, err)
}

// Backups that are killed at any time leave a repository that is sound, in which every snapshot is whole.
func TestKilledBackup(t *testing.T) {
	_, repo := initFolder(t)
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	for round := range 12 {
		for i := range 20 {
			write(t, fmt.Sprintf("%s/%d/%d", dir, i%3, i), string(randomBytes(uint64(round*100+i), 2<<20)))
		}
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
		child.Env = append(os.Environ(), childDir+"="+dir, childRepo+"="+repo)
		require.NoError(t, child.Start())
		time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
		require.NoError(t, child.Process.Kill())
		_ = child.Wait()
	}
	r := openFolder(t, repo, nil)
	s, err := r.Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	all := readSnapshot(t, r, s)
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.Type().IsRegular() {
			want, err := os.ReadFile(p)
			require.NoError(t, err)
			require.Equal(t, format.Hash(want), format.Hash([]byte(all[p].text)), p)
		}
		return nil
	}))
	restic(t, repo, "unlock")
	restic(t, repo, "check", "--read-data")
}

// restic and Davit back up into one repository at once.
func TestBackupBesideRestic(t *testing.T) {
	_, repo := initFolder(t)
	until := time.Now().Add(15 * time.Second)
	var all sync.WaitGroup
	for k := range 2 {
		dir := t.TempDir()
		all.Go(func() {
			for i := 0; i < 3 || time.Now().Before(until); i++ { // a slow machine takes longer
				write(t, fmt.Sprintf("%s/%d", dir, i%10), string(randomBytes(uint64(i+100*k), 1<<20)))
				if k == 0 {
					restic(t, repo, "backup", dir)
					continue
				}
				_, err := openFolder(t, repo, nil).Backup(t.Context(), local(t, dir), nil)
				require.NoError(t, err)
			}
		})
	}
	all.Wait()
	restic(t, repo, "check", "--read-data")
	found, err := openFolder(t, repo, nil).Snapshots(t.Context(), nil)
	require.NoError(t, err)
	require.Greater(t, len(found), 3)
}
