package snapshot_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

var copied = snapshot.RestoreRequest{Ref: snapshot.Ref{Namespace: "ns", Name: "copy"}, Snapshot: "monday", Size: "2Gi", Token: "restore"}

func TestRestoreWaitsForTheSnapshotAndTheVolume(t *testing.T) {
	inBubble(t, memsnap.Options{CutAfter: time.Minute, BindAfter: time.Minute}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		require.NoError(t, storage.Create(t.Context(), monday))
		time.AfterFunc(2*time.Minute, func() { _ = storage.Write(data, "later") })
		begin := time.Now()
		st, err := s.Restore(t.Context(), copied)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(begin), 2*time.Minute)
		require.True(t, st.Bound)
		require.Equal(t, "2Gi", st.Size)
		content, err := storage.Read(copied.Ref)
		require.NoError(t, err)
		require.Equal(t, "content", content)

		require.NoError(t, storage.Write(copied.Ref, "in use"))
		require.NoError(t, s.Delete(t.Context(), monday.Ref, ""))
		_, err = s.Restore(t.Context(), copied)
		require.NoError(t, err, "what is there needs no snapshot any more")
		content, err = storage.Read(copied.Ref)
		require.NoError(t, err)
		require.Equal(t, "in use", content)
	})
}

func TestRestoreDoesNotWaitForAPod(t *testing.T) {
	inBubble(t, memsnap.Options{WaitForPod: true}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		_, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		st, err := s.Restore(t.Context(), copied)
		require.NoError(t, err)
		require.True(t, st.Waiting && !st.Bound)
		content, err := storage.Read(copied.Ref)
		require.NoError(t, err)
		require.Equal(t, "content", content)
	})
}

func TestRestoreFails(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *snapshot.RestoreRequest)
		ended  bool
		is     error
	}{
		"no snapshot":     {change: func(r *snapshot.RestoreRequest) { r.Snapshot = "" }, is: snapshot.ErrInvalid},
		"no size":         {change: func(r *snapshot.RestoreRequest) { r.Size = "" }, is: snapshot.ErrInvalid},
		"no token":        {change: func(r *snapshot.RestoreRequest) { r.Token = "" }, is: snapshot.ErrInvalid},
		"absent snapshot": {change: func(r *snapshot.RestoreRequest) { r.Snapshot = "absent" }, is: snapshot.ErrNotFound},
		"too small":       {change: func(r *snapshot.RestoreRequest) { r.Size = "1Mi" }, is: snapshot.ErrInvalid},
		"somebody else's": {change: func(r *snapshot.RestoreRequest) { r.Name = "data" }, is: snapshot.ErrExists},
		"never bound":     {is: context.DeadlineExceeded},
		"ended":           {ended: true, is: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, memsnap.Options{BindAfter: time.Hour, DeleteAfter: time.Second}, func(t *testing.T, storage *memsnap.Driver) {
				s := snapshot.New(storage, &snapshot.Options{Timeout: time.Minute})
				_, err := s.Create(t.Context(), monday)
				require.NoError(t, err)
				req := copied
				if c.change != nil {
					c.change(&req)
				}
				ctx, cancel := context.WithCancel(t.Context())
				if c.ended {
					require.NoError(t, storage.Restore(ctx, req))
					cancel()
				}
				defer cancel()
				_, err = s.Restore(ctx, req)
				require.ErrorIs(t, err, c.is)
				require.ErrorContains(t, err, `volume "ns/`)
				_, err = storage.Volume(t.Context(), copied.Ref)
				require.ErrorIs(t, err, snapshot.ErrNotFound, "nothing is left")
				_, err = storage.Read(data)
				require.NoError(t, err)
			})
		})
	}
}

func TestRestoreWaitsOutItsOwnRemoval(t *testing.T) {
	inBubble(t, memsnap.Options{DeleteAfter: time.Minute}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		_, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		_, err = s.Restore(t.Context(), copied)
		require.NoError(t, err)
		require.NoError(t, storage.Write(copied.Ref, "old"))
		require.NoError(t, storage.DeleteVolume(t.Context(), copied.Ref, copied.Token))
		st, err := s.Restore(t.Context(), copied)
		require.NoError(t, err)
		require.False(t, st.Deleting)
		content, err := storage.Read(copied.Ref)
		require.NoError(t, err)
		require.Equal(t, "content", content)
	})
}

