package repository

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// planted is a folder to be saved: []byte is a file, planted a folder.
type planted map[string]any

const plantedChunk = 4 << 10

// plant saves a snapshot of the folder, with a writer of its own, and returns its ID.
func plant(t *testing.T, r *Repository, p planted, change ...func(*format.Snapshot)) string {
	t.Helper()
	require.NoError(t, r.loadIndex(t.Context()))
	w, err := r.newWriter(t.Context())
	require.NoError(t, err)
	defer w.abandon()
	tree := plantFolder(t, w, p, nil)
	require.NoError(t, w.finish(t.Context()))
	s := &format.Snapshot{Time: time.Now(), Tree: &tree, Paths: []string{"/data"}, Hostname: "host"}
	for _, c := range change {
		c(s)
	}
	id, err := r.saveJSON(t.Context(), snapshotFile, s)
	require.NoError(t, err)
	return id.String()
}

// plantFolder saves a folder. Edit, if there is one, may change its nodes.
func plantFolder(t *testing.T, w *writer, p planted, edit func(*format.Node)) format.ID {
	t.Helper()
	tree := &format.Tree{}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		n := &format.Node{Name: name, Type: format.TypeFile, Mode: 0o600, ModTime: time.Unix(1, 0)}
		switch v := p[name].(type) {
		case planted:
			id := plantFolder(t, w, v, edit)
			n.Type, n.Subtree = format.TypeDir, &id
		case []byte:
			n.Size, n.Content = uint64(len(v)), []format.ID{}
			for chunk := range slices.Chunk(v, plantedChunk) {
				s, err := w.save(t.Context(), format.DataBlob, chunk)
				require.NoError(t, err)
				n.Content = append(n.Content, s.ID)
			}
		}
		if edit != nil {
			edit(n)
		}
		tree.Nodes = append(tree.Nodes, n)
	}
	content, err := tree.Encode()
	require.NoError(t, err)
	s, err := w.save(t.Context(), format.TreeBlob, content)
	require.NoError(t, err)
	return s.ID
}

// harvest reads a snapshot back.
func harvest(t *testing.T, r *Repository, id string) planted {
	t.Helper()
	full, err := format.ParseID(id)
	require.NoError(t, err)
	text, err := r.loadFile(t.Context(), snapshotFile, full)
	require.NoError(t, err)
	s, err := format.ParseSnapshot(text)
	require.NoError(t, err)
	return harvestFolder(t, r, *s.Tree)
}

func harvestFolder(t *testing.T, r *Repository, id format.ID) planted {
	t.Helper()
	content, err := r.loadBlob(t.Context(), format.Handle{ID: id, Type: format.TreeBlob}, nil)
	require.NoError(t, err)
	tree, err := format.ParseTree(content)
	require.NoError(t, err)
	p := planted{}
	for _, n := range tree.Nodes {
		if n.Subtree != nil {
			p[n.Name] = harvestFolder(t, r, *n.Subtree)
			continue
		}
		all := []byte{}
		for _, id := range n.Content {
			all, err = r.loadBlob(t.Context(), format.Handle{ID: id}, all)
			require.NoError(t, err)
		}
		p[n.Name] = all
	}
	return p
}

// copyStore returns a copy of what the store has.
func copyStore(t *testing.T, raw *blob.Bucket) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, key := range keysBelow(t, raw, "") {
		content, err := raw.ReadAll(t.Context(), key)
		require.NoError(t, err)
		all[key] = content
	}
	return all
}

func fillStore(t *testing.T, raw *blob.Bucket, all map[string][]byte) {
	t.Helper()
	for key, content := range all {
		require.NoError(t, raw.WriteAll(t.Context(), key, content, nil))
	}
}

// keysBelow lists the store.
func keysBelow(t *testing.T, raw *blob.Bucket, prefix string) []string {
	t.Helper()
	var keys []string
	it := raw.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := it.Next(t.Context())
		if err != nil {
			break
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// randomFiles are so many files of so many bytes.
func randomFiles(seed uint64, files, size int) planted {
	p := planted{}
	for i := range files {
		p[string(rune('a'+i))] = randomBytes(seed*1000+uint64(i), size)
	}
	return p
}

func text(s string, n int) []byte { return bytes.Repeat([]byte(s), n) }
