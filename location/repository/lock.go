package repository

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// Times of locks; those of restic.
const (
	// lockStale is the age after which a lock's owner is taken for dead.
	lockStale = 30 * time.Minute
	// lockRefresh is how often a lock is written anew.
	lockRefresh = 5 * time.Minute
	// lockLost is the age at which an owner that cannot refresh its lock must stop.
	lockLost = 20 * time.Minute
	// lockSettle is how long after its own lock an exclusive owner looks for others once more.
	lockSettle = 200 * time.Millisecond
	// lockRetry is how often a lock that is in the way is looked at.
	lockRetry = 2 * time.Second
)

// LockInfo is a lock of the repository: somebody works on it.
type LockInfo struct {
	// ID is 64 hexadecimal digits.
	ID         string
	Host, User string
	PID        int
	// Time is when it was last refreshed.
	Time time.Time
	// Exclusive owners suffer nobody beside them.
	Exclusive bool
	// Stale locks are no obstacle: they are older than 30 minutes, or their owner was a process of this host that is gone.
	Stale bool
}

func (l LockInfo) String() string {
	kind := "a lock"
	if l.Exclusive {
		kind = "an exclusive lock"
	}
	return fmt.Sprintf("%s of %s@%s, process %d, of %s", kind, l.User, l.Host, l.PID, l.Time.UTC().Format(time.RFC3339))
}

// Locks are those of the repository.
func (r *Repository) Locks(ctx context.Context) ([]LockInfo, error) {
	var locks []LockInfo
	for f, err := range r.list(ctx, lockFile) {
		if err != nil {
			return nil, err
		}
		text, err := r.loadFile(ctx, lockFile, f.ID)
		if errors.Is(err, location.ErrNotFound) {
			continue
		}
		var l format.Lock
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err != nil {
			// A lock that was cut short: its owner died while it wrote it, or is writing it.
			l = format.Lock{Time: f.ModTime, Exclusive: true}
			r.log.WarnContext(ctx, "a lock of the repository cannot be read", "lock", f.ID.Short(), "error", err)
		}
		locks = append(locks, LockInfo{
			ID: f.ID.String(), Host: l.Hostname, User: l.Username, PID: l.PID, Time: l.Time, Exclusive: l.Exclusive, Stale: r.stale(l),
		})
	}
	return locks, nil
}

// stale is restic's rule.
func (r *Repository) stale(l format.Lock) bool {
	if time.Since(l.Time) > lockStale {
		return true
	}
	here := l.Hostname == r.lockHost() || l.Hostname != "" && l.Hostname == r.opts.Host && pidSpace() == ""
	return here && l.PID > 0 && isGone(l.PID)
}

// lockHost is what locks have for a host name. It differs from the host's, because restic sends SIGHUP to the process of a lock of its own host to find out whether it is there,
// which ends a process that does not ignore it: so restic knows our locks as stale by their age alone. It tells containers apart that share a host name, as those of a pod do, and
// number their processes each for itself; locks of restic are stale by their age alone there.
func (r *Repository) lockHost() string { return r.opts.Host + " (davit" + pidSpace() + ")" }

// Unlock removes stale locks and returns how many those were; with all, every lock: only when nobody works on the repository.
func (r *Repository) Unlock(ctx context.Context, all bool) (int, error) {
	locks, err := r.Locks(ctx)
	if err != nil {
		return 0, err
	}
	var ids []format.ID
	for _, l := range locks {
		if id, err := format.ParseID(l.ID); err == nil && (all || l.Stale) {
			ids = append(ids, id)
		}
	}
	return len(ids), r.remove(ctx, lockFile, ids...)
}

// lock is a lock of our own.
type lock struct {
	r         *Repository
	exclusive bool
	lost      context.CancelCauseFunc
	stop      chan struct{}
	done      sync.WaitGroup

	mu sync.Mutex
	id format.ID
	at time.Time
}

