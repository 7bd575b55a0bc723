package snapshottest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/davit-project/davit/snapshot"
)

func snapshotChecks() []check {
	return []check{
		{"a snapshot is cut and then ready", cutAndReady},
		{"the request is remembered", remembered},
		{"a second request changes nothing", secondRequest},
		{"a name that is taken is refused", taken},
		{"of racing requests one wins", race},
		{"an absent snapshot is not found", absent},
		{"an absent volume is not found", absentVolume},
		{"an absent class does not fit", absentClass},
		{"a request without token is invalid", noToken},
		{"confirm is remembered", confirm},
		{"a deleted snapshot goes", deleted},
		{"deleting nothing is no error", deleteNothing},
		{"another of the name is left alone", anotherOfTheName},
		{"an ended context is not an answer", ended},
	}
}

// cutAndReady checks that a cut stays where it was, and that what is ready is cut.
func cutAndReady(ctx context.Context, r *run) error {
	req := r.request("a")
	if err := r.create(ctx, req); err != nil {
		return err
	}
	var before snapshot.Status
	var cut time.Time
	return r.until(ctx, "it is ready", func(ctx context.Context) (bool, error) {
		st, err := r.Driver.Get(ctx, req.Ref)
		switch {
		case err != nil:
			return false, err
		case st.Ready && st.CutAt.IsZero():
			return false, errors.New("it is ready and was never cut")
		case !cut.IsZero() && cut.Sub(st.CutAt).Abs() >= time.Second:
			return false, fmt.Errorf("it was cut at %s, and now at %s", cut, st.CutAt)
		case before.Handle != "" && st.Handle != before.Handle:
			return false, fmt.Errorf("the handle was %q and is now %q", before.Handle, st.Handle)
		case st.Confirmed:
			return false, errors.New("it is confirmed, which nobody did")
		case st.Deleting:
			return false, errors.New("it is being deleted, which nobody asked for")
		}
		if before = st; cut.IsZero() {
			cut = st.CutAt
		}
		return st.Ready, nil
	})
}

func remembered(ctx context.Context, r *run) error {
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, got, want string }{
		{"name", st.Namespace + "/" + st.Name, r.ref("a").String()},
		{"volume", st.Volume, r.Volume.Name},
		{"token", st.Token, r.id},
		{"label", st.Labels["davit-check"], r.id},
	} {
		if f.got != f.want {
			return fmt.Errorf("its %s is %q, want %q", f.name, f.got, f.want)
		}
	}
	for _, f := range []struct{ name, got string }{{"class", st.Class}, {"driver", st.Driver}, {"handle", st.Handle}} {
		if f.got == "" {
			return fmt.Errorf("it is ready and its %s is not known", f.name)
		}
	}
	if r.Class != "" && st.Class != r.Class {
		return fmt.Errorf("its class is %q, want %q", st.Class, r.Class)
	}
	if st.Policy != snapshot.Delete && st.Policy != snapshot.Retain {
		return fmt.Errorf("it is ready and its policy is %q", st.Policy)
	}
	return nil
}

func secondRequest(ctx context.Context, r *run) error {
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	if err := r.Driver.Create(ctx, r.request("a")); err != nil {
		return fmt.Errorf("the same request again: %w", err)
	}
	return r.same(ctx, st)
}

// same checks that a snapshot is still what it was.
func (r *run) same(ctx context.Context, st snapshot.Status) error {
	now, err := r.Driver.Get(ctx, st.Ref)
	if err != nil {
		return fmt.Errorf("snapshot %q: %w", st.Ref, err)
	}
	if was, is := identity(st), identity(now); was != is {
		return fmt.Errorf("snapshot %q was %s, and is now %s", st.Ref, was, is)
	}
	return nil
}

// identity is what a snapshot that is ready keeps.
func identity(st snapshot.Status) string {
	return fmt.Sprintf("token %q, handle %q, content %q, cut at %s, ready %t, deleting %t", st.Token, st.Handle, st.Content, st.CutAt.UTC(), st.Ready, st.Deleting)
}

func taken(ctx context.Context, r *run) error {
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	other := r.request("a")
	other.Token += "-other"
	if err := want(snapshot.ErrExists, r.Driver.Create(ctx, other), "a request with another token"); err != nil {
		return err
	}
	return r.same(ctx, st)
}

