package pgdump

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/location"
)

// Env is what the far end works with. Open is required.
type Env struct {
	// Open opens the bucket of a profile's JSON.
	Open func(ctx context.Context, profile []byte) (*location.Bucket, error)
	// Progress is called now and then. Default: nobody is told.
	Progress func(mover.Progress)
	// Warn is told what programs say and what is no reason to fail. Default: nobody is told.
	Warn func(string)
}

// Do does what a request says. The result counts databases as files; its bytes are those of the SQL, and Snapshot is the object's path.
//
// A dump writes the object all or nothing: where any pg_dump fails or ends early, or ctx ends, there is none, and one of that path from before is untouched.
// A restore that fails leaves the server as it was, but for what its error names.
func Do(ctx context.Context, req *Request, env Env) (_ mover.Result, err error) {
	if env.Warn == nil {
		env.Warn = func(string) {}
	}
	env.Warn = atMost(env.Warn)
	if env.Progress == nil {
		env.Progress = func(mover.Progress) {}
	}
	defer func() {
		if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) { // a program that was killed for it says something else
			err = fmt.Errorf("%w: %w", cause, err)
		}
	}()
	s, release, err := connectTo(ctx, req.Server, env.Warn)
	if err != nil {
		return mover.Result{}, err
	}
	defer func() { err = errors.Join(err, release()) }()
	b, err := env.Open(ctx, req.Profile)
	if err != nil {
		return mover.Result{}, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if req.Op == Restore {
		return restore(ctx, s, b, req, env)
	}
	return dump(ctx, s, b, req, env)
}

// maxWarned bounds what is told: a dump can have its server say something for every row.
const maxWarned = 1000

// atMost tells the first warnings, and that there are more. It is safe for concurrent use.
func atMost(warn func(string)) func(string) {
	var warned atomic.Int64
	return func(text string) {
		switch n := warned.Add(1); {
		case n <= maxWarned:
			warn(text)
		case n == maxWarned+1:
			warn(fmt.Sprintf("there are more than %d warnings: the others are left out", maxWarned))
		}
	}
}

// ticker tells of progress, at most every second.
type ticker struct {
	tell func(mover.Progress)
	last time.Time
	mover.Progress
}

func (t *ticker) add(bytes int) {
	t.Bytes += int64(bytes)
	if now := time.Now(); now.Sub(t.last) >= time.Second {
		t.last = now
		t.tell(t.Progress)
	}
}
