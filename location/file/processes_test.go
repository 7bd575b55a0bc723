package file_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

// processEnv holds the folder that a process works in, which is this program again.
const processEnv = "DAVIT_TEST_FILE_PROCESS"

// TestSeveralProcesses has processes write, list, read and delete in the same folders at once. The folders come and go, and where one wants a folder, another wants an object.
// Who has written an object finds it until it deletes it.
func TestSeveralProcesses(t *testing.T) {
	if dir := os.Getenv(processEnv); dir != "" {
		work(t, dir)
		return
	}
	dir := t.TempDir()
	said := make([]bytes.Buffer, 4)
	errs := make([]error, len(said))
	var processes sync.WaitGroup
	for i := range said {
		processes.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSeveralProcesses$", "-test.count=1") //nolint:gosec // this program
			cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), processEnv+"="+dir), &said[i], &said[i]
			errs[i] = cmd.Run()
		})
	}
	processes.Wait()
	for i := range said {
		require.NoError(t, errs[i], said[i].String())
	}
	require.Empty(t, tree(t, dir))
}

func work(t *testing.T, dir string) {
	t.Helper()
	b, err := file.Open(t.Context(), &location.Location{Type: location.TypeFile, Bucket: dir})
	require.NoError(t, err)
	mine := os.Getpid()
	create := &blob.WriterOptions{IfNotExist: true}
	for n := range 100 {
		key := fmt.Sprintf("d/%d/%d", n%2, mine)
		require.NoError(t, b.WriteAll(t.Context(), key, []byte(key), nil))
		require.NoError(t, lives(t.Context(), b, key))
		contested := "contested"
		if (n+mine)%2 == 0 {
			contested = fmt.Sprintf("contested/%d", mine)
		}
		err := b.WriteAll(t.Context(), contested, []byte(contested), create)
		if err == nil {
			require.NoError(t, lives(t.Context(), b, contested))
		}
		require.NotEqual(t, gcerrors.NotFound, gcerrors.Code(err), "that nothing is there is no answer to a write: %v", err)
	}
	require.NoError(t, b.Close())
}

// lives looks for an object and deletes it.
func lives(ctx context.Context, b *blob.Bucket, key string) error {
	times := 0
	for it := b.List(nil); ; {
		o, err := it.Next(ctx)
		if err == io.EOF { //nolint:errorlint // it is the iterator's documented end
			break
		}
		if err != nil {
			return err
		}
		if o.Key == key {
			times++
		}
	}
	if times != 1 {
		return fmt.Errorf("%s is listed %d times", key, times)
	}
	got, err := b.ReadAll(ctx, key)
	if err != nil {
		return err
	}
	if string(got) != key {
		return fmt.Errorf("%s has %q", key, got)
	}
	return b.Delete(ctx, key)
}
