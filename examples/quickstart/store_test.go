//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func filled(t *testing.T, count uint64) *store {
	t.Helper()
	s, err := openStore(filepath.Join(t.TempDir(), "records.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	writeRecords(t, s, 1, count)
	return s
}

func writeRecords(t *testing.T, s *store, first, last uint64) {
	t.Helper()
	for n := first; n <= last; n++ {
		require.NoError(t, s.put([]uint64{n}, [][]byte{makeRecord(n)}))
	}
}

func TestASnapshotIsNotTouchedByLaterWrites(t *testing.T) {
	s := filled(t, 20)
	held, err := s.snapshot("a")
	require.NoError(t, err)
	require.Equal(t, uint64(20), held)
	writeRecords(t, s, 21, 30)

	again, err := s.snapshot("a")
	require.NoError(t, err)
	require.Equal(t, uint64(20), again)

	var dump bytes.Buffer
	require.NoError(t, s.dump("a", &dump))
	require.Equal(t, dumpSize(20), int64(dump.Len()))
	require.NoError(t, s.release("a"))
	require.NoError(t, s.release("a"))
	require.ErrorContains(t, s.dump("a", io.Discard), `no snapshot "a"`)

	loaded, err := s.load(&dump)
	require.NoError(t, err)
	require.Equal(t, uint64(20), loaded)
	checked, err := s.check()
	require.NoError(t, err)
	require.Equal(t, uint64(20), checked)
}

func TestABadDumpChangesNothing(t *testing.T) {
	source := filled(t, 3*loadBatch/2)
	_, err := source.snapshot("a")
	require.NoError(t, err)
	var whole bytes.Buffer
	require.NoError(t, source.dump("a", &whole))

	changed := func(at int) []byte {
		dump := bytes.Clone(whole.Bytes())
		dump[at] ^= 1
		return dump
	}
	tests := map[string]struct {
		dump []byte
		want string
	}{
		"empty":            {nil, "cut off"},
		"without its end":  {whole.Bytes()[:whole.Len()-1], "cut off"},
		"half":             {whole.Bytes()[:whole.Len()/2], "cut off"},
		"no dump":          {changed(0), "no dump"},
		"a bit of a value": {changed(whole.Len() / 2), "checksum"},
		"number":           {changed(len(dumpMagic)), "comes after"},
		"length":           {changed(len(dumpMagic) + 8), "more than"},
		"count":            {changed(whole.Len() - 33), "says that it has"},
		"checksum":         {changed(whole.Len() - 1), "checksum"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := filled(t, 5)
			_, err := s.load(bytes.NewReader(tc.dump))
			require.ErrorContains(t, err, tc.want)
			count, err := s.check()
			require.NoError(t, err)
			require.Equal(t, uint64(5), count)
		})
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	s := filled(t, 3)
	require.NoError(t, s.put([]uint64{5}, [][]byte{makeRecord(5)}))
	_, err := s.check()
	require.ErrorContains(t, err, "record 4 is missing")

	require.NoError(t, s.put([]uint64{4}, [][]byte{makeRecord(5)}))
	_, err = s.check()
	require.ErrorContains(t, err, "record 4 holds the data of record 5")

	bad := makeRecord(4)
	bad[100] ^= 1
	require.NoError(t, s.put([]uint64{4}, [][]byte{bad}))
	_, err = s.check()
	require.ErrorContains(t, err, "record 4 is corrupt")
	require.Error(t, compareRecord(4, makeRecord(5)))
	require.NoError(t, compareRecord(4, makeRecord(4)))

	count, err := s.wipe()
	require.NoError(t, err)
	require.Equal(t, uint64(5), count)
	count, err = s.check()
	require.NoError(t, err)
	require.Zero(t, count)
}

func TestClientAndServer(t *testing.T) {
	s := filled(t, 0)
	t.Chdir(t.TempDir())
	l, err := net.Listen("unix", socketName)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- (&server{store: s, password: "right"}).serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
	})

	_, err = dial("", "wrong")
	require.ErrorContains(t, err, "wrong password")
	c, err := dial("", "right")
	require.NoError(t, err)

	require.NoError(t, c.write([]string{"1", "25", "10", "0s"}))
	call := func(command, want string) {
		t.Helper()
		answer, err := c.call(command)
		require.NoError(t, err)
		require.Equal(t, []string{want}, answer)
	}
	call("count", "25")
	call("snapshot a", "25")
	call("wipe", "25")
	dump, err := os.Create("dump")
	require.NoError(t, err)
	require.NoError(t, c.dump("a", dump))
	call("count", "0")
	call("dumps", "1")
	_, err = c.call("nonsense")
	require.ErrorContains(t, err, `unknown command "nonsense"`)

	_, err = dump.Seek(0, io.SeekStart)
	require.NoError(t, err)
	require.NoError(t, c.load(dump))
	c, err = dial("", "right")
	require.NoError(t, err)
	call("check", "25")

	_, err = c.out.WriteString("put 1 99999999\n")
	require.NoError(t, err)
	_, err = c.call("commit")
	require.Error(t, err, "a record that is too large")
	c, err = dial("", "right")
	require.NoError(t, err)
	require.Error(t, c.dump("b", io.Discard), "a snapshot that is not held")
}
