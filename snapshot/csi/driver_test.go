package csi

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/davit-project/davit/snapshot"
)

func TestNewForConfigRaisesTheLimitsOfACopy(t *testing.T) {
	limiter := flowcontrol.NewFakeAlwaysRateLimiter()
	for _, tc := range []struct {
		name string
		cfg  rest.Config
		qps  float32
	}{
		{"default", rest.Config{}, leastQPS},
		{"lower", rest.Config{QPS: 5, Burst: 10}, leastQPS},
		{"higher", rest.Config{QPS: 500, Burst: 10}, 500},
		{"a limiter of the host's", rest.Config{RateLimiter: limiter}, limiter.QPS()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.Host, tc.cfg.ContentType = "https://cluster.example.com", runtime.ContentTypeProtobuf
			before := tc.cfg
			d, err := NewForConfig(&tc.cfg, nil)
			require.NoError(t, err)
			require.Equal(t, before, tc.cfg)
			require.InDelta(t, tc.qps, d.kube.CoreV1().RESTClient().GetRateLimiter().QPS(), 0)
			require.InDelta(t, tc.qps, d.snapshots.SnapshotV1().RESTClient().GetRateLimiter().QPS(), 0)
		})
	}
	d, err := NewForConfig(&rest.Config{Host: "https://cluster.example.com", QPS: -1}, nil)
	require.NoError(t, err)
	require.Nil(t, d.snapshots.SnapshotV1().RESTClient().GetRateLimiter())
	_, err = NewForConfig(nil, nil)
	require.ErrorIs(t, err, snapshot.ErrInvalid)
	_, err = NewForConfig(&rest.Config{Host: "://"}, nil)
	require.Error(t, err)
}