// race lets two askers ask twice each at the same time.
func race(ctx context.Context, r *run) error {
	req := r.request("a")
	r.undo = append(r.undo, func(ctx context.Context) error { return r.remove(ctx, req.Ref, snapshot.Delete) })
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			mine := req
			mine.Token = fmt.Sprintf("%s-%d", r.id, i%2)
			errs[i] = r.Driver.Create(ctx, mine)
		})
	}
	wg.Wait()
	st, err := r.untilReady(ctx, req.Ref)
	if err != nil {
		return err
	}
	for i, err := range errs {
		token := fmt.Sprintf("%s-%d", r.id, i%2)
		if token != st.Token {
			err = want(snapshot.ErrExists, err, "the request of the one who came too late")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func absent(ctx context.Context, r *run) error { return r.absent(ctx, r.ref("a")) }

// refused checks that a request fails with target and makes nothing.
func (r *run) refused(ctx context.Context, target error, req snapshot.Request) error {
	if err := want(target, r.create(ctx, req), "create"); err != nil {
		return err
	}
	return r.absent(ctx, req.Ref)
}

func (r *run) ofAbsentVolume() snapshot.Request {
	req := r.request("a")
	req.Volume = r.id
	return req
}

func (r *run) ofAbsentClass() snapshot.Request {
	req := r.request("a")
	req.Class = r.id
	return req
}

func absentVolume(ctx context.Context, r *run) error {
	return r.refused(ctx, snapshot.ErrNotFound, r.ofAbsentVolume())
}

func absentClass(ctx context.Context, r *run) error {
	return r.refused(ctx, snapshot.ErrNoClass, r.ofAbsentClass())
}

func noToken(ctx context.Context, r *run) error {
	req := r.request("a")
	req.Token = ""
	return r.refused(ctx, snapshot.ErrInvalid, req)
}

func confirm(ctx context.Context, r *run) error {
	if err := want(snapshot.ErrNotFound, r.Driver.Confirm(ctx, r.ref("absent"), "absent"), "confirm of an absent snapshot"); err != nil {
		return err
	}
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	for range 2 {
		if err := r.Driver.Confirm(ctx, st.Ref, st.UID); err != nil {
			return fmt.Errorf("confirm: %w", err)
		}
		now, err := r.Driver.Get(ctx, st.Ref)
		if err != nil {
			return err
		}
		if !now.Confirmed {
			return errors.New("it is not confirmed after a call of Confirm")
		}
	}
	return r.same(ctx, st)
}

// deleted removes a snapshot that is ready and one that was asked for just now.
func deleted(ctx context.Context, r *run) error {
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	if err := r.create(ctx, r.request("b")); err != nil {
		return err
	}
	policy := snapshot.Policy("")
	if st.Policy != snapshot.Delete {
		policy = snapshot.Delete // nothing is to be left in the storage
	}
	if err := r.remove(ctx, r.ref("a"), policy); err != nil {
		return err
	}
	if err := r.remove(ctx, r.ref("b"), snapshot.Delete); err != nil {
		return err
	}
	again, err := r.ready(ctx)
	if err != nil {
		return fmt.Errorf("a new snapshot of the same name: %w", err)
	}
	if again.Handle == st.Handle {
		return fmt.Errorf("a new snapshot of the same name has the handle of the old one, %q", st.Handle)
	}
	return nil
}

// anotherOfTheName checks that what is meant for a snapshot that is gone does not meet the one that has its name now.
func anotherOfTheName(ctx context.Context, r *run) error {
	old, err := r.ready(ctx)
	if err != nil {
		return err
	}
	if err := r.remove(ctx, old.Ref, snapshot.Delete); err != nil {
		return err
	}
	st, err := r.ready(ctx)
	if err != nil {
		return fmt.Errorf("a new snapshot of the same name: %w", err)
	}
	if old.UID == "" || st.UID == old.UID {
		return fmt.Errorf("a new snapshot of the same name has the UID %q, the old one had %q", st.UID, old.UID)
	}
	if err := want(snapshot.ErrExists, r.Driver.Confirm(ctx, st.Ref, old.UID), "confirm of the one that is gone"); err != nil {
		return err
	}
	for _, policy := range []snapshot.Policy{"", snapshot.Delete, snapshot.Retain} {
		if err := r.Driver.Delete(ctx, st.Ref, old.UID, policy); err != nil {
			return fmt.Errorf("delete of the one that is gone, with policy %q: %w", policy, err)
		}
	}
	return r.same(ctx, st)
}

func deleteNothing(ctx context.Context, r *run) error {
	for _, policy := range []snapshot.Policy{"", snapshot.Delete, snapshot.Retain} {
		if err := r.Driver.Delete(ctx, r.ref("a"), "", policy); err != nil {
			return fmt.Errorf("delete with policy %q: %w", policy, err)
		}
	}
	return nil
}

// ended checks that a call that was not made to its end says nothing about the snapshot.
func ended(ctx context.Context, r *run) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, got := r.Driver.Get(ctx, r.ref("a"))
	for method, err := range map[string]error{"get": got, "create": r.create(ctx, r.ofAbsentVolume()), "delete": r.Driver.Delete(ctx, r.ref("a"), "", "")} {
		if err == nil {
			return fmt.Errorf("%s with a context that has ended: got no error", method)
		}
		for _, answer := range []error{snapshot.ErrNotFound, snapshot.ErrExists, snapshot.ErrInvalid, snapshot.ErrDenied, snapshot.ErrFailed} {
			if errors.Is(err, answer) {
				return fmt.Errorf("%s with a context that has ended pretends to know something: %w", method, err)
			}
		}
	}
	return nil
}
