package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/davit-project/davit/cluster"
)

// The StatefulSets: the one that is snapshotted, and the one on the volumes that are made of the snapshots.
const server, restored = "database", "restored"

// startTime is how long a server may take to be ready: images are pulled, volumes made.
const startTime = 10 * time.Minute

//go:embed cluster.yaml
var manifest string

// tell is what happens.
func (h *host) tell(ctx context.Context, out io.Writer) error {
	if err := h.deploy(ctx); err != nil {
		return err
	}
	var all [3]writer
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop) })
	defer end()
	ended := make(chan error, len(all))
	for i := range all {
		go func() { ended <- h.write(ctx, &all[i], i, stop) }()
	}
	if err := pause(ctx, ended, time.Second); err != nil {
		return err
	}
	artifacts, err := h.run(ctx, "backup", nil)
	if err != nil {
		return err
	}
	if err := pause(ctx, ended, time.Second); err != nil {
		return err
	}
	end()
	for range all {
		if err := <-ended; err != nil {
			return err
		}
	}
	volumes := artifacts["volumes"].KeyValue
	fmt.Fprintf(out, "both volumes are snapshotted, the database was held for %s\n", volumes["held"])
	if _, err := h.run(ctx, "restore", artifacts); err != nil {
		return err
	}
	if err := h.start(ctx, restored); err != nil {
		return err
	}
	if err := h.compare(ctx, out, all[:]); err != nil {
		return err
	}
	if _, err := h.run(ctx, "delete", artifacts); err != nil {
		return err
	}
	fmt.Fprintln(out, "the snapshots are deleted")
	return nil
}

// pause waits, unless a writer ends.
func pause(ctx context.Context, ended <-chan error, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case err := <-ended:
		return fmt.Errorf("a writer ended: %w", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// deploy makes the namespace, the server and its tables.
func (h *host) deploy(ctx context.Context) error {
	_, err := h.cluster.Create(ctx, map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": h.namespace, "labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted"}},
	}, "", "example")
	if err != nil {
		return err
	}
	if err := h.start(ctx, server); err != nil {
		return err
	}
	_, err = h.sql(ctx, server, `CREATE TABLE ledger (writer int, n int, PRIMARY KEY (writer, n)); CREATE TABLE counter (writer int PRIMARY KEY, total int);
		INSERT INTO counter VALUES (0, 0), (1, 0), (2, 0);`)
	return err
}

// start makes a StatefulSet and waits until its server is ready.
func (h *host) start(ctx context.Context, name string) error {
	text := strings.NewReplacer("$(NAME)", name, "$(IMAGE)", strconv.Quote(h.opts.image), "$(CLASS)", strconv.Quote(h.opts.storageClass)).Replace(manifest)
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		return err
	}
	if _, err := h.cluster.Create(ctx, object, h.namespace, "example"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return h.cluster.AwaitScaled(ctx, cluster.Workload{Kind: "StatefulSet", Namespace: h.namespace, Name: name}, 1)
}

// sql runs commands and returns the rows they print.
func (h *host) sql(ctx context.Context, name, commands string) (string, error) {
	var out bytes.Buffer
	err := h.cluster.Exec(ctx, cluster.Command{
		Namespace: h.namespace, Pod: name + "-0", Container: "server", Stdin: strings.NewReader(commands), Stdout: &out,
		Args: []string{"psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--field-separator= ", "--set=ON_ERROR_STOP=1", "--username=postgres"},
	})
	return strings.TrimSpace(out.String()), err
}

// compare compares what the restored server has with what the writers know.
func (h *host) compare(ctx context.Context, out io.Writer, all []writer) error {
	rows, err := h.sql(ctx, restored, "SELECT writer, total, count(n), coalesce(max(n), 0) FROM counter LEFT JOIN ledger USING (writer) GROUP BY writer, total ORDER BY writer;")
	if err != nil {
		return err
	}
	lines := strings.Split(rows, "\n")
	if len(lines) != len(all) {
		return fmt.Errorf("the restored database has %d writers, not %d", len(lines), len(all))
	}
	var faults []error
	for i, line := range lines {
		faults = append(faults, all[i].compare(out, i, line, h.held))
	}
	return errors.Join(faults...)
}

// compare compares a row of the restored server: the writer's number, its counter, and how many entries it has, up to which. All transactions up to one are there, whole. The server committed
// nothing from a moment before this host read that it is held until after the last cut: what was acknowledged before that is there, what was sent after it is not. The storage's clock has no part in it.
func (w *writer) compare(out io.Writer, number int, row string, held time.Time) error {
	var writer, total, count, last int
	if _, err := fmt.Sscan(row, &writer, &total, &count, &last); err != nil {
		return fmt.Errorf("writer %d: %q: %w", number, row, err)
	}
	must := w.count(func(w written) bool { return !w.acked.IsZero() && w.acked.Before(held) })
	may := w.count(func(w written) bool { return w.sent.Before(held) })
	fmt.Fprintf(out, "writer %d: %d transactions restored, at least %d and at most %d are right\n", number, total, must, may)
	switch {
	case writer != number:
		return fmt.Errorf("writer %d is missing", number)
	case total != count || total != last:
		return fmt.Errorf("writer %d: %d transactions counted, %d in the ledger, the last has number %d", number, total, count, last)
	case total < must || total > may:
		return fmt.Errorf("writer %d: %d transactions; %d were acknowledged before the server was held, and %d sent", number, total, must, may)
	}
	return nil
}
