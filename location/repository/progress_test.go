package repository

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []Progress
		m := newMeter(func(p Progress) { calls = append(calls, p) })
		m.total(10, 10_000)
		for range 5 {
			m.add(1, 1000)
			time.Sleep(time.Second)
		}
		m.finish()
		m.finish()
		require.InDelta(t, 20, len(calls), 2)
		last := calls[len(calls)-1]
		require.True(t, last.Done)
		require.Equal(t, int64(5), last.Files)
		require.Equal(t, int64(5000), last.Bytes)
		require.Equal(t, int64(10_000), last.TotalBytes)
		require.Equal(t, 5*time.Second, last.Elapsed)
		before := calls[len(calls)-2]
		require.False(t, before.Done)
		require.InEpsilon(t, 1000, before.Rate, 0.4)
		require.InEpsilon(t, 5*time.Second, before.ETA, 0.6)
	})
}

func TestNoMeter(t *testing.T) {
	m := newMeter(nil)
	m.add(1, 1)
	m.total(1, 1)
	m.finish()
	require.Nil(t, m)
}
