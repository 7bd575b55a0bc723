package snapshot_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

// trouble strikes at random.
type trouble struct {
	mu     sync.Mutex
	random *rand.Rand
	// one in so many moments has a fault; 0 for none.
	rate int
	// dead is set when the host died: nothing works any more.
	dead bool
	die  func()
	hurt int
}

func (r *trouble) moment(ctx context.Context, c memsnap.Call) error {
	r.mu.Lock()
	if r.dead {
		r.mu.Unlock()
		return errFault
	}
	kind := -1
	if r.rate > 0 && r.random.IntN(r.rate) == 0 {
		kind = r.random.IntN(12)
		r.hurt++
	}
	pause := time.Duration(r.random.IntN(3000)) * time.Millisecond
	r.dead = kind == 0
	r.mu.Unlock()
	switch kind {
	case -1:
		return nil
	case 0:
		r.die()
	case 1:
		panic("a driver's fault")
	case 2, 3, 4, 5:
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			return nil
		}
	}
	return errFault
}

// TestRandomGroups lets calls with one token follow each other until one succeeds, in all the trouble there is.
func TestRandomGroups(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(200) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomGroup(t, rand.New(rand.NewPCG(seed, 0)), outcomes) })
		})
	}
	t.Logf("%v", outcomes)
	for _, o := range []string{"made", "adopted", "failed", "dead"} {
		require.Greater(t, outcomes[o], 10, "the programs must reach %q: %v", o, outcomes)
	}
}

func randomGroup(t *testing.T, random *rand.Rand, outcomes map[string]int) {
	upTo := func(most time.Duration) time.Duration { return time.Duration(random.Int64N(int64(most))) }
	r := &trouble{random: rand.New(rand.NewPCG(random.Uint64(), 0))}
	a := newApp(t, 1+random.IntN(4), &memsnap.Options{
		OneByOne: random.IntN(2) == 0, CutAfter: upTo(2 * time.Second), ReadyAfter: upTo(10 * time.Second), DeleteAfter: upTo(3 * time.Second), Call: r.moment,
	})
	a.moment = r.moment
	r.die = func() {
		if a.letGo != nil {
			a.letGo()
		}
	}
	s := snapshot.New(a.storage, &snapshot.Options{ErrorGrace: 3 * time.Second, CleanUpTimeout: 20 * time.Second, ReleaseTimeout: time.Second})
	req := a.group()
	for attempt := 0; ; attempt++ {
		require.Less(t, attempt, 40, "an attempt without trouble succeeds")
		calm := attempt > 10
		r.rate = []int{0, 100, 30, 10}[random.IntN(4)]
		if calm {
			r.rate = 0
		}
		req.MaxHold = upTo(time.Minute) + time.Second
		req.UntilCut = random.IntN(2) == 0
		a.loseAfter = 0
		if random.IntN(4) == 0 && !calm {
			a.loseAfter = upTo(5*time.Second) + time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if random.IntN(4) == 0 && !calm {
			time.AfterFunc(upTo(10*time.Second), cancel)
		}
		result, err := s.CreateGroup(ctx, req, a)
		cancel()
		died := r.dead
		r.rate, r.dead = 0, false
		a.requireFree()
		switch {
		case err != nil && died:
			outcomes["dead"]++
			continue
		case err != nil:
			outcomes["failed"]++
			time.Sleep(10 * time.Second) // for contents of snapshots that an attempt before had removed when its host died
			a.requireNothing()
			continue
		case result.Adopted:
			outcomes["adopted"]++
		default:
			outcomes["made"]++
		}
		a.requireWhole(result, true)
		if random.IntN(2) == 0 {
			return
		}
	}
}
