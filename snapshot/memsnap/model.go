package memsnap

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/davit-project/davit/snapshot"
)

type volume struct {
	content, size, token string
	bound                bool
	// snapshot is the name of the one it is restored from; from is its object, which it waits for.
	snapshot string
	from     *object
	// asked, and deleted once it is asked for.
	asked, deleted time.Time
}

// object is a snapshot's object.
type object struct {
	volume               snapshot.Ref
	uid                  string
	class, token, handle string
	content              string
	labels               map[string]string
	confirmed            bool
	// stale keeps the content from following.
	stale bool
	// cutAt is when it is going to be cut, or was imported.
	cutAt, deleted time.Time
}

// content is the object that stands for a stored snapshot.
type content struct {
	handle  string
	policy  snapshot.Policy
	deleted time.Time
}

// stored is a snapshot in the storage.
type stored struct {
	data, size string
	cutAt      time.Time
}

// advance brings everything to the present. Whatever changes a volume calls it before, so that what is cut in the past is cut from the volume of then.
func (d *Driver) advance() {
	now := time.Now()
	for ref, o := range d.snapshots {
		d.cut(ref, o, now)
		if over(o.deleted, d.opts.DeleteAfter, now) {
			d.forget(ref, o)
		}
	}
	for name, c := range d.contents {
		if over(c.deleted, d.opts.DeleteAfter, now) {
			delete(d.contents, name)
			if c.policy == snapshot.Delete {
				delete(d.stored, c.handle)
			}
		}
	}
	for ref, v := range d.volumes {
		if over(v.deleted, d.opts.DeleteAfter, now) {
			delete(d.volumes, ref)
		} else if !d.opts.WaitForPod && over(v.asked, d.opts.BindAfter, now) {
			d.bind(v)
		}
	}
}

// plan says when a snapshot that is asked for now is cut.
func (d *Driver) plan() time.Time {
	begin := time.Now()
	if d.opts.OneByOne && d.busyUntil.After(begin) {
		begin = d.busyUntil
	}
	d.busyUntil = begin.Add(d.opts.CutAfter)
	return d.busyUntil
}

// cut fixes the content of a snapshot whose time has come.
func (d *Driver) cut(ref snapshot.Ref, o *object, now time.Time) {
	v := d.volumes[o.volume]
	if o.handle != "" || v == nil || d.problems[ref] != "" || !over(o.cutAt, 0, now) || over(o.deleted, 0, o.cutAt) {
		return
	}
	o.handle, o.content = d.next("handle"), d.next("content")
	d.stored[o.handle] = &stored{data: v.content, size: v.size, cutAt: o.cutAt}
	d.contents[o.content] = &content{handle: o.handle, policy: d.opts.Policy}
}

// forget ends a deleted snapshot's object; its content goes next, if it goes.
func (d *Driver) forget(ref snapshot.Ref, o *object) {
	delete(d.snapshots, ref)
	if c := d.contents[o.content]; c != nil && c.policy == snapshot.Delete && c.deleted.IsZero() && !o.stale {
		c.deleted = o.deleted.Add(d.opts.DeleteAfter)
	}
}

// bind gives a restored volume its storage, once the snapshot is ready.
func (d *Driver) bind(v *volume) {
	if v.bound || v.from == nil || !d.ready(v.from) {
		return
	}
	v.content, v.bound = d.stored[v.from.handle].data, true
}

func (d *Driver) ready(o *object) bool {
	s := d.stored[o.handle]
	return s != nil && over(o.cutAt, d.opts.ReadyAfter, time.Now())
}

// use is what a pod does to a volume.
func (d *Driver) use(ref snapshot.Ref) (*volume, error) {
	d.advance()
	v := d.volumes[ref]
	if v == nil {
		return nil, fmt.Errorf("volume %q: %w", ref, snapshot.ErrNotFound)
	}
	if over(v.asked, d.opts.BindAfter, time.Now()) {
		d.bind(v)
	}
	if !v.bound {
		return nil, fmt.Errorf("volume %q is not bound", ref)
	}
	return v, nil
}

func (d *Driver) status(ref snapshot.Ref, o *object) snapshot.Status {
	st := snapshot.Status{
		Ref: ref, UID: o.uid, Volume: o.volume.Name, Class: o.class, Driver: Name, Content: o.content, Handle: o.handle,
		Problem: d.problems[ref], Token: o.token, Confirmed: o.confirmed, Deleting: !o.deleted.IsZero(), Labels: maps.Clone(o.labels),
	}
	if c := d.contents[o.content]; c != nil {
		st.Policy = c.policy
	}
	s := d.stored[o.handle]
	switch {
	case s != nil:
		st.CutAt, st.RestoreSize, st.Ready = s.cutAt, s.size, d.ready(o) && st.Problem == ""
	case o.handle != "":
		st.Problem = cmp.Or(st.Problem, fmt.Sprintf("the storage has no snapshot %q", o.handle))
	case d.volumes[o.volume] == nil:
		st.Problem = cmp.Or(st.Problem, fmt.Sprintf("the volume %q is gone", o.volume.Name))
	}
	return st
}

// over tells whether the time is over that began at from; it never is without a beginning.
func over(from time.Time, after time.Duration, now time.Time) bool {
	return !from.IsZero() && !now.Before(from.Add(after))
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
