package main

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/volume"
)

func TestBlueprint(t *testing.T) {
	t.Parallel()
	f := blueprint.Parse("blueprint.yaml", document)
	require.NoError(t, f.Err())
	registry, err := function.NewRegistry(volume.Functions(volume.Deps{})...)
	require.NoError(t, err)
	require.Empty(t, blueprint.Lint(f.Blueprints[0], registry, nil))
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--storage-class", "fast", "more"}, {"--unknown"}, {"--storage-class", "fast", "--kubeconfig", "/nowhere"}} {
		require.Error(t, run(t.Context(), args, io.Discard, io.Discard))
	}
}

// TestCompare judges rows of a restored server with a log made by hand: held at 30, when the third transaction was being waited for.
func TestCompare(t *testing.T) {
	t.Parallel()
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	w := writer{all: []written{{at(1), at(10)}, {at(11), at(20)}, {at(21), at(41)}, {at(42), time.Time{}}}}
	for row, fault := range map[string]string{
		"1 2 2 2": "", "1 3 3 3": "",
		"1 1 1 1": "1 transactions; 2 were acknowledged",
		"1 4 4 4": "and 3 sent",
		"1 3 2 3": "3 transactions counted, 2 in the ledger",
		"1 2 2 3": "the last has number 3",
		"1 2 3 3": "2 transactions counted, 3 in the ledger",
		"2 2 2 2": "writer 1 is missing",
		"":        "writer 1",
		"1 2 2":   "writer 1",
	} {
		err := w.compare(io.Discard, 1, row, at(30))
		if fault == "" {
			require.NoError(t, err, row)
		} else {
			require.ErrorContains(t, err, fault, row)
		}
	}
}
