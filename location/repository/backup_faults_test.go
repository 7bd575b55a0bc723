package repository

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A store that fails in the middle ends a backup, with an error, and every goroutine of it.
func TestBackupStoreFails(t *testing.T) {
	for _, workers := range []int{1, 2, 8} {
		for _, at := range []int{0, 17, 39} {
			r, raw := newRepository(t)
			dir := t.TempDir()
			for i := range 40 {
				write(t, fmt.Sprintf("%s/%d/%d", dir, i%4, i), string(randomBytes(uint64(i), 1<<20+i)))
			}
			src := &cancelling{Source: local(t, dir), at: at, cancel: func() { _ = raw.Close() }}
			_, err := r.Backup(t.Context(), src, &BackupOptions{Workers: workers})
			require.Error(t, err)
			require.NotErrorIs(t, err, ErrIncomplete)
			// The next one does not wait for this one.
			_, err = r.BackupStream(t.Context(), "x", strings.NewReader("x"), nil)
			require.Error(t, err)
		}
	}
}

// Backups of one Repository at once run one after the other.
func TestBackupsAtOnce(t *testing.T) {
	r, raw := newRepository(t)
	var all sync.WaitGroup
	for i := range 6 {
		dir := t.TempDir()
		write(t, dir+"/a", string(randomBytes(uint64(i/2), 2<<20)))
		all.Go(func() {
			s, err := r.Backup(t.Context(), local(t, dir), &BackupOptions{Tags: []string{fmt.Sprint(i)}})
			if err != nil {
				t.Error(err)
				return
			}
			if n := s.Summary.TotalFiles; n != 1 {
				t.Error(n)
			}
		})
	}
	all.Wait()
	other := reopen(t, raw, nil)
	found, err := other.Snapshots(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, found, 6)
	for _, s := range found {
		require.Len(t, readSnapshot(t, other, s)[s.Paths[0]+"/a"].text, 2<<20)
	}
	locks, err := r.Locks(t.Context())
	require.NoError(t, err)
	require.Empty(t, locks)
}
