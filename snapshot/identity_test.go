package snapshot_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

// A host that gives one token to two things by mistake is told so, and loses neither.
func TestATokenThatIsUsedForSomethingElse(t *testing.T) {
	inBubble(t, memsnap.Options{}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		storage.AddVolume(snapshot.Ref{Namespace: "ns", Name: "log"}, "log")
		st, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		other := monday
		other.Volume = "log"
		_, err = s.Create(t.Context(), other)
		require.ErrorIs(t, err, snapshot.ErrExists)
		require.ErrorContains(t, err, `it is of volume "data", not "log"`)
		_, err = s.CreateGroup(t.Context(), snapshot.GroupRequest{Requests: []snapshot.Request{other}}, &stubHolder{})
		require.ErrorIs(t, err, snapshot.ErrExists)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Create(ended, other)
		require.ErrorIs(t, err, context.Canceled)
		again, err := s.Get(t.Context(), monday.Ref)
		require.NoError(t, err)
		require.Equal(t, st, again)

		tuesday := monday
		tuesday.Name = "tuesday"
		second, err := s.Create(t.Context(), tuesday)
		require.NoError(t, err)
		imported := snapshot.ImportRequest{Ref: snapshot.Ref{Namespace: "ns", Name: "imported"}, Driver: memsnap.Name, Handle: st.Handle, Token: "import"}
		first, err := s.Import(t.Context(), imported)
		require.NoError(t, err)
		imported.Handle = second.Handle
		_, err = s.Import(t.Context(), imported)
		require.ErrorIs(t, err, snapshot.ErrExists)
		again, err = s.Get(t.Context(), imported.Ref)
		require.NoError(t, err)
		require.Equal(t, first, again)

		_, err = s.Restore(t.Context(), copied)
		require.NoError(t, err)
		require.NoError(t, storage.Write(copied.Ref, "in use"))
		from := copied
		from.Snapshot = "tuesday"
		_, err = s.Restore(t.Context(), from)
		require.ErrorIs(t, err, snapshot.ErrExists, "a claim with the content of another snapshot is no success")
		require.ErrorContains(t, err, `an earlier call made it from snapshot "monday", not "tuesday"`)
		_, err = s.Restore(ended, from)
		require.ErrorIs(t, err, context.Canceled)
		content, err := storage.Read(copied.Ref)
		require.NoError(t, err)
		require.Equal(t, "in use", content)
	})
}

// replace lets somebody delete a snapshot and take its name, with a token.
func replace(t *testing.T, storage *memsnap.Driver, token string) {
	t.Helper()
	require.NoError(t, storage.Delete(context.Background(), monday.Ref, "", ""))
	other := monday
	other.Token = token
	require.NoError(t, storage.Create(context.Background(), other))
}

// What takes the name of a snapshot that is removed stays, whenever it comes, and whatever token it has.
func TestDeleteLeavesWhatTakesTheName(t *testing.T) {
	for _, token := range []string{monday.Token, "other"} {
		for name, at := range map[string]memsnap.Call{
			"before the request": {Method: "Delete", Ref: monday.Ref},
			"after it":           {Method: "Delete", Ref: monday.Ref, After: true},
		} {
			t.Run(token+" "+name, func(t *testing.T) {
				var storage *memsnap.Driver
				done := false
				opts := memsnap.Options{Call: func(_ context.Context, c memsnap.Call) error {
					if c == at && !done {
						done = true
						replace(t, storage, token)
					}
					return nil
				}}
				inBubble(t, opts, func(t *testing.T, d *memsnap.Driver) {
					storage = d
					s := snapshot.New(d, nil)
					require.NoError(t, d.Create(t.Context(), monday))
					begin := time.Now()
					require.NoError(t, s.Delete(t.Context(), monday.Ref, snapshot.Delete))
					require.True(t, done)
					require.Less(t, time.Since(begin), time.Minute)
					st, err := s.Get(t.Context(), monday.Ref)
					require.NoError(t, err)
					require.Equal(t, token, st.Token)
					require.False(t, st.Deleting)
				})
			})
		}
	}
}

// A group does not mark what somebody has put in the place of its snapshot.
func TestAGroupWhoseSnapshotIsReplaced(t *testing.T) {
	inBubble(t, memsnap.Options{}, func(t *testing.T, storage *memsnap.Driver) {
		req := snapshot.GroupRequest{Requests: []snapshot.Request{monday}, Accept: func(context.Context) error {
			replace(t, storage, "other")
			return nil
		}}
		s := snapshot.New(storage, nil)
		_, err := s.CreateGroup(t.Context(), req, &stubHolder{})
		require.ErrorIs(t, err, snapshot.ErrExists)
		st, err := s.Get(t.Context(), monday.Ref)
		require.NoError(t, err)
		require.Equal(t, "other", st.Token)
		require.False(t, st.Confirmed)
	})
}
