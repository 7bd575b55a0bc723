package memsnap_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

var (
	volume = snapshot.Ref{Namespace: "ns", Name: "volume"}
	first  = snapshot.Request{Ref: snapshot.Ref{Namespace: "ns", Name: "first"}, Volume: "volume", Token: "token"}
	second = snapshot.Request{Ref: snapshot.Ref{Namespace: "ns", Name: "second"}, Volume: "volume", Token: "token"}
)

func get(t *testing.T, d *memsnap.Driver, ref snapshot.Ref) snapshot.Status {
	t.Helper()
	st, err := d.Get(t.Context(), ref)
	require.NoError(t, err)
	return st
}

// A snapshot has the content of the moment it says it was cut, however late somebody looks.
func TestTheCutIsOfItsMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memsnap.New(&memsnap.Options{OneByOne: true, CutAfter: time.Second, ReadyAfter: time.Minute})
		d.AddVolume(volume, "one")
		begin := time.Now()
		require.NoError(t, d.Create(t.Context(), first))
		require.NoError(t, d.Create(t.Context(), second))
		require.False(t, get(t, d, first.Ref).Cut())
		time.Sleep(1500 * time.Millisecond)
		require.NoError(t, d.Write(volume, "two"))
		time.Sleep(time.Second)
		require.NoError(t, d.Write(volume, "three"))
		time.Sleep(time.Hour)
		for req, want := range map[*snapshot.Request]string{&first: "one", &second: "two"} {
			copied := snapshot.RestoreRequest{Ref: snapshot.Ref{Namespace: "ns", Name: "copy-" + want}, Snapshot: req.Name, Size: "1Gi", Token: "token"}
			require.NoError(t, d.Restore(t.Context(), copied))
			got, err := d.Read(copied.Ref)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		require.Equal(t, begin.Add(time.Second), get(t, d, first.Ref).CutAt)
		require.Equal(t, begin.Add(2*time.Second), get(t, d, second.Ref).CutAt)
	})
}

func TestAProblemStopsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memsnap.New(&memsnap.Options{CutAfter: time.Second})
		d.AddVolume(volume, "")
		d.SetProblem(first.Ref, "pool is full")
		require.NoError(t, d.Create(t.Context(), first))
		time.Sleep(time.Hour)
		st := get(t, d, first.Ref)
		require.False(t, st.Cut())
		require.Equal(t, "pool is full", st.Problem)
		d.SetProblem(first.Ref, "")
		require.Empty(t, get(t, d, first.Ref).Problem)
		time.Sleep(time.Second)
		require.True(t, get(t, d, first.Ref).Ready)

		require.NoError(t, d.Create(t.Context(), second))
		d.RemoveVolume(volume)
		time.Sleep(time.Hour)
		require.Equal(t, `the volume "volume" is gone`, get(t, d, second.Ref).Problem)
	})
}

func TestCallComesBeforeAndAfter(t *testing.T) {
	boom := errors.New("boom")
	var calls []memsnap.Call
	var before, after error
	d := memsnap.New(&memsnap.Options{Call: func(_ context.Context, c memsnap.Call) error {
		calls = append(calls, c)
		if c.After {
			return after
		}
		return before
	}})
	d.AddVolume(volume, "")
	before = boom
	require.ErrorIs(t, d.Create(t.Context(), first), boom)
	require.Empty(t, d.Snapshots())
	before, after = nil, boom
	require.ErrorIs(t, d.Create(t.Context(), first), boom, "the answer is lost")
	require.Equal(t, []string{"ns/first"}, d.Snapshots())
	require.Equal(t, []memsnap.Call{
		{Method: "Create", Ref: first.Ref}, {Method: "Create", Ref: first.Ref}, {Method: "Create", Ref: first.Ref, After: true},
	}, calls)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, d.Delete(ended, first.Ref, "", ""), context.Canceled)
	require.Len(t, calls, 3)
}

func TestSizes(t *testing.T) {
	d := memsnap.New(nil)
	d.AddVolume(volume, "")
	require.NoError(t, d.Create(t.Context(), first))
	get(t, d, first.Ref)
	for size, good := range map[string]bool{
		"1Gi": true, "1024Mi": true, "1.5Gi": true, "1073741824": true, "2G": true, "1Ti": true,
		"1G": false, "1023Mi": false, "1": false, "0": false, "": false, "Gi": false, "-2Gi": false, "2gi": false, "2GiB": false, "NaN": false, "Inf": false, "1e12": false, "0x1p40": false, "1..5Gi": false,
	} {
		req := snapshot.RestoreRequest{Ref: snapshot.Ref{Namespace: "ns", Name: "copy"}, Snapshot: "first", Size: size, Token: "token"}
		err := d.Restore(t.Context(), req)
		d.RemoveVolume(req.Ref)
		if good {
			require.NoError(t, err, size)
		} else {
			require.ErrorIs(t, err, snapshot.ErrInvalid, size)
		}
	}
}
