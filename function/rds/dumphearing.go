package rds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/location"
)

// dumpTail and dumpLine bound what an error shows of a pod that has said nothing of its own: lines, and bytes of each.
const (
	dumpTail = 10
	dumpLine = 400
)

// dumpHearing is what the pod of a dump says.
type dumpHearing struct {
	follower *mover.Follower
	mask     func(string) string

	mu    sync.Mutex
	reply *mover.Reply
	tail  []string
}

func newDumpHearing(ctx context.Context, call *function.Call, where slog.Attr) *dumpHearing {
	h := &dumpHearing{mask: call.Mask}
	h.follower = &mover.Follower{
		Reply: func(r mover.Reply) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.reply = &r
		},
		Progress: func(p mover.Progress) {
			told := function.Progress{Bytes: p.Bytes}
			if p.TotalFiles > 0 {
				told.Note = fmt.Sprintf("%d of %d databases", p.Files, p.TotalFiles)
			}
			call.Report(ctx, told)
		},
		Other: func(line []byte) {
			h.keep(string(line[:min(len(line), dumpLine)]))
			call.Log.LogAttrs(ctx, slog.LevelInfo, string(line), where)
		},
	}
	return h
}

func (h *dumpHearing) keep(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tail = append(h.tail, line)
	h.tail = h.tail[max(0, len(h.tail)-dumpTail):]
}

// dumpLasting are the errors that trying again cannot mend.
func dumpLasting() []error {
	return []error{
		cluster.ErrInvalid, cluster.ErrAmbiguous, cluster.ErrExists,
		location.ErrProfile, location.ErrUnsupported, location.ErrKey, location.ErrNotFound, location.ErrCorrupt,
	}
}

// outcome is what the pod has said, or that it has said nothing. Err is what running it returned.
func (h *dumpHearing) outcome(where string, err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	exit := (*cluster.ExitError)(nil)
	exited := errors.As(err, &exit)
	switch {
	case err != nil && !exited:
		err = fmt.Errorf("%s: %w", where, err)
	case h.reply != nil && h.reply.Fault != nil:
		err = fmt.Errorf("%s: %w", where, h.reply.Fault)
	case exited:
		err = &cluster.ExitError{What: where, Code: exit.Code, Tail: h.mask(strings.Join(append(h.tail, ""), "\n"))}
	case h.reply == nil:
		err = fmt.Errorf("%s: ended without a word of what it has done, so nothing is known to be done", where)
	}
	if err != nil && slices.ContainsFunc(dumpLasting(), func(e error) bool { return errors.Is(err, e) }) {
		return function.Permanent(err)
	}
	return err
}
