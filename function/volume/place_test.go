package volume_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

const app = "app"

// place is storage with three claims, and hosts that work on it. Tests run it in a bubble of time.
type place struct {
	*memsnap.Driver
	t    testing.TB
	exec cluster.Executor

	mu sync.Mutex
	// moments counts the beginnings and ends of what hosts asked the storage for. At number dieAt the host dies: from then on nothing that it asks for is done.
	moments, dieAt int
	// asked counts how often something was asked for, by method and name.
	asked map[string]int
}

func newPlace(t testing.TB, opts *memsnap.Options) *place {
	p := &place{t: t, asked: map[string]int{}}
	if opts == nil {
		opts = &memsnap.Options{}
	}
	opts.Call = p.call
	p.Driver = memsnap.New(opts)
	for _, claim := range []string{"data", "wal", "other"} {
		p.AddVolume(ref(claim), "content of "+claim)
	}
	return p
}

func ref(name string) snapshot.Ref { return snapshot.Ref{Namespace: app, Name: name} }

var errDead = fmt.Errorf("%w: the host is dead", snapshot.ErrDenied) // nobody tries to get over it

func (p *place) call(_ context.Context, c memsnap.Call) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moments++
	if !c.After {
		p.asked[c.Method+" "+c.Ref.String()]++
	}
	if p.dieAt > 0 && p.moments >= p.dieAt {
		return errDead
	}
	return nil
}

// live begins the life of a host, which dies at a moment from 1 on; 0 is never.
func (p *place) live(dieAt int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moments, p.dieAt = 0, dieAt
}

func (p *place) deps() volume.Deps {
	return volume.Deps{Snapshots: snapshot.New(p.Driver, nil), Exec: p.exec}
}

func (p *place) function(name string) function.Func {
	return lookup(p.t, volume.Functions(p.deps()), name)
}

// run executes a function in the phase of this id.
func (p *place) run(name, id string, args map[string]any) (function.Outputs, *functiontest.Recorder, error) {
	call, rec := functiontest.NewCall(id)
	out, err := p.function(name).Exec(p.t.Context(), call, args)
	return out, rec, err
}

func (p *place) must(name, id string, args map[string]any) function.Outputs {
	p.t.Helper()
	out, _, err := p.run(name, id, args)
	require.NoError(p.t, err)
	return out
}

func (p *place) content(claim string) string {
	p.t.Helper()
	text, err := p.Read(ref(claim))
	require.NoError(p.t, err)
	return text
}

// gone asserts that there is no snapshot, no object and nothing in the storage.
func (p *place) gone(claims ...string) {
	p.t.Helper()
	require.Empty(p.t, p.Snapshots())
	require.Empty(p.t, p.Stored())
	for _, claim := range claims {
		_, err := p.Read(ref(claim))
		require.ErrorIs(p.t, err, snapshot.ErrNotFound, "claim %s", claim)
	}
}
