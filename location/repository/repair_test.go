package repository

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// good is a report of a check that finds nothing.
func (c *checked) good(t *testing.T) {
	t.Helper()
	report, err := c.r.Check(t.Context(), &CheckOptions{ReadData: "all"})
	require.NoError(t, err)
	require.NoError(t, report.Err())
}

// shared and the others are what newChecked plants.
func (c *checked) wanted() (one, two planted) {
	shared := randomBytes(1, 50000)
	return planted{"shared": shared, "dir": planted{"own": randomBytes(2, 20000)}}, planted{"shared": shared, "other": randomBytes(3, 10000)}
}

func TestRepairNothing(t *testing.T) {
	c := newChecked(t)
	before := copyStore(t, c.raw)
	report, err := c.r.Repair(t.Context(), &RepairOptions{Index: true, Packs: []string{"all"}, Snapshots: true, Forget: true})
	require.NoError(t, err)
	require.Equal(t, RepairReport{}, report)
	require.Equal(t, before, copyStore(t, c.raw))
}

func TestRepairIndex(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, c *checked) RepairReport{
		"all index files are gone": func(t *testing.T, c *checked) RepairReport {
			for _, key := range keysBelow(t, c.raw, "index/") {
				require.NoError(t, c.raw.Delete(t.Context(), key))
			}
			return RepairReport{PacksAdded: packIDs(t, c)}
		},
		"a damaged one": func(t *testing.T, c *checked) RepairReport {
			for _, key := range keysBelow(t, c.raw, "index/") {
				c.edit(t, key, flip(60))
			}
			damaged := []string{}
			for _, key := range keysBelow(t, c.raw, "index/") {
				damaged = append(damaged, key[len("index/"):])
			}
			return RepairReport{IndexDamaged: damaged, PacksAdded: packIDs(t, c)}
		},
		"lists a pack that is gone": func(t *testing.T, c *checked) RepairReport {
			_, err := c.r.saveIndex(t.Context(), []format.IndexPack{{ID: format.ID{5}, Blobs: []format.IndexBlob{{ID: format.ID{6}, Length: 50}}}})
			require.NoError(t, err)
			return RepairReport{PacksGone: []string{format.ID{5}.String()}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChecked(t)
			want := harm(t, c)
			before := copyStore(t, c.raw)
			report, err := c.r.Repair(t.Context(), &RepairOptions{Index: true, DryRun: true})
			require.NoError(t, err)
			require.Equal(t, want, report)
			require.Equal(t, before, copyStore(t, c.raw))
			report, err = c.r.Repair(t.Context(), &RepairOptions{Index: true})
			require.NoError(t, err)
			require.Equal(t, want, report)
			c.good(t)
			one, two := c.wanted()
			r := reopen(t, c.raw, nil)
			require.Equal(t, one, harvest(t, r, c.one))
			require.Equal(t, two, harvest(t, r, c.two))
		})
	}
}

func packIDs(t *testing.T, c *checked) []string {
	t.Helper()
	var ids []string
	for _, key := range keysBelow(t, c.raw, "data/") {
		ids = append(ids, key[len("data/00/"):])
	}
	return ids
}

func TestRepairRefusesDamagedIndex(t *testing.T) {
	c := newChecked(t)
	c.edit(t, keysBelow(t, c.raw, "index/")[0], flip(60))
	_, err := c.r.Repair(t.Context(), &RepairOptions{Snapshots: true})
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorContains(t, err, "repair the index too")
}

// What is good of a damaged pack is saved, and the snapshots lose only the files that had parts in what was bad.
func TestRepairPackAndSnapshots(t *testing.T) {
	c := newChecked(t)
	c.edit(t, c.data, flip(100))
	id := c.data[len("data/00/"):]
	before := copyStore(t, c.raw)
	all := &RepairOptions{Packs: []string{"all"}, Snapshots: true, Forget: true, DryRun: true}
	dry, err := c.r.Repair(t.Context(), all)
	require.NoError(t, err)
	require.Equal(t, before, copyStore(t, c.raw))
	require.Equal(t, []RepairedPack{{ID: id, Saved: 17, Lost: 1}}, dry.Packs)
	require.Len(t, dry.Snapshots, 1)
	require.Equal(t, []RepairedFile{{"/dir/own", "left out: 1 of its 5 pieces are in no pack"}}, dry.Snapshots[0].Files)
	require.False(t, dry.Snapshots[0].Forgotten)

	report, err := c.r.Repair(t.Context(), &RepairOptions{Packs: []string{id[:10], id}})
	require.NoError(t, err)
	require.Equal(t, dry.Packs, report.Packs)
	require.Contains(t, keysBelow(t, c.raw, "data/"), c.data)
	one, two := c.wanted()
	require.Equal(t, two, harvest(t, reopen(t, c.raw, nil), c.two))

	report, err = c.r.Repair(t.Context(), &RepairOptions{Snapshots: true})
	require.NoError(t, err)
	require.Len(t, report.Snapshots, 1)
	got := report.Snapshots[0]
	require.Equal(t, c.one, got.ID)
	require.Equal(t, 1, got.Changes)
	require.NotEmpty(t, got.New)
	delete(one["dir"].(planted), "own")
	require.Equal(t, one, harvest(t, reopen(t, c.raw, nil), got.New))
	s, err := c.r.Find(t.Context(), got.New, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"repaired"}, s.Tags)
	_, err = c.r.Find(t.Context(), c.one, nil)
	require.NoError(t, err, "the old one stays")
	_, err = c.r.Prune(t.Context(), nil)
	require.ErrorIs(t, err, ErrDamaged)
	require.NoError(t, c.r.Forget(t.Context(), c.one))
	_, err = c.r.Prune(t.Context(), nil)
	require.NoError(t, err)
	require.NotContains(t, keysBelow(t, c.raw, "data/"), c.data)
	c.good(t)
	require.Equal(t, one, harvest(t, reopen(t, c.raw, nil), got.New))
	require.Equal(t, two, harvest(t, reopen(t, c.raw, nil), c.two))
}

