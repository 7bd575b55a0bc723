package repository

import (
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/locationtest"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// checked is a repository that is harmed and checked: two snapshots that share the file "shared".
type checked struct {
	r          *Repository
	raw        *blob.Bucket
	one, two   string
	data, tree string
}

func newChecked(t *testing.T) *checked {
	t.Helper()
	c := &checked{}
	c.r, c.raw = newRepository(t)
	shared := randomBytes(1, 50000)
	c.one = plant(t, c.r, planted{"shared": shared, "dir": planted{"own": randomBytes(2, 20000)}}, func(s *format.Snapshot) { s.Time = time.Unix(1, 0) })
	// The packs of the first snapshot.
	c.data, c.tree = packOf(c.r, format.DataBlob), packOf(c.r, format.TreeBlob)
	c.two = plant(t, c.r, planted{"shared": shared, "other": randomBytes(3, 10000)}, func(s *format.Snapshot) { s.Time = time.Unix(2, 0) })
	return c
}

func (c *checked) edit(t *testing.T, key string, edit func([]byte) []byte) {
	t.Helper()
	content, err := c.raw.ReadAll(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, c.raw.WriteAll(t.Context(), key, edit(content), nil))
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 1
		return b
	}
}

func TestCheckGood(t *testing.T) {
	c := newChecked(t)
	var last Progress
	report, err := c.r.Check(t.Context(), &CheckOptions{ReadData: "all", Progress: func(p Progress) { last = p }})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	require.Equal(t, CheckReport{Snapshots: 2, Trees: 3, Blobs: 13 + 5 + 3, Packs: 4, PacksRead: 4, Bytes: report.Bytes, BytesRead: report.Bytes}, report)
	require.True(t, last.Done)
	require.Equal(t, report.Bytes, last.Bytes)
	require.Empty(t, keysBelow(t, c.raw, "locks/"))
	require.NoError(t, c.r.Forget(t.Context(), c.one))
	report, err = c.r.Check(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, 5+2, report.BlobsUnused)
}

