//go:build unix

package volume_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/session"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

// writes are arguments whose command writes something once it has let go.
func (d *database) writes(what string, more map[string]any) map[string]any {
	script := `trap 'rm -f "$0/held"' EXIT; touch "$0/held"; echo once >>"$0/log"; echo held; cat >/dev/null; rm "$0/held"; ` + what
	return d.args(with(map[string]any{"command": []any{"sh", "-c", script, d.dir}}, more))
}

// much writes so many bytes.
func much(bytes string) string { return "head -c " + bytes + " /dev/zero | tr '\\0' x" }

// TestHoldOutputIsWhole: a backup label that is cut or garbled is none, so the snapshots that need it are none either.
func TestHoldOutputIsWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ what, err string }{
		"all there may be": {what: much("65536")},
		"a byte more":      {what: much("65537"), err: `the command wrote more than is kept: only the first 64 KiB after line "held" are; write less of it, or set hold.keepOutput to false`},
		"very much more":   {what: much("3000000"), err: "the command wrote more than is kept"},
		"no text":          {what: `printf 'a\377b'`, err: "the application in pod app/db-0: the command wrote what is no UTF-8; write less"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t, memsnap.Options{})
			call, _ := d.call()
			out, err := d.exec1(t.Context(), call, d.writes(c.what, map[string]any{"keepOutput": false}))
			require.NoError(t, err, "where it is not kept it does not matter")
			require.Empty(t, out["holdOutput"])

			d = newDatabase(t, memsnap.Options{})
			out, err = d.exec1(t.Context(), call, d.writes(c.what, nil))
			require.False(t, d.held())
			require.Equal(t, 1, d.times())
			if c.err == "" {
				require.NoError(t, err)
				require.Equal(t, strings.Repeat("x", 64<<10), out["holdOutput"])
				return
			}
			require.ErrorContains(t, err, c.err)
			require.ErrorContains(t, err, "output holdOutput: ")
			require.NotErrorIs(t, err, snapshot.ErrHoldLost)
			require.Equal(t, strings.Contains(c.err, "more than is kept"), strings.Contains(err.Error(), session.ErrOutput.Error()))
			require.True(t, function.IsPermanent(err), "to hold it again yields the same")
			d.gone()
		})
	}
}

// slowEnd is a pod whose command holds, and takes its time to let go after that. It speaks as package session says.
type slowEnd struct {
	after time.Duration
	code  int
}

func (s slowEnd) Exec(ctx context.Context, cmd cluster.Command) error {
	nonce := cmd.Args[6]
	if _, err := io.WriteString(cmd.Stdout, "held\n"); err != nil {
		return err
	}
	if _, err := io.ReadAll(cmd.Stdin); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(s.after):
	}
	if _, err := fmt.Fprintf(cmd.Stdout, "label\n%s %d\n", nonce, s.code); err != nil {
		return err
	}
	if s.code > 0 {
		return &cluster.ExitError{What: cmd.Pod, Code: s.code}
	}
	return nil
}

// TestGraceIsTheCommands: the time to let go is the blueprint's to say, whatever the host gives to a release of its own. What takes longer than maxHold after the application was
// let go on is not the hold.
func TestGraceIsTheCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, &memsnap.Options{CutAfter: time.Second})
		args := map[string]any{"namespace": app, "pvcs": []any{"data"}, "maxHold": "30s", "hold": map[string]any{"pod": "db-0", "command": []any{"hold"}, "grace": "5m"}}
		p.exec = slowEnd{after: 4 * time.Minute}
		require.Equal(t, "label\n", p.must("CreateCSISnapshotGroup", "run/a/b", args)["holdOutput"])

		p = newPlace(t, nil)
		p.exec = slowEnd{after: 4 * time.Minute, code: 3}
		_, _, err := p.run("CreateCSISnapshotGroup", "run/a/b", args)
		require.ErrorIs(t, err, snapshot.ErrHoldLost)
		require.NotErrorIs(t, err, snapshot.ErrMaxHold, "it was released long before")
		p.gone()
	})
}
