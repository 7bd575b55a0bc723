package engine

import (
	"context"
	"fmt"
	"log/slog"
)

// maskHandler masks the secrets of a run in log records.
type maskHandler struct {
	next  slog.Handler
	vault *vault
}

func (h *maskHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *maskHandler) Handle(ctx context.Context, rec slog.Record) error {
	out := slog.NewRecord(rec.Time, rec.Level, h.vault.mask(rec.Message), rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(h.mask(a))
		return true
	})
	return h.next.Handle(ctx, out)
}

func (h *maskHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	safe := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		safe[i] = h.mask(a)
	}
	return &maskHandler{h.next.WithAttrs(safe), h.vault}
}

func (h *maskHandler) WithGroup(name string) slog.Handler {
	return &maskHandler{h.next.WithGroup(h.vault.mask(name)), h.vault}
}

// mask masks keys, texts, groups, and whatever would be formatted as text.
func (h *maskHandler) mask(a slog.Attr) slog.Attr {
	a.Key = h.vault.mask(a.Key)
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, h.vault.mask(v.String()))
	case slog.KindGroup:
		group := v.Group()
		safe := make([]slog.Attr, len(group))
		for i, g := range group {
			safe[i] = h.mask(g)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(safe...)}
	case slog.KindAny:
		if data, ok := v.Any().([]byte); ok {
			return slog.String(a.Key, h.vault.mask(string(data)))
		}
		return slog.String(a.Key, h.vault.mask(fmt.Sprint(v.Any())))
	default:
		text := v.String()
		if safe := h.vault.mask(text); len(text) >= shortSecret && safe != text {
			return slog.String(a.Key, safe)
		}
		return slog.Attr{Key: a.Key, Value: v}
	}
}