func TestRepairShortPack(t *testing.T) {
	c := newChecked(t)
	c.edit(t, c.data, func(b []byte) []byte { return b[:21000] })
	report, err := c.r.Repair(t.Context(), &RepairOptions{Index: true, Packs: []string{"all"}, Snapshots: true, Forget: true})
	require.NoError(t, err)
	require.Len(t, report.PacksUnreadable, 1)
	require.Len(t, report.Packs, 1)
	require.Equal(t, 5, report.Packs[0].Saved)
	require.Len(t, report.Snapshots, 2)
	one, two := c.wanted()
	delete(one, "shared")
	delete(two, "shared")
	r := reopen(t, c.raw, nil)
	require.Equal(t, one, harvest(t, r, report.Snapshots[0].New))
	require.Equal(t, two, harvest(t, r, report.Snapshots[1].New))
	require.True(t, report.Snapshots[0].Forgotten)
	_, err = c.r.Prune(t.Context(), nil)
	require.NoError(t, err)
	c.good(t)
}

// Folders that are lost are left out with what is below them; a snapshot whose root is lost is lost.
func TestRepairLostTrees(t *testing.T) {
	c := newChecked(t)
	c.edit(t, c.tree, flip(40))
	report, err := c.r.Repair(t.Context(), &RepairOptions{Snapshots: true, Forget: true})
	require.NoError(t, err)
	require.Len(t, report.Snapshots, 1)
	require.Equal(t, "/dir/", report.Snapshots[0].Files[0].Path)
	one, _ := c.wanted()
	delete(one, "dir")
	require.Equal(t, one, harvest(t, reopen(t, c.raw, nil), report.Snapshots[0].New))

	c = newChecked(t)
	require.NoError(t, c.raw.Delete(t.Context(), c.tree))
	c.edit(t, "snapshots/"+c.two, flip(40))
	report, err = c.r.Repair(t.Context(), &RepairOptions{Snapshots: true})
	require.NoError(t, err)
	require.Len(t, report.Snapshots, 2)
	for _, s := range report.Snapshots {
		require.ErrorIs(t, s.Lost, ErrDamaged)
		require.Empty(t, s.New)
		require.False(t, s.Forgotten)
	}
	_, err = c.r.Repair(t.Context(), &RepairOptions{Snapshots: true, Forget: true})
	require.NoError(t, err)
	require.Empty(t, keysBelow(t, c.raw, "snapshots/"))
}

func TestRepairFileSize(t *testing.T) {
	c := newChecked(t)
	w, err := c.r.newWriter(t.Context())
	require.NoError(t, err)
	tree := plantFolder(t, w, planted{"liar": randomBytes(5, 100)}, func(n *format.Node) { n.Size++ })
	require.NoError(t, w.finish(t.Context()))
	_, err = c.r.saveJSON(t.Context(), snapshotFile, format.Snapshot{Tree: &tree})
	require.NoError(t, err)
	report, err := c.r.Repair(t.Context(), &RepairOptions{Snapshots: true, Forget: true})
	require.NoError(t, err)
	require.Equal(t, []RepairedFile{{"/liar", "its size is corrected from 101 to 100 bytes"}}, report.Snapshots[0].Files)
	c.good(t)
}

// A backup of the same content heals.
func TestBackupHeals(t *testing.T) {
	c := newChecked(t)
	c.edit(t, c.data, flip(100))
	_, err := c.r.Repair(t.Context(), &RepairOptions{Packs: []string{c.data[len("data/00/"):]}})
	require.NoError(t, err)
	one, two := c.wanted()
	plant(t, c.r, one)
	report, err := c.r.Repair(t.Context(), &RepairOptions{Snapshots: true, Forget: true})
	require.NoError(t, err)
	require.Empty(t, report.Snapshots)
	c.good(t)
	r := reopen(t, c.raw, nil)
	require.Equal(t, one, harvest(t, r, c.one))
	require.Equal(t, two, harvest(t, r, c.two))
}
