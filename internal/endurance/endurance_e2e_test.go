//go:build e2e

package endurance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
	"github.com/davit-project/davit/location/repository"
)

// clients is how many work at once; rounds end with an audit, and last about roundTime.
const (
	clients   = 4
	roundTime = 45 * time.Second
)

// model knows what must be in the repository.
type model struct {
	mu sync.Mutex
	// complete are snapshots that were reported complete, by ID, with the fingerprint of their tree; expected are fingerprints by tag, from before the backup began:
	// one that was killed may have made its snapshot.
	complete, expected map[string]string
	// leaving may be forgotten at any time.
	leaving map[string]bool
	trees   map[string]string
	counts  map[string]int
}

type bench struct {
	t     *testing.T
	dir   string
	repo  string
	model model
	sick  sick
}

// TestEndurance runs random programs for DAVIT_ENDURANCE_MINUTES, 10 by default. DAVIT_ENDURANCE_SEED repeats the choices of a run, though not its timing.
func TestEndurance(t *testing.T) {
	minutes, seed := number(t, "DAVIT_ENDURANCE_MINUTES", 10), number(t, "DAVIT_ENDURANCE_SEED", int(time.Now().UnixNano()&0xffffff))
	t.Logf("seed %d", seed)
	b := &bench{t: t, dir: t.TempDir(), model: model{
		complete: map[string]string{}, expected: map[string]string{}, leaving: map[string]bool{}, trees: map[string]string{}, counts: map[string]int{},
	}}
	b.repo = filepath.Join(b.dir, "repository")
	bucket, err := file.Open(t.Context(), &location.Location{Type: location.TypeFile, Bucket: b.repo})
	require.NoError(t, err)
	_, err = repository.Init(t.Context(), location.New(bucket, nil), password, nil)
	require.NoError(t, err)

	workers := make([]*worker, clients)
	for i := range workers {
		r := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
		workers[i] = &worker{bench: b, r: r, tree: tree{dir: filepath.Join(b.dir, fmt.Sprintf("tree%d", i)), r: r}, id: i}
	}
	end := time.Now().Add(time.Duration(minutes) * time.Minute)
	// A slow machine comes to few rounds in the time.
	last := end.Add(time.Duration(minutes) * time.Minute)
	for !t.Failed() && (time.Now().Before(end) || len(b.missing()) > 0 && time.Now().Before(last)) {
		var tasks sync.WaitGroup
		stop := time.Now().Add(roundTime)
		for _, w := range workers {
			tasks.Go(func() {
				for time.Now().Before(stop) && !t.Failed() {
					w.step()
				}
			})
		}
		tasks.Wait()
		b.audit(workers[0])
	}
	for _, what := range slices.Sorted(maps.Keys(b.model.counts)) {
		t.Logf("%6d %s", b.model.counts[what], what)
	}
	require.Empty(t, b.missing())
}

