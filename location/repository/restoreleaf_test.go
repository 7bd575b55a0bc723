package repository

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/locationtest"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// leaf is an entry of a tree that a test makes; what of its node is not set is filled in.
type leaf struct {
	format.Node
	chunks [][]byte
	below  []leaf
	// raw is a folder's tree as it is stored.
	raw []byte
}

var leafTime = time.Date(2020, 1, 2, 3, 4, 5, 678901234, time.UTC)

func fileLeaf(name string, chunks ...[]byte) leaf {
	return leaf{Node: format.Node{Name: name, Type: format.TypeFile, Mode: 0o640}, chunks: chunks}
}

func dirLeaf(name string, below ...leaf) leaf {
	return leaf{Node: format.Node{Name: name, Type: format.TypeDir, Mode: fs.ModeDir | 0o750}, below: below}
}

func linkLeaf(name, target string) leaf {
	return leaf{Node: format.Node{Name: name, Type: format.TypeSymlink, Mode: fs.ModeSymlink | 0o777, LinkTarget: target}}
}

// with changes the leaf's node after it is filled in.
func (l leaf) with(change func(n *format.Node)) leaf {
	change(&l.Node)
	return l
}

// grow saves a snapshot of the entries and returns its ID.
func grow(t *testing.T, r *Repository, leaves ...leaf) string {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, r.loadIndex(ctx))
	w, err := r.newWriter(ctx)
	require.NoError(t, err)
	defer w.abandon()
	tree := growFolder(t, w, dirLeaf("", leaves...))
	require.NoError(t, w.finish(ctx))
	id, err := r.saveJSON(ctx, snapshotFile, format.Snapshot{Time: time.Now(), Tree: &tree, Paths: []string{"/"}, Hostname: "host"})
	require.NoError(t, err)
	return id.String()
}

func growFolder(t *testing.T, w *writer, dir leaf) format.ID {
	t.Helper()
	content := dir.raw
	if content == nil {
		tree := &format.Tree{}
		for _, l := range dir.below {
			tree.Nodes = append(tree.Nodes, growNode(t, w, l))
		}
		var err error
		content, err = tree.Encode()
		require.NoError(t, err)
	}
	s, err := w.save(t.Context(), format.TreeBlob, content)
	require.NoError(t, err)
	return s.ID
}

func growNode(t *testing.T, w *writer, l leaf) *format.Node {
	t.Helper()
	n := l.Node
	if n.ModTime.IsZero() {
		n.ModTime, n.AccessTime = leafTime, leafTime
	}
	switch n.Type {
	case format.TypeDir:
		id := growFolder(t, w, l)
		n.Subtree = &id
	case format.TypeFile:
		sized := n.Size != 0
		for _, chunk := range l.chunks {
			s, err := w.save(t.Context(), format.DataBlob, chunk)
			require.NoError(t, err)
			n.Content = append(n.Content, s.ID)
			if !sized {
				n.Size += uint64(len(chunk))
			}
		}
	}
	return &n
}

// hooked opens the repository again; before is called before each read of its bucket.
func hooked(t *testing.T, raw *blob.Bucket, before func(key string) error) *Repository {
	t.Helper()
	faults := locationtest.Faults{Before: func(_ context.Context, op locationtest.Op, key string) error {
		if op != locationtest.OpRead {
			return nil
		}
		return before(key)
	}}
	r, err := Open(t.Context(), location.New(locationtest.Faulty(raw, faults), nil), testPassword, nil)
	require.NoError(t, err)
	return r
}

func hashOf(content []byte) []byte {
	id := format.Hash(content)
	return id[:8]
}
