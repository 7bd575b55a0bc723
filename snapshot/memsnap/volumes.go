package memsnap

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/davit-project/davit/snapshot"
)

// Restore is part of snapshot.Restorer.
func (d *Driver) Restore(ctx context.Context, req snapshot.RestoreRequest) error {
	return d.do(ctx, "Restore", req.Ref, func() error {
		if err := required(req.Ref, req.Token); err != nil {
			return err
		}
		if v := d.volumes[req.Ref]; v != nil {
			return madeBy(req.Ref, v, req.Token)
		}
		from := snapshot.Ref{Namespace: req.Namespace, Name: req.Snapshot}
		o := d.snapshots[from]
		if o == nil {
			return fmt.Errorf("snapshot %q: %w", from, snapshot.ErrNotFound)
		}
		size, err := parseSize(req.Size)
		if err != nil {
			return fmt.Errorf("%w: %w", snapshot.ErrInvalid, err)
		}
		if s := d.stored[o.handle]; s != nil {
			if least, err := parseSize(s.size); err != nil || size < least {
				return fmt.Errorf("size %q for snapshot %q, which needs %q: %w", req.Size, from, s.size, snapshot.ErrInvalid)
			}
		}
		d.volumes[req.Ref] = &volume{size: req.Size, token: req.Token, from: o, snapshot: req.Snapshot, asked: time.Now()}
		return nil
	})
}

// Volume is part of snapshot.Restorer.
func (d *Driver) Volume(ctx context.Context, ref snapshot.Ref) (st snapshot.VolumeStatus, err error) {
	err = d.do(ctx, "Volume", ref, func() error {
		v := d.volumes[ref]
		if v == nil {
			return fmt.Errorf("volume %q: %w", ref, snapshot.ErrNotFound)
		}
		st = snapshot.VolumeStatus{Ref: ref, Snapshot: v.snapshot, Bound: v.bound, Waiting: !v.bound && d.opts.WaitForPod, Token: v.token, Deleting: !v.deleted.IsZero()}
		if v.bound {
			st.Size = v.size
		} else if v.from.handle != "" && d.stored[v.from.handle] == nil {
			st.Problem = fmt.Sprintf("the storage has no snapshot %q", v.from.handle)
		}
		return nil
	})
	return st, err
}

// DeleteVolume is part of snapshot.Restorer.
func (d *Driver) DeleteVolume(ctx context.Context, ref snapshot.Ref, token string) error {
	return d.do(ctx, "DeleteVolume", ref, func() error {
		v := d.volumes[ref]
		if v == nil {
			return nil
		}
		if err := madeBy(ref, v, token); err != nil {
			return err
		}
		if v.deleted.IsZero() {
			v.deleted = time.Now()
		}
		d.advance()
		return nil
	})
}

func madeBy(ref snapshot.Ref, v *volume, token string) error {
	if v.token != token || token == "" {
		return fmt.Errorf("volume %q: %w", ref, snapshot.ErrExists)
	}
	return nil
}

// parseSize reads a quantity such as "8Gi", "1.5G" or "1024" in bytes.
func parseSize(text string) (float64, error) {
	number, factor := text, 1.0
	for i, units := range []string{"kMGTPE", "KMGTPE"} {
		for power, unit := range units {
			suffix, base := string(unit), 1000.0
			if i == 1 {
				suffix, base = suffix+"i", 1024
			}
			if before, ok := strings.CutSuffix(text, suffix); ok {
				number, factor = before, math.Pow(base, float64(power+1))
			}
		}
	}
	if strings.Trim(number, "0123456789.") != "" {
		return 0, fmt.Errorf("size %q is no quantity", text)
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("size %q is no quantity", text)
	}
	if n <= 0 {
		return 0, fmt.Errorf("size %q is nothing", text)
	}
	return n * factor, nil
}