// missing is what was never done to its end, without which nothing is proved.
func (b *bench) missing() []string {
	return slices.DeleteFunc([]string{"davit backup: done", "davit prune: done", "restic backup: done"}, func(what string) bool { return b.model.counts[what] > 0 })
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

type worker struct {
	*bench
	r    *rand.Rand
	tree tree
	id   int
	n    int
}

// step does one thing at random.
func (w *worker) step() {
	w.n++
	switch n := w.r.IntN(100); {
	case n < 40:
		w.backup(false)
	case n < 52:
		w.backup(true)
	case n < 72:
		w.restore(false)
	case n < 80:
		w.restore(true)
	case n < 90:
		w.forget()
	case n < 96:
		w.command(order{Op: "prune"}, true)
	default:
		w.command(order{Op: "check"}, true)
	}
}

func (w *worker) backup(withRestic bool) {
	if err := w.tree.mutate(); err != nil {
		w.t.Errorf("change the tree: %v", err)
		return
	}
	print, err := fingerprint(w.tree.dir)
	if err != nil {
		w.t.Errorf("fingerprint: %v", err)
		return
	}
	tag := fmt.Sprintf("w%d-%d", w.id, w.n)
	w.model.mu.Lock()
	w.model.expected[tag], w.model.trees[tag] = print, w.tree.dir
	w.model.mu.Unlock()
	if withRestic {
		w.restic("backup", "--tag", tag, w.tree.dir)
		return
	}
	out, ok := w.command(order{Op: "backup", Tree: w.tree.dir, Tag: tag}, true)
	if ok {
		w.model.mu.Lock()
		w.model.complete[out.Snapshot] = tag
		w.model.mu.Unlock()
	}
}

// pick returns a snapshot that is complete and stays.
func (w *worker) pick() (id, tag string) {
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(w.model.complete)) {
		if !w.model.leaving[id] {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return "", ""
	}
	id = ids[w.r.IntN(len(ids))]
	return id, w.model.complete[id]
}

func (w *worker) restore(withRestic bool) {
	id, tag := w.pick()
	if id == "" {
		return
	}
	target := filepath.Join(w.dir, fmt.Sprintf("target%d", w.id))
	defer os.RemoveAll(target)
	if withRestic {
		if !w.restic("restore", id, "--target", target) {
			return
		}
	} else if _, ok := w.command(order{Op: "restore", IDs: []string{id}, Target: target}, true); !ok {
		return
	}
	w.compare(id, tag, target)
}

// compare holds what was restored against what was backed up.
func (b *bench) compare(id, tag, target string) {
	b.model.mu.Lock()
	want, dir := b.model.expected[tag], b.model.trees[tag]
	b.model.mu.Unlock()
	got, err := fingerprint(filepath.Join(target, dir))
	if err != nil || got != want {
		b.t.Errorf("snapshot %s (%s) was restored to something else: %v", id, tag, err)
	}
}

func (w *worker) forget() {
	id, _ := w.pick()
	w.model.mu.Lock()
	few := len(w.model.complete)-len(w.model.leaving) < 5
	if id != "" && !few {
		w.model.leaving[id] = true
	}
	w.model.mu.Unlock()
	if id != "" && !few {
		w.command(order{Op: "forget", IDs: []string{id}}, true)
	}
}

// command runs a client; with trouble, it may be killed, and its location may fail. An error without trouble is a defect, as is an error of a check.
func (w *worker) command(o order, trouble bool) (outcome, bool) {
	o.Repository, o.Seed = w.repo, w.r.Uint64()
	kill := time.Duration(0)
	if trouble {
		switch w.r.IntN(10) {
		case 0, 1, 2:
			kill = time.Duration(w.r.IntN(1500)) * time.Millisecond
		case 3, 4, 5:
			o.Faults = []string{"once", "flaky", "always"}[w.r.IntN(3)]
		}
	}
	if o.Faults != "" {
		defer w.sick.enter()()
	}
	met := w.sick.watch()
	out, said := w.client(o, kill)
	if out.Damaged && o.Faults == "" && met() {
		w.count("davit " + o.Op + ": once more without damage")
		defer w.sick.none()()
		require.NoError(w.t, os.RemoveAll(o.Target))
		out, said = w.client(o, 0)
	}
	if !said {
		w.count("davit " + o.Op + ": killed")
		return out, false
	}
	switch {
	case out.Error == "":
		w.count("davit " + o.Op + ": done")
		return out, true
	case out.Excused:
		w.count("davit " + o.Op + ": in the way of others")
	case o.Faults != "":
		w.count("davit " + o.Op + ": the location failed")
	default:
		w.t.Errorf("%s of %v: %s", o.Op, o.IDs, out.Error)
	}
	return out, false
}

// client runs one, and kills it after that time, if there is one. It tells whether it said how it went.
func (w *worker) client(o order, kill time.Duration) (out outcome, said bool) {
	text, err := json.Marshal(o)
	require.NoError(w.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if kill > 0 {
		ctx, cancel = context.WithTimeout(ctx, kill)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), clientEnv+"="+string(text))
	var answer, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &answer, &errs
	err = cmd.Run()
	said = json.Unmarshal(answer.Bytes(), &out) == nil
	if !said && (kill == 0 || errs.Len() > 0) {
		w.t.Errorf("%s: the client died: %v: %s", o.Op, err, &errs)
	}
	return out, said
}

func (b *bench) count(what string) {
	b.model.mu.Lock()
	defer b.model.mu.Unlock()
	b.model.counts[what]++
}

func (b *bench) open() (*repository.Repository, func()) {
	raw, err := file.Open(context.Background(), &location.Location{Type: location.TypeFile, Bucket: b.repo})
	require.NoError(b.t, err)
	bucket := location.New(raw, nil)
	r, err := repository.Open(context.Background(), bucket, password, nil)
	require.NoError(b.t, err)
	return r, func() { _ = bucket.Close() }
}

// unlock removes the locks of clients that were killed: restic would wait half an hour for them.
func (b *bench) unlock() {
	r, done := b.open()
	defer done()
	_, err := r.Unlock(context.Background(), false)
	require.NoError(b.t, err)
}

// restic runs restic, after the locks of dead clients are removed. A lock of a living one excuses its failure.
func (b *bench) restic(args ...string) bool {
	b.t.Helper()
	run := func(args ...string) (string, error) {
		cmd := exec.Command("restic", append([]string{"-r", b.repo, "--cache-dir", filepath.Join(b.dir, "cache")}, args...)...)
		cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+password)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	b.unlock()
	met := b.sick.watch()
	out, err := run(args...)
	if err != nil && damaged(out) && met() {
		b.count("restic " + args[0] + ": once more without damage")
		defer b.sick.none()()
		b.unlock()
		out, err = run(args...)
	}
	switch {
	case err == nil:
		b.count("restic " + args[0] + ": done")
		return true
	case strings.Contains(out, "already locked"), strings.Contains(out, "no matching ID"), strings.Contains(out, "no such file or directory") && strings.Contains(out, "/locks/"):
		b.count("restic " + args[0] + ": in the way of others")
	default:
		b.t.Errorf("restic %v: %v: %s", args, err, out)
	}
	return false
}

// audit is done alone: everything that must be there is, restores, and both programs find nothing wrong.
func (b *bench) audit(w *worker) {
	b.restic("check", "--read-data")
	w.command(order{Op: "check"}, false)
	r, done := b.open()
	defer done()
	snapshots, err := r.Snapshots(context.Background(), nil)
	require.NoError(b.t, err)
	there := map[string]bool{}
	for _, s := range snapshots {
		there[s.ID] = true
		b.model.complete[s.ID] = s.Tags[0]
	}
	for id, tag := range b.model.complete {
		if there[id] {
			continue
		}
		if !b.model.leaving[id] {
			b.t.Errorf("snapshot %s (%s) is gone", id, tag)
		}
		delete(b.model.complete, id)
		delete(b.model.leaving, id)
	}
	clear(b.model.leaving)
	for i, id := range slices.Sorted(maps.Keys(b.model.complete)) {
		target := filepath.Join(b.dir, "audit")
		if i%3 == 0 && b.restic("restore", id, "--target", target) {
			b.compare(id, b.model.complete[id], target)
		} else if _, ok := w.command(order{Op: "restore", IDs: []string{id}, Target: target}, false); ok {
			b.compare(id, b.model.complete[id], target)
		}
		require.NoError(b.t, os.RemoveAll(target))
	}
	// Few snapshots are kept, so that a prune has something to do.
	var old []string
	for _, s := range snapshots[:max(0, len(snapshots)-12)] {
		old = append(old, s.ID)
	}
	if len(old) > 0 {
		if _, ok := w.command(order{Op: "forget", IDs: old}, false); ok {
			for _, id := range old {
				delete(b.model.complete, id)
			}
		}
	}
	if len(snapshots)%2 == 0 {
		b.restic("prune")
	} else {
		w.command(order{Op: "prune"}, false)
	}
	b.restic("check", "--read-data")
	b.count("audits")
}
