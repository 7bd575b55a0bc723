package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// Forget removes snapshots, given by their full IDs or by prefixes that only one has. What they alone need stays until Prune. All or none are looked up: an absent one is ErrNoSnapshot and
// a prefix of several ErrAmbiguous, and nothing is removed then. It takes an exclusive lock: somebody at work is ErrLocked, after Options.LockWait.
func (r *Repository) Forget(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	ctx, unlock, err := r.lock(ctx, true)
	if err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	found, err := r.resolve(ctx, ids)
	if err == nil {
		err = r.remove(ctx, snapshotFile, found...)
	}
	if err = errors.Join(err, unlock()); err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	return nil
}

// resolve finds the snapshots that begin so. They need not be readable.
func (r *Repository) resolve(ctx context.Context, prefixes []string) ([]format.ID, error) {
	found := make([]format.ID, len(prefixes))
	counts := make([]int, len(prefixes))
	for f, err := range r.list(ctx, snapshotFile) {
		if err != nil {
			return nil, err
		}
		name := f.ID.String()
		for i, prefix := range prefixes {
			if prefix != "" && strings.HasPrefix(name, strings.ToLower(prefix)) {
				found[i] = f.ID
				counts[i]++
			}
		}
	}
	for i, prefix := range prefixes {
		switch {
		case counts[i] == 0:
			return nil, fmt.Errorf("%w: %q", ErrNoSnapshot, prefix)
		case counts[i] > 1:
			return nil, fmt.Errorf("%w: %q: give more digits", ErrAmbiguous, prefix)
		}
	}
	return found, nil
}

// KeepPolicy says which snapshots stay, as the options of restic's forget do. The zero value keeps all.
type KeepPolicy struct {
	// Last is how many of the newest stay. Hourly, Daily, Weekly, Monthly and Yearly are for how many hours, days, weeks (of ISO 8601), months and years that have a snapshot
	// the newest of each stays, in the time zone of each snapshot. Less than 0 is for all of them.
	Last, Hourly, Daily, Weekly, Monthly, Yearly int
	// Within keeps what is not older than this, counted from the newest snapshot that is not of the future.
	Within time.Duration
	// Tags keeps snapshots that have all tags of one of these lists.
	Tags [][]string
	// Together takes all snapshots as one series. Default: those with the same host and paths are one.
	Together bool
}

// Kept tells what a KeepPolicy says of a snapshot.
type Kept struct {
	Snapshot Snapshot
	// Why it stays, in restic's words, such as "daily snapshot". Empty: it does not.
	Why []string
}

// Apply says for each snapshot whether it stays, and why: series by series, the newest first. It only looks at what it is given.
func (p *KeepPolicy) Apply(snapshots []Snapshot) []Kept {
	return p.apply(snapshots, time.Now())
}

func (p *KeepPolicy) apply(snapshots []Snapshot, now time.Time) []Kept {
	var order []string
	series := map[string][]Snapshot{}
	for _, s := range snapshots {
		key := ""
		if !p.Together {
			paths := slices.Clone(s.Paths)
			slices.Sort(paths)
			key = s.Host + "\x00" + strings.Join(paths, "\x00")
		}
		if series[key] == nil {
			order = append(order, key)
		}
		series[key] = append(series[key], s)
	}
	var kept []Kept
	for _, key := range order {
		kept = append(kept, p.series(series[key], now)...)
	}
	return kept
}

// series decides on snapshots that belong together.
func (p *KeepPolicy) series(list []Snapshot, now time.Time) []Kept {
	slices.SortStableFunc(list, func(a, b Snapshot) int { return b.Time.Compare(a.Time) })
	var newest time.Time
	for _, s := range list {
		if s.Time.After(newest) && s.Time.Before(now) {
			newest = s.Time
		}
	}
	rules := p.rules()
	kept := make([]Kept, len(list))
	for i, s := range list {
		kept[i].Snapshot = s
		why := &kept[i].Why
		if p.empty() {
			*why = []string{"policy is empty"}
			continue
		}
		for _, tags := range p.Tags {
			if hasAll(s.Tags, tags) {
				*why = append(*why, fmt.Sprintf("has tags [%s]", strings.Join(tags, ", ")))
			}
		}
		if p.Within > 0 && s.Time.After(newest.Add(-p.Within)) {
			*why = append(*why, "within "+p.Within.String())
		}
		for j := range rules {
			if rules[j].keeps(i, s.Time) {
				*why = append(*why, rules[j].why)
			}
		}
	}
	return kept
}

func (p *KeepPolicy) empty() bool {
	return p.Last == 0 && p.Hourly == 0 && p.Daily == 0 && p.Weekly == 0 && p.Monthly == 0 && p.Yearly == 0 && p.Within <= 0 && len(p.Tags) == 0
}

// keepRule keeps the newest snapshot of each of so many periods.
type keepRule struct {
	left   int
	period func(n int, t time.Time) int
	why    string
	last   int
}

func (p *KeepPolicy) rules() []keepRule {
	return []keepRule{
		{left: p.Last, last: -1, why: "last snapshot", period: func(n int, _ time.Time) int { return n }},
		{left: p.Hourly, last: -1, why: "hourly snapshot", period: func(_ int, t time.Time) int { return day(t)*100 + t.Hour() }},
		{left: p.Daily, last: -1, why: "daily snapshot", period: func(_ int, t time.Time) int { return day(t) }},
		{left: p.Weekly, last: -1, why: "weekly snapshot", period: func(_ int, t time.Time) int { y, w := t.ISOWeek(); return y*100 + w }},
		{left: p.Monthly, last: -1, why: "monthly snapshot", period: func(_ int, t time.Time) int { return day(t) / 100 }},
		{left: p.Yearly, last: -1, why: "yearly snapshot", period: func(_ int, t time.Time) int { return t.Year() }},
	}
}

// day is the date as a number.
func day(t time.Time) int { return (t.Year()*100+int(t.Month()))*100 + t.Day() }

func (k *keepRule) keeps(n int, t time.Time) bool {
	if k.left == 0 {
		return false
	}
	period := k.period(n, t)
	if period == k.last {
		return false
	}
	k.last = period
	k.left--
	return true
}
