//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/template"
)

// local is the cluster on this machine. While it is open, a shared lock says that it is in use.
type local struct {
	*localcluster.Cluster
	state state
	lock  *os.File
}

// openLocal opens the cluster in the state folder and applies the manifests.
func (s *session) openLocal(ctx context.Context, logger *slog.Logger) (_ *local, err error) {
	manifests, err := s.readManifests(s.flags.local)
	if err != nil {
		return nil, err
	}
	agent, err := s.executable()
	if err != nil {
		return nil, fmt.Errorf("find the program itself, which is the agent of pods: %w", err)
	}
	lock, err := os.OpenFile(s.state.localLock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &local{state: s.state, lock: lock}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", lock.Name(), err), lock.Close())
	}
	l.Cluster, err = localcluster.Open(ctx, s.state.local(), &localcluster.Options{Agent: agent, Logger: logger})
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	for _, m := range manifests {
		if err := l.Apply(ctx, m.file, m.data); err != nil {
			return nil, errors.Join(err, l.close(ctx))
		}
	}
	return l, nil
}

// settleTime is how long settle waits in all.
const settleTime = 30 * time.Second

// settle waits until the pods of the subjects run: they may just have been started, and parameters are captured once. What
// does not run in time is left to the run, which says what it lacks.
func (l *local) settle(ctx context.Context, subjects []template.ObjectReference, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for _, ref := range subjects {
		w := cluster.Workload{Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}
		object, err := l.Get(ctx, cluster.Ref{Group: "apps", Kind: w.Kind, Namespace: w.Namespace, Name: w.Name})
		if err != nil {
			continue // no workload, or absent: the run says so
		}
		if err := l.AwaitScaled(ctx, w, replicas(object)); err != nil {
			logger.WarnContext(ctx, "the subject's pods do not all run", "subject", w.String(), "error", err)
		}
	}
}

// volumes says that there are no snapshots.
func (l *local) volumes() (volume.Deps, error) {
	return volume.Deps{Without: errors.New("there are no CSI snapshots on this machine's own cluster (--local): run this on Kubernetes")}, nil
}

// close ends the cluster's pods, unless another process uses it or a run has yet to be resumed that may need them.
func (l *local) close(ctx context.Context) error {
	defer func() { _ = l.lock.Close() }() // gives the lock back
	if err := unix.Flock(int(l.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // another process uses the cluster, and ends it
	}
	if unfinished, err := l.state.unfinished(ctx); err != nil || unfinished {
		return err
	}
	return l.Down(ctx)
}

// unfinished tells whether there is a run that has not ended.
func (s state) unfinished(ctx context.Context) (bool, error) {
	paths, err := filepath.Glob(filepath.Join(string(s), "runs", "*.journal"))
	if err != nil {
		return false, err
	}
	for _, path := range paths {
		journal, err := engine.ReadFile(path)
		if err != nil {
			return true, nil //nolint:nilerr // what cannot be read may be needed
		}
		events, err := journal.Events(ctx)
		if err != nil {
			return false, err
		}
		if len(events) > 0 && events[len(events)-1].Kind != engine.RunEnded {
			return true, nil
		}
	}
	return false, nil
}