func TestCheckFinds(t *testing.T) {
	const all = "all"
	for _, tc := range []struct {
		name string
		read string
		harm func(t *testing.T, c *checked)
		kind FindingKind
		hint bool
		// snapshots and files that must be named.
		snapshots, files int
		file             string
	}{
		{"bit in a piece", all, func(t *testing.T, c *checked) { c.edit(t, c.data, flip(100)) }, FoundPackDamaged, false, 1, 1, "/dir/own"},
		{"bit in a piece that both have", all, func(t *testing.T, c *checked) { c.edit(t, c.data, flip(30000)) }, FoundPackDamaged, false, 2, 2, "/shared"},
		{"bit in the header", all, func(t *testing.T, c *checked) { c.edit(t, c.data, flip(-10)) }, FoundPackHeader, false, 0, 0, ""},
		{"bit in the footer", all, func(t *testing.T, c *checked) { c.edit(t, c.data, flip(-1)) }, FoundPackHeader, false, 0, 0, ""},
		{"bit in a tree", "", func(t *testing.T, c *checked) { c.edit(t, c.tree, flip(40)) }, FoundTree, false, 1, 1, "/dir/"},
		{"short pack", "", func(t *testing.T, c *checked) { c.edit(t, c.data, func(b []byte) []byte { return b[:21000] }) }, FoundPackSize, false, 2, 2, "/shared"},
		{"long pack", "", func(t *testing.T, c *checked) { c.edit(t, c.data, func(b []byte) []byte { return append(b, 1) }) }, FoundPackSize, false, 0, 0, ""},
		{"empty pack", all, func(t *testing.T, c *checked) { c.edit(t, c.data, func([]byte) []byte { return nil }) }, FoundPackDamaged, false, 0, 0, ""},
		{"missing pack", "", func(t *testing.T, c *checked) { require.NoError(t, c.raw.Delete(t.Context(), c.data)) }, FoundPackMissing, false, 2, 3, "/dir/own"},
		{"missing tree pack", "", func(t *testing.T, c *checked) { require.NoError(t, c.raw.Delete(t.Context(), c.tree)) }, FoundPackMissing, false, 1, 1, "/"},
		{"index", "", func(t *testing.T, c *checked) { c.edit(t, keysBelow(t, c.raw, "index/")[0], flip(50)) }, FoundIndex, false, 0, 0, ""},
		{"missing index", "", func(t *testing.T, c *checked) { c.removeIndexOf(t, c.data) }, FoundBlob, false, 1, 1, "/shared"},
		{"snapshot", "", func(t *testing.T, c *checked) { c.edit(t, "snapshots/"+c.one, flip(50)) }, FoundSnapshot, false, 1, 0, ""},
		{"key", "", func(t *testing.T, c *checked) {
			id, err := c.r.AddKey(t.Context(), "another")
			require.NoError(t, err)
			c.edit(t, "keys/"+id, flip(50))
		}, FoundKey, false, 0, 0, ""},
		{"config", "", func(t *testing.T, c *checked) { c.edit(t, "config", flip(50)) }, FoundConfig, false, 0, 0, ""},
		{"a pack of nobody", "", func(t *testing.T, c *checked) {
			require.NoError(t, c.raw.WriteAll(t.Context(), c.r.file(packFile, format.NewID()), []byte("x"), nil))
		}, FoundPackUnindexed, true, 0, 0, ""},
		{"a pack that is gone and not missed", "", func(t *testing.T, c *checked) {
			require.NoError(t, c.r.Forget(t.Context(), c.one))
			require.NoError(t, c.raw.Delete(t.Context(), c.tree))
		}, FoundPackGone, true, 0, 0, ""},
		{"file size", "", func(t *testing.T, c *checked) {
			w, err := c.r.newWriter(t.Context())
			require.NoError(t, err)
			tree := plantFolder(t, w, planted{"liar": randomBytes(5, 100), "good": []byte("good")}, func(n *format.Node) {
				if n.Name == "liar" {
					n.Size++
				}
			})
			require.NoError(t, w.finish(t.Context()))
			_, err = c.r.saveJSON(t.Context(), snapshotFile, format.Snapshot{Tree: &tree})
			require.NoError(t, err)
		}, FoundFileSize, false, 1, 1, "/liar"},
		{"a pack of another name", all, func(t *testing.T, c *checked) {
			v, err := c.r.newView(t.Context())
			require.NoError(t, err)
			content, err := c.raw.ReadAll(t.Context(), c.data)
			require.NoError(t, err)
			for n := range v.idx.packs {
				if c.r.file(packFile, v.idx.packs[n].id) == c.data {
					_, err := c.r.saveIndex(t.Context(), []format.IndexPack{indexPack(format.ID{1}, v.blobs(uint32(n), nil))})
					require.NoError(t, err)
				}
			}
			require.NoError(t, c.raw.WriteAll(t.Context(), c.r.file(packFile, format.ID{1}), content, nil))
		}, FoundPackDamaged, false, 0, 0, ""},
		{"missing tree", "", func(t *testing.T, c *checked) {
			_, err := c.r.saveJSON(t.Context(), snapshotFile, format.Snapshot{Tree: &format.ID{1}})
			require.NoError(t, err)
		}, FoundTree, false, 1, 1, "/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newChecked(t)
			tc.harm(t, c)
			report, err := c.r.Check(t.Context(), &CheckOptions{ReadData: tc.read})
			require.NoError(t, err)
			require.NotEmpty(t, report.Findings)
			var found *Finding
			for i, f := range report.Findings {
				require.NotEmpty(t, f.What)
				require.NotEmpty(t, f.Means)
				require.NotEmpty(t, f.Do)
				if f.Kind == tc.kind && (found == nil || f.FilesHurt > found.FilesHurt || f.SnapshotsHurt > found.SnapshotsHurt) {
					found = &report.Findings[i]
				}
			}
			require.NotNil(t, found, "%v", report.Findings)
			require.Equal(t, tc.hint, found.Hint)
			require.Equal(t, tc.hint, report.Err() == nil, "%v", report.Findings)
			if !tc.hint {
				require.ErrorIs(t, report.Err(), ErrDamaged)
			}
			require.Equal(t, tc.snapshots, found.SnapshotsHurt, found.String())
			require.Len(t, found.Snapshots, tc.snapshots)
			require.Equal(t, tc.files, found.FilesHurt, found.String())
			if tc.file != "" {
				require.Contains(t, found.Files, tc.file)
			}
			require.Empty(t, keysBelow(t, c.raw, "locks/"))
		})
	}
}

