package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// faults are the parameters of a class.
type faults struct {
	// Delay is waited for before a volume or snapshot is made, ReadyDelay passes until a snapshot is ready.
	Delay, ReadyDelay time.Duration
	// FailCreate and DeleteFails are how many calls fail, for each volume or snapshot.
	FailCreate, DeleteFails int
	// FailFinal refuses every creation for good.
	FailFinal bool
	// RequireSecret asks each call for the token that the first came with.
	RequireSecret bool
}

// parseFaults refuses what it does not know: a test with a mistake in a name would prove nothing.
func parseFaults(parameters map[string]string) (f faults, err error) {
	for name, value := range parameters {
		switch name {
		case "createDelay", "cutDelay":
			f.Delay, err = time.ParseDuration(value)
		case "readyDelay":
			f.ReadyDelay, err = time.ParseDuration(value)
		case "failCreate":
			f.FailCreate, err = times(value)
		case "deleteFails":
			f.DeleteFails, err = times(value)
		case "failFinal":
			f.FailFinal, err = strconv.ParseBool(value)
		case "requireSecret":
			f.RequireSecret, err = strconv.ParseBool(value)
		default:
			if !strings.HasPrefix(name, "csi.storage.k8s.io/") { // who asks
				err = fmt.Errorf("unknown")
			}
		}
		if err != nil {
			return f, status.Errorf(codes.InvalidArgument, "parameter %q: %v", name, err)
		}
	}
	return f, nil
}

func times(value string) (int, error) {
	if value == "always" {
		return math.MaxInt, nil
	}
	return strconv.Atoi(value)
}

// history knows the calls of each volume and snapshot. It is as old as the process.
type history struct {
	mu    sync.Mutex
	calls map[string]*calls
}

type calls struct {
	running bool
	first   time.Time
	failed  int
}

// begin refuses a call while another for the same volume or snapshot runs. The caller calls done.
func (h *history) begin(what string) (c *calls, done func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.calls == nil {
		h.calls = map[string]*calls{}
	}
	if c = h.calls[what]; c == nil {
		c = &calls{first: time.Now()}
		h.calls[what] = c
	}
	if c.running {
		return nil, nil, status.Errorf(codes.Aborted, "a call to %s is running", what)
	}
	c.running = true
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		c.running = false
	}, nil
}

// fail fails a number of calls.
func (c *calls) fail(n int) error {
	if c.failed >= n {
		return nil
	}
	c.failed++
	return status.Errorf(codes.Internal, "the storage failed, as asked for: time %d", c.failed)
}

// wait returns when the time has passed since the first call: one that is cut short goes on with the next.
func (c *calls) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(time.Until(c.first.Add(d))):
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// create does what the class asks of a creation.
func (c *calls) create(ctx context.Context, f faults) error {
	if f.FailFinal {
		return status.Error(codes.InvalidArgument, "the storage refuses, as asked for")
	}
	if err := c.fail(f.FailCreate); err != nil {
		return err
	}
	return c.wait(ctx, f.Delay)
}

// token is the hash of the one among the secrets of a call, or nil.
func token(secrets map[string]string) []byte {
	if secrets["token"] == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(secrets["token"]))
	return sum[:]
}

// permit refuses a call without the token that belongs to a snapshot.
func (r record) permit(secrets map[string]string) error {
	switch given := token(secrets); {
	case !r.Faults.RequireSecret:
		return nil
	case given == nil:
		return status.Error(codes.Unauthenticated, `the call needs a secret with the key "token"`)
	case subtle.ConstantTimeCompare(given, r.Token) == 0:
		return status.Error(codes.Unauthenticated, `the "token" of the secret is not that of the snapshot`)
	default:
		return nil
	}
}
