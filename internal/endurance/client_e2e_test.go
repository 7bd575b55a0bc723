//go:build e2e

package endurance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob/driver"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
	"github.com/davit-project/davit/location/locationtest"
	"github.com/davit-project/davit/location/repository"
)

// clientEnv holds the order of a client, which is this program again.
const clientEnv = "DAVIT_ENDURANCE_ORDER"

const password = "a password of the endurance test"

// order is what a client does.
type order struct {
	Repository string
	Op         string
	// Tree is what is backed up, Target where is restored.
	Tree, Target, Tag string
	IDs               []string
	// Faults of the location: none, once, flaky, always.
	Faults string
	Seed   uint64
}

// outcome is what a client says in the end. One that was killed says nothing.
type outcome struct {
	Snapshot string
	Error    string
	// Excused are errors that are no defect: a lock in the way, a snapshot that was forgotten meanwhile.
	Excused bool
	// Damaged are errors that another client's failing location can be the reason of.
	Damaged bool
	Took    time.Duration
}

func TestMain(m *testing.M) {
	if text := os.Getenv(clientEnv); text != "" {
		os.Exit(client(text))
	}
	os.Exit(m.Run())
}

func client(text string) int {
	var o order
	var out outcome
	begin := time.Now()
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		out.Snapshot, err = o.run(context.Background())
	}
	if err != nil {
		out.Error = err.Error()
		out.Excused = errors.Is(err, repository.ErrLocked) || errors.Is(err, repository.ErrNoSnapshot)
		out.Damaged = errors.Is(err, repository.ErrDamaged) || errors.Is(err, location.ErrCorrupt) || errors.Is(err, location.ErrNotFound)
	}
	out.Took = time.Since(begin)
	_ = json.NewEncoder(os.Stdout).Encode(out)
	return 0
}

func (o *order) run(ctx context.Context) (string, error) {
	raw, err := file.Open(ctx, &location.Location{Type: location.TypeFile, Bucket: o.Repository})
	if err != nil {
		return "", err
	}
	b := location.New(locationtest.Faulty(raw, o.faults()), nil)
	defer b.Close()
	r, err := repository.Open(ctx, b, password, &repository.Options{LockWait: 10 * time.Second})
	if err != nil {
		return "", err
	}
	switch o.Op {
	case "backup":
		src, err := repository.NewLocalSource(nil, o.Tree)
		if err != nil {
			return "", err
		}
		s, err := r.Backup(ctx, src, &repository.BackupOptions{Tags: []string{o.Tag}})
		return s.ID, err
	case "restore":
		_, err := r.Restore(ctx, o.IDs[0], o.Target, nil)
		return o.IDs[0], err
	case "forget":
		return "", r.Forget(ctx, o.IDs...)
	case "prune":
		_, err := r.Prune(ctx, &repository.PruneOptions{})
		return "", err
	case "check":
		_, err := r.Check(ctx, &repository.CheckOptions{ReadData: "all"})
		return "", err
	}
	return "", fmt.Errorf("unknown operation %q", o.Op)
}

var errInjected = errors.New("the location fails, says the test")

// faults are random ones, from the order's seed. A list that is stale hides data from prune, as it would from any other program: stores that list so are not supported
// there (docs/repository.md), so prune and forget see whole lists.
func (o *order) faults() locationtest.Faults {
	if o.Faults == "" {
		return locationtest.Faults{}
	}
	r := rand.New(rand.NewPCG(o.Seed, 1)) //nolint:gosec // a test's
	left := r.IntN(60)
	var f locationtest.Faults
	failing := func() bool {
		left--
		switch o.Faults {
		case "once":
			return left == 0
		case "always":
			return left <= 0
		default:
			return r.IntN(25) == 0
		}
	}
	mu := make(chan struct{}, 1)
	locked := func() bool {
		mu <- struct{}{}
		defer func() { <-mu }()
		return failing()
	}
	what := r.IntN(4)
	f.Before = func(context.Context, locationtest.Op, string) error {
		if what == 0 && locked() {
			return errInjected
		}
		return nil
	}
	f.Read = func(_ string, in io.Reader) io.Reader {
		switch {
		case what == 1 && locked():
			return io.LimitReader(in, 100)
		case what == 2 && locked():
			return locationtest.FlipBit(50)("", in)
		}
		return in
	}
	f.Write = func(key string, out io.Writer) io.Writer {
		if what == 3 && locked() {
			return &flippingWriter{w: out, at: int(o.Seed % 1000)}
		}
		return out
	}
	if o.Op == "backup" || o.Op == "restore" {
		f.List = func(page []*driver.ListObject) []*driver.ListObject {
			if o.Seed%5 != 0 {
				return page
			}
			var old []*driver.ListObject
			for _, obj := range page {
				if strings.Contains(obj.Key, "locks/") || time.Since(obj.ModTime) > 5*time.Second {
					old = append(old, obj)
				}
			}
			return old
		}
	}
	return f
}

// flippingWriter damages one byte of what is stored.
type flippingWriter struct {
	w  io.Writer
	at int
}

func (f *flippingWriter) Write(p []byte) (int, error) {
	if f.at >= 0 && f.at < len(p) {
		q := append([]byte(nil), p...)
		q[f.at] ^= 1
		p = q
	}
	f.at -= len(p)
	return f.w.Write(p)
}
