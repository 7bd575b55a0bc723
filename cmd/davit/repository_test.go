package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location/repository"
)

func TestParseWithin(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "12h": 12 * time.Hour, "2w": 14 * 24 * time.Hour, "1d12h": 36 * time.Hour, "1000000w": 100 * 365 * 24 * time.Hour / (7 * 24 * time.Hour) * 7 * 24 * time.Hour,
	} {
		got, err := parseWithin(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"d", "1", "1m", "1y", "-1d", "1d ", "99999999999999999999h", "1d2"} {
		_, err := parseWithin(text)
		require.ErrorContains(t, err, "want weeks, days and hours", text)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "1": 1, "500M": 500 << 20, "2g": 2 << 30, "3KiB": 3 << 10, "1T": 1 << 40} {
		got, err := parseSize("--x", text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"0", "-1", "M", "1MM", "1X", "9223372036854775807T", "1.5G"} {
		_, err := parseSize("--x", text)
		require.ErrorContains(t, err, "--x", text)
	}
}

func TestMaxUnused(t *testing.T) {
	for text, want := range map[string]float64{"5%": 0.05, "0%": -1, "100%": 1, "unlimited": 1, "0.5%": 0.005} {
		o, err := (&pruneFlags{maxUnused: text}).options()
		require.NoError(t, err, text)
		require.InDelta(t, want, o.MaxUnused, 1e-9, text)
	}
	for _, text := range []string{"5", "-1%", "101%", "NaN%", "", "%"} {
		_, err := (&pruneFlags{maxUnused: text}).options()
		require.ErrorContains(t, err, "--max-unused", text)
	}
}

// A policy that would leave nothing of a series is refused, whichever the series.
func TestKeepsSome(t *testing.T) {
	kept := func(host string, why ...string) repository.Kept {
		return repository.Kept{Snapshot: repository.Snapshot{Host: host, Paths: []string{"/a"}}, Why: why}
	}
	f := &forgetFlags{}
	require.NoError(t, f.keepsSome(nil))
	require.NoError(t, f.keepsSome([]repository.Kept{kept("a", "last"), kept("a")}))
	require.ErrorContains(t, f.keepsSome([]repository.Kept{kept("a", "last"), kept("b")}), `of host "b", paths ["/a"], none would stay`)
	f.policy.Together = true
	require.NoError(t, f.keepsSome([]repository.Kept{kept("a", "last"), kept("b")}))
}

func TestProgressText(t *testing.T) {
	require.Equal(t, "  0 B", progressText(repository.Progress{}))
	require.Equal(t, "  1.0 MiB of 4.0 MiB, 25 %, 3 of 9 files, 512.0 KiB/s, 6s left", progressText(repository.Progress{
		Bytes: 1 << 20, TotalBytes: 4 << 20, Files: 3, TotalFiles: 9, Rate: 512 << 10, ETA: 6 * time.Second,
	}))
}
