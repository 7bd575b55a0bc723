//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/internal/rehearsal"
	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/internal/testcluster/image"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

// stage is a database on the test cluster, and the folder of this machine that its backups go to.
type stage struct {
	*rehearsal.Rehearsal
	t       *testing.T
	c       *testcluster.Client
	backups string
	seen    *witness
}

// newStage starts the database, filled with rows.
func newStage(t *testing.T, db *rehearsal.Database, spec func(davit string) image.Spec, rows int) *stage {
	t.Helper()
	c := testcluster.Open(t)
	databaseImages(t, c, spec)
	ns := c.Namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	s := &stage{t: t, c: c}
	s.volume(ns, "data-database-0")
	s.backups = s.volume(ns, "backups")
	var err error
	s.Rehearsal, err = rehearsal.Open(c.Config, db, &rehearsal.Options{Namespace: ns, StorageClass: ns, Rows: rows, Report: t.Output()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	s.seen = watchSecrets(t, c, ns)
	require.NoError(t, s.Deploy(t.Context()))
	require.NoError(t, s.Load(t.Context()))
	return s
}

// volume makes a volume out of a folder of the node, for one claim.
func (s *stage) volume(namespace, claim string) string {
	dir, err := os.MkdirTemp(filepath.Join(s.c.Dir, "volumes"), claim+"-")
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(s.t, os.Chmod(dir, 0o777)) //nolint:gosec // containers of any user write there
	name := namespace + "-" + claim
	_, err = s.c.CoreV1().PersistentVolumes().Create(s.t.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: namespace, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			ClaimRef:                      &corev1.ObjectReference{Namespace: namespace, Name: claim},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}},
		},
	}, metav1.CreateOptions{})
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = s.c.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{})
	})
	return dir
}

// objects are what the location holds.
func (s *stage) objects() (keys []string) {
	s.t.Helper()
	b, err := location.Open(s.t.Context(), &location.Location{Type: location.TypeFile, Bucket: s.backups}, map[string]location.Opener{location.TypeFile: file.Open}, nil)
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, b.Close()) }()
	for o, err := range b.List(s.t.Context(), "") {
		require.NoError(s.t, err)
		keys = append(keys, o.Key)
	}
	return keys
}

// files are what the location's folder holds, whatever it is.
func (s *stage) files() (names []string) {
	s.t.Helper()
	require.NoError(s.t, filepath.WalkDir(s.backups, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since
		}
		if err == nil && !entry.IsDir() {
			names = append(names, strings.TrimPrefix(path, s.backups+"/"))
		}
		return err
	}))
	return names
}

// fails runs an action that must fail, for this reason.
func (s *stage) fails(req rehearsal.Request, why string) {
	s.t.Helper()
	result, err := s.Run(s.t.Context(), req)
	require.ErrorIs(s.t, err, engine.ErrFailed)
	require.ErrorContains(s.t, err, why)
	require.Equal(s.t, engine.Failed, result.State)
	require.Empty(s.t, result.Left)
}

// meanwhile calls f again and again until the function that it returns is called.
func (s *stage) meanwhile(f func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			f(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// killPods deletes the pods of a phase, at once, while when holds: so many of them. Stop returns how many it was.
func (s *stage) killPods(phase string, most int, when func(context.Context) bool) (stop func() int) {
	killed, at := map[string]bool{}, int64(0)
	end := s.meanwhile(func(ctx context.Context) {
		if len(killed) == most || !when(ctx) {
			return
		}
		pods, err := s.c.CoreV1().Pods(s.Namespace()).List(ctx, metav1.ListOptions{LabelSelector: "davit.io/phase=" + phase})
		if err != nil {
			return
		}
		for _, pod := range pods.Items {
			if !killed[pod.Name] && s.c.CoreV1().Pods(s.Namespace()).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &at}) == nil {
				killed[pod.Name] = true
			}
		}
	})
	return func() int {
		end()
		return len(killed)
	}
}

// writing holds while something is in the location, be it half.
func (s *stage) writing(context.Context) bool { return len(s.files()) > 0 }

// counts holds while a query finds something.
func (s *stage) counts(database, query string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		n, err := s.SQL(ctx, database, query)
		return err == nil && n != "0"
	}
}