// lock takes a lock, waiting Options.LockWait for others, and refreshes it until unlock. The context it returns ends with ErrLockLost when the lock is lost. Several locks
// of one Repository are several locks.
func (r *Repository) lock(ctx context.Context, exclusive bool) (context.Context, func() error, error) {
	if r.opts.NoLock {
		if exclusive {
			return nil, nil, fmt.Errorf("%w: what writes to the repository needs a lock, and NoLock is set", ErrLocked)
		}
		return ctx, func() error { return nil }, nil
	}
	held, cancel := context.WithCancelCause(ctx)
	l := &lock{r: r, exclusive: exclusive, lost: cancel, stop: make(chan struct{})}
	for deadline := time.Now().Add(r.opts.LockWait); ; {
		err := l.take(ctx)
		if err == nil {
			break
		}
		if left := time.Until(deadline); !errors.Is(err, ErrLocked) || left <= 0 {
			cancel(nil)
			return nil, nil, err
		}
		select {
		case <-ctx.Done():
			cancel(nil)
			return nil, nil, context.Cause(ctx)
		case <-time.After(lockRetry):
		}
	}
	l.done.Go(func() { l.keep(held) })
	return held, sync.OnceValue(func() error { return l.release(ctx) }), nil
}

// take writes the lock if nobody is in the way.
func (l *lock) take(ctx context.Context) error {
	if err := l.others(ctx); err != nil {
		return err
	}
	if err := l.write(ctx); err != nil {
		return err
	}
	var err error
	if l.exclusive {
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-time.After(lockSettle):
		}
	}
	if err == nil {
		err = l.others(ctx)
	}
	if err != nil {
		return errors.Join(err, l.remove(ctx))
	}
	return nil
}

// others is ErrLocked if somebody is in the way. Stale locks are removed.
func (l *lock) others(ctx context.Context) error {
	locks, err := l.r.Locks(ctx)
	if err != nil {
		return fmt.Errorf("look for locks: %w", err)
	}
	for _, other := range locks {
		id, err := format.ParseID(other.ID)
		if err != nil || id == l.id {
			continue
		}
		if other.Stale {
			l.r.log.InfoContext(ctx, "a stale lock of the repository is removed", "lock", other.String())
			if err := l.r.remove(ctx, lockFile, id); err != nil {
				return err
			}
			continue
		}
		if l.exclusive || other.Exclusive {
			return fmt.Errorf("%w by %s: wait for it, or unlock it if its owner is dead", ErrLocked, other)
		}
	}
	return nil
}

// write writes a new lock file and removes the one before.
func (l *lock) write(ctx context.Context) error {
	now := time.Now()
	content := format.Lock{
		Time: now, Exclusive: l.exclusive, Hostname: l.r.lockHost(), Username: l.r.opts.User, PID: os.Getpid(),
		UID: uint32(max(0, os.Getuid())), GID: uint32(max(0, os.Getgid())), //nolint:gosec // they are 32 bits wide
	}
	id, err := l.r.saveJSON(ctx, lockFile, content)
	if err != nil {
		return fmt.Errorf("lock the repository: %w", err)
	}
	l.mu.Lock()
	old := l.id
	l.id, l.at = id, now
	l.mu.Unlock()
	if old.IsZero() {
		return nil
	}
	return l.r.remove(ctx, lockFile, old)
}

// keep refreshes the lock until stop, and ends the work when it cannot, or when somebody has removed it.
func (l *lock) keep(ctx context.Context) {
	tick := time.NewTicker(lockRefresh)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, err := l.r.objects.Size(ctx, l.r.file(lockFile, l.id))
		if errors.Is(err, location.ErrNotFound) {
			l.lost(fmt.Errorf("%w: somebody has removed it", ErrLockLost))
			return
		}
		if err == nil {
			err = l.write(ctx)
		}
		if err != nil && time.Since(l.at) > lockLost {
			l.lost(fmt.Errorf("%w: it could not be refreshed for %s: %w", ErrLockLost, lockLost, err))
			return
		}
		if err != nil {
			l.r.log.WarnContext(ctx, "the lock of the repository could not be refreshed", "error", err)
		}
	}
}

func (l *lock) release(ctx context.Context) error {
	close(l.stop)
	l.done.Wait()
	l.lost(nil)
	return l.remove(ctx)
}

func (l *lock) remove(ctx context.Context) error {
	l.mu.Lock()
	id := l.id
	l.id = format.ID{}
	l.mu.Unlock()
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	return l.r.remove(undo, lockFile, id)
}