func TestImportAndCloneKeepTheStoragesSnapshot(t *testing.T) {
	inBubble(t, memsnap.Options{CutAfter: time.Minute, DeleteAfter: time.Second}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		require.NoError(t, storage.Create(t.Context(), monday))
		req := snapshot.ImportRequest{Ref: snapshot.Ref{Namespace: "other", Name: "clone"}, Token: "clone"}
		clone, err := s.Clone(t.Context(), monday.Ref, req)
		require.NoError(t, err, "it waits until the source has a handle")
		source, err := s.Get(t.Context(), monday.Ref)
		require.NoError(t, err)
		require.Equal(t, source.Handle, clone.Handle)
		require.Equal(t, snapshot.Retain, clone.Policy)
		require.NotEqual(t, source.Content, clone.Content)

		require.NoError(t, s.Delete(t.Context(), clone.Ref, ""))
		require.NoError(t, s.DeleteContent(t.Context(), clone.Content))
		require.Equal(t, []string{source.Handle}, storage.Stored(), "deleting the clone keeps the source's data")
		_, err = s.Wait(t.Context(), source.Ref)
		require.NoError(t, err)

		_, err = s.Import(t.Context(), snapshot.ImportRequest{Ref: clone.Ref, Driver: memsnap.Name, Handle: "absent", Token: "import"})
		require.ErrorIs(t, err, snapshot.ErrFailed)
		require.ErrorContains(t, err, "no snapshot")
		boom := errors.New("boom")
		ended, cancel := context.WithCancelCause(t.Context())
		imported := snapshot.ImportRequest{Ref: clone.Ref, Driver: memsnap.Name, Handle: source.Handle, Policy: snapshot.Delete, Token: "import"}
		require.NoError(t, storage.Import(t.Context(), imported))
		cancel(boom)
		_, err = s.Import(ended, imported)
		require.ErrorIs(t, err, boom)
		require.Equal(t, []string{source.Handle}, storage.Stored(), "a failed import keeps what is in the storage, whatever its policy")
		require.Equal(t, []string{"ns/monday"}, storage.Snapshots())
		require.Equal(t, []string{source.Content}, storage.Contents())

		for _, bad := range []func(r *snapshot.ImportRequest){
			func(r *snapshot.ImportRequest) { r.Handle = "" },
			func(r *snapshot.ImportRequest) { r.Driver = "" },
			func(r *snapshot.ImportRequest) { r.Policy = "Recycle" },
			func(r *snapshot.ImportRequest) { r.Namespace = "" },
		} {
			req := imported
			bad(&req)
			_, err := s.Import(t.Context(), req)
			require.ErrorIs(t, err, snapshot.ErrInvalid)
		}
		_, err = s.Clone(t.Context(), snapshot.Ref{Namespace: "ns", Name: "absent"}, req)
		require.ErrorIs(t, err, snapshot.ErrNotFound)
	})
}

func TestDelete(t *testing.T) {
	inBubble(t, memsnap.Options{DeleteAfter: time.Minute}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		require.NoError(t, s.Delete(t.Context(), monday.Ref, ""), "an absent one is no error")
		require.ErrorIs(t, s.Delete(t.Context(), monday.Ref, "Recycle"), snapshot.ErrInvalid)
		require.ErrorIs(t, s.Delete(t.Context(), snapshot.Ref{Name: "monday"}, ""), snapshot.ErrInvalid)
		for _, policy := range []snapshot.Policy{"", snapshot.Delete} {
			_, err := s.Create(t.Context(), monday)
			require.NoError(t, err)
			require.NoError(t, s.Delete(t.Context(), monday.Ref, policy))
			requireEmpty(t, storage)
		}
		st, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		require.NoError(t, s.Delete(t.Context(), monday.Ref, snapshot.Retain))
		require.Empty(t, storage.Snapshots())
		require.Equal(t, []string{st.Handle}, storage.Stored())
		has, err := storage.HasContent(t.Context(), st.Content)
		require.NoError(t, err)
		require.True(t, has)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = s.DeleteContent(ctx, st.Content)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "still there")
		require.NoError(t, s.DeleteContent(t.Context(), st.Content))
		has, err = storage.HasContent(t.Context(), st.Content)
		require.NoError(t, err)
		require.False(t, has)
		require.NoError(t, s.DeleteContent(t.Context(), st.Content))
		require.ErrorIs(t, s.DeleteContent(t.Context(), ""), snapshot.ErrInvalid)
	})
}

// A content that was to stay until now is removed too.
func TestDeleteOfAContentThatWasToStay(t *testing.T) {
	inBubble(t, memsnap.Options{Policy: snapshot.Retain, StaleContents: true, DeleteAfter: time.Second}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		_, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		require.NoError(t, s.Delete(t.Context(), monday.Ref, snapshot.Delete))
		requireEmpty(t, storage)

		st, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		require.ErrorIs(t, s.DeleteContent(t.Context(), st.Content), snapshot.ErrInvalid, "its snapshot still exists")
		require.NoError(t, s.Delete(t.Context(), monday.Ref, ""))
		require.Equal(t, []string{st.Content}, storage.Contents())
	})
}

// A problem from before a removal, such as why a snapshot was never cut, does not end it.
func TestDeleteOfASnapshotWithAProblem(t *testing.T) {
	inBubble(t, memsnap.Options{DeleteAfter: time.Hour}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		storage.SetProblem(monday.Ref, "pool is full")
		require.NoError(t, storage.Create(t.Context(), monday))
		require.NoError(t, s.Delete(t.Context(), monday.Ref, snapshot.Delete))
		requireEmpty(t, storage)

		require.NoError(t, storage.Create(t.Context(), monday))
		time.AfterFunc(time.Minute, func() { storage.SetProblem(monday.Ref, "it has clones") })
		err := s.Delete(t.Context(), monday.Ref, snapshot.Delete)
		require.ErrorIs(t, err, snapshot.ErrFailed)
		require.ErrorContains(t, err, "it has clones")
	})
}