// ghosts makes a way to the server that hides the death of clients from it, as the end of a node does: their connections stay. It is slow, so that what is
// to happen amid a transfer does. It returns its address.
func (s *stage) ghosts(port string) string {
	s.t.Helper()
	pod, err := s.c.CoreV1().Pods(s.Namespace()).Get(s.t.Context(), "database-0", metav1.GetOptions{})
	require.NoError(s.t, err)
	route, err := net.Dial("udp", net.JoinHostPort(pod.Status.PodIP, port)) //nolint:noctx // sends nothing: it only tells this side's address
	require.NoError(s.t, err)
	node := route.LocalAddr().(*net.UDPAddr).IP.String()
	require.NoError(s.t, route.Close())
	l, err := net.Listen("tcp", net.JoinHostPort(node, port)) //nolint:noctx // closed below
	require.NoError(s.t, err)
	var mu sync.Mutex
	conns := []io.Closer{l}
	s.t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			server, err := net.Dial("tcp", net.JoinHostPort(pod.Status.PodIP, port)) //nolint:noctx // on this machine
			if err != nil {
				_ = client.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, client, server)
			mu.Unlock()
			go slowly(server, client) // and the connection to the server stays
			go func() {
				slowly(client, server) // to the end of either
				_ = client.Close()
			}()
		}
	}()
	return node
}

// slowly copies a MiB at once, and what follows at 2 MiB a second.
func slowly(to io.Writer, from io.Reader) {
	const room, piece = 1 << 20, 64 << 10
	_, err := io.CopyN(to, from, room)
	for err == nil {
		time.Sleep(time.Second * piece / (2 << 20))
		_, err = io.CopyN(to, from, piece)
	}
}

// witness remembers every pod and event of a namespace.
type witness struct {
	mu   sync.Mutex
	text strings.Builder
}

func watchSecrets(t *testing.T, c *testcluster.Client, namespace string) *witness {
	t.Helper()
	seen := &witness{}
	pods, err := c.CoreV1().Pods(namespace).Watch(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	events, err := c.CoreV1().Events(namespace).Watch(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, w := range []<-chan watch.Event{pods.ResultChan(), events.ResultChan()} {
		go func() {
			for e := range w {
				data, err := json.Marshal(e.Object)
				if err == nil {
					seen.mu.Lock()
					seen.text.Write(data)
					seen.mu.Unlock()
				}
			}
		}()
	}
	return seen
}

// noSecret checks that the password was in no pod and no event.
func (s *stage) noSecret() {
	s.t.Helper()
	secret, err := s.c.CoreV1().Secrets(s.Namespace()).Get(s.t.Context(), "database", metav1.GetOptions{})
	require.NoError(s.t, err)
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	require.Contains(s.t, s.seen.text.String(), "davit.io/phase", "pods of runs were seen")
	require.NotContains(s.t, s.seen.text.String(), string(secret.Data["password"]))
}

// rehearse goes through the story of a database step by step, and looks at what is there after each.
func (s *stage) rehearse(run string, lose func(context.Context) error) {
	t, ctx := s.t, s.t.Context()
	b, err := s.BackUp(ctx, run+"-backup")
	require.NoError(t, err)
	about := b.Artifacts["backup"].KeyValue
	require.NotEmpty(t, about["size"])
	require.Equal(t, s.Namespace()+"/database", filepath.Dir(strings.TrimSuffix(about["path"], "/")))
	stored := s.objects()
	require.NotEmpty(t, stored)
	for _, key := range stored {
		require.True(t, strings.HasPrefix(key, about["path"]), key)
	}

	require.NoError(t, lose(ctx))
	_, err = s.Compare(ctx)
	require.Error(t, err, "the data is lost")

	_, err = s.Run(ctx, rehearsal.Request{ID: run + "-restore", Action: "restore", Artifacts: b.Artifacts})
	require.NoError(t, err)
	c, err := s.Check(ctx, b)
	require.NoError(t, err)
	require.GreaterOrEqual(t, c.Ledger, b.Before)
	require.Greater(t, b.After, b.Before, "something was written meanwhile")

	_, err = s.Run(ctx, rehearsal.Request{ID: run + "-delete", Action: "delete", Artifacts: b.Artifacts})
	require.NoError(t, err)
	require.Empty(t, s.files(), "not one file is left")
	left, err := s.Stored(ctx)
	require.NoError(t, err)
	require.Empty(t, left)
}