// removeIndexOf removes the index file that lists the pack.
func (c *checked) removeIndexOf(t *testing.T, pack string) {
	t.Helper()
	for f := range c.r.list(t.Context(), indexFile) {
		content, err := c.r.loadFile(t.Context(), indexFile, f.ID)
		require.NoError(t, err)
		parsed, err := format.ParseIndex(content)
		require.NoError(t, err)
		if c.r.file(packFile, parsed.Packs[0].ID) == pack || c.r.file(packFile, parsed.Packs[1].ID) == pack {
			require.NoError(t, c.r.remove(t.Context(), indexFile, f.ID))
		}
	}
}

// A bit that flips on the way is no damage.
func TestCheckReadsAgain(t *testing.T) {
	c := newChecked(t)
	flips := 0
	store := locationtest.Faulty(c.raw, locationtest.Faults{Read: func(key string, r io.Reader) io.Reader {
		if key == c.data && flips == 0 {
			flips++
			return locationtest.FlipBit(100)(key, r)
		}
		return r
	}})
	r, err := Open(t.Context(), location.New(store, nil), testPassword, nil)
	require.NoError(t, err)
	report, err := r.Check(t.Context(), &CheckOptions{ReadData: "all"})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	require.Equal(t, 1, flips)
}

// A blob of which another pack has a good copy hurts nobody.
func TestCheckCopies(t *testing.T) {
	for _, kind := range []format.BlobType{format.DataBlob, format.TreeBlob} {
		c := newChecked(t)
		harmed := packOf(c.r, kind)
		v, err := c.r.newView(t.Context())
		require.NoError(t, err)
		cp, err := v.newCopier(t.Context())
		require.NoError(t, err)
		for n := range v.idx.packs {
			if c.r.file(packFile, v.idx.packs[n].id) == harmed {
				require.NoError(t, cp.copy(t.Context(), uint32(n), nil, func(o opened) error { return o.err }))
			}
		}
		require.NoError(t, cp.w.finish(t.Context()))
		c.edit(t, harmed, flip(40))
		report, err := c.r.Check(t.Context(), &CheckOptions{ReadData: "all"})
		require.NoError(t, err)
		require.Len(t, report.Findings, 1)
		require.Equal(t, FoundPackDamaged, report.Findings[0].Kind)
		require.Zero(t, report.Findings[0].SnapshotsHurt)
	}
}

func TestParseReadData(t *testing.T) {
	for s, want := range map[string]readData{
		"": {}, "all": {share: 1}, "100%": {share: 1}, "0.5%": {share: 0.005}, "1/7": {parts: 7}, "7/7": {part: 6, parts: 7},
		"500M": {bytes: 500 << 20}, "3k": {bytes: 3 << 10}, "12": {bytes: 12}, "2T": {bytes: 2 << 40},
	} {
		got, err := parseReadData(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{"some", "0%", "101%", "NaN%", "-1%", "%", "0/3", "4/3", "1/0", "1/300", "/", "0", "-5", "5MM", "M", "9999999T"} {
		_, err := parseReadData(s)
		require.Error(t, err, s)
	}
}

func TestCheckSamples(t *testing.T) {
	r, _ := newRepository(t)
	for i := range 10 {
		plant(t, r, planted{"a": randomBytes(uint64(i), 20000)})
	}
	for s, want := range map[string]int{"5%": 1, "50%": 10, "100%": 20, "30000": 3} {
		report, err := r.Check(t.Context(), &CheckOptions{ReadData: s})
		require.NoError(t, err)
		if s == "30000" {
			require.GreaterOrEqual(t, report.BytesRead, int64(30000))
			continue
		}
		require.Equal(t, want, report.PacksRead, s)
	}
	sum := 0
	for i := range 3 {
		report, err := r.Check(t.Context(), &CheckOptions{ReadData: fmt.Sprintf("%d/3", i+1)})
		require.NoError(t, err)
		sum += report.PacksRead
	}
	require.Equal(t, 20, sum)
	_, err := r.Check(t.Context(), &CheckOptions{ReadData: "odd"})
	require.Error(t, err)
}

// Findings can be handed on.
func TestFindingJSON(t *testing.T) {
	text, err := json.Marshal(Finding{Kind: FoundBlob, Object: "1234567890", Snapshots: []string{"a"}, SnapshotsHurt: 1, Files: []string{"/f"}, FilesHurt: 2, What: "gone", Do: "repair"})
	require.NoError(t, err)
	var f Finding
	require.NoError(t, json.Unmarshal(text, &f))
	require.Equal(t, `blob-missing 12345678: gone; 1 snapshots are hurt, 2 files, such as "/f": repair`, f.String())
}
