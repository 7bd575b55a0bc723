package snapshottest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/davit-project/davit/snapshot"
)

func checkerChecks() []check {
	return []check{{"a check tells what a request would", checkTells}}
}

func listerChecks() []check {
	return []check{{"lists have what carries the labels", lists}}
}

func importerChecks() []check {
	return []check{
		{"an imported snapshot is the storage's", imported},
		{"a second import changes nothing", secondImport},
		{"a token is good for one import", importOfAnother},
	}
}

func contentsChecks() []check {
	return []check{
		{"the content of a snapshot stays", contentStays},
		{"deleting no content is no error", noContent},
		{"the content goes with its snapshot", contentGoes},
	}
}

func retainChecks() []check {
	return []check{{"the storage's snapshot is retained", retained}}
}

func checkTells(ctx context.Context, r *run) error {
	checker := r.Driver.(snapshot.Checker)
	if err := want(snapshot.ErrNotFound, checker.Check(ctx, r.ofAbsentVolume()), "check of an absent volume"); err != nil {
		return err
	}
	if err := want(snapshot.ErrNoClass, checker.Check(ctx, r.ofAbsentClass()), "check of an absent class"); err != nil {
		return err
	}
	noToken := r.request("a")
	noToken.Token = ""
	if err := want(snapshot.ErrInvalid, checker.Check(ctx, noToken), "check of a request without token"); err != nil {
		return err
	}
	if err := checker.Check(ctx, r.request("a")); err != nil {
		return fmt.Errorf("check of a good request: %w", err)
	}
	if err := r.absent(ctx, r.ref("a")); err != nil {
		return fmt.Errorf("a check touches nothing: %w", err)
	}
	return nil
}

func lists(ctx context.Context, r *run) error {
	lister := r.Driver.(snapshot.Lister)
	for i, name := range []string{"b", "a"} {
		req := r.request(name)
		req.Labels["number"] = fmt.Sprint(i)
		if err := r.create(ctx, req); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		labels map[string]string
		want   string
	}{
		{map[string]string{"davit-check": r.id}, "[a b]"},
		{map[string]string{"davit-check": r.id, "number": "0"}, "[b]"},
		{map[string]string{"davit-check": r.id, "number": "2"}, "[]"},
		{map[string]string{"davit-check": r.id, "absent": ""}, "[]"},
	} {
		list, err := lister.List(ctx, r.Volume.Namespace, c.labels)
		if err != nil {
			return fmt.Errorf("list %v: %w", c.labels, err)
		}
		names := []string{}
		for _, st := range list {
			name, ours := strings.CutPrefix(st.Name, r.id+"-")
			if !ours || st.Namespace != r.Volume.Namespace || st.Token != r.id {
				return fmt.Errorf("list %v: there is %q of token %q in it", c.labels, st.Ref, st.Token)
			}
			names = append(names, name)
		}
		if got := fmt.Sprint(names); got != c.want {
			return fmt.Errorf("list %v: want %s, got %s", c.labels, c.want, got)
		}
	}
	return nil
}

// importAs asks for a second snapshot of one of the storage, which is removed after the check, and waits until it is ready.
func (r *run) importAs(ctx context.Context, st snapshot.Status) (snapshot.ImportRequest, snapshot.Status, error) {
	req := snapshot.ImportRequest{
		Ref: snapshot.Ref{Namespace: r.OtherNamespace, Name: r.id + "-import"}, Driver: st.Driver, Handle: st.Handle, Class: r.Class, Policy: snapshot.Retain, Token: r.id,
	}
	var got snapshot.Status
	r.undo = append(r.undo, func(ctx context.Context) error {
		err := r.remove(ctx, req.Ref, snapshot.Retain)
		if contents, ok := r.Driver.(snapshot.Contents); ok && got.Content != "" {
			err = errors.Join(err, r.removeContent(ctx, contents, got.Content))
		}
		return err
	})
	if err := r.Driver.(snapshot.Importer).Import(ctx, req); err != nil {
		return req, got, fmt.Errorf("import: %w", err)
	}
	var err error
	got, err = r.untilReady(ctx, req.Ref)
	return req, got, err
}

func (r *run) removeContent(ctx context.Context, contents snapshot.Contents, name string) error {
	if err := contents.DeleteContent(ctx, name); err != nil {
		return fmt.Errorf("delete content %q: %w", name, err)
	}
	return r.contentGone(ctx, contents, name)
}

func (r *run) contentGone(ctx context.Context, contents snapshot.Contents, name string) error {
	return r.until(ctx, fmt.Sprintf("content %q is gone", name), func(ctx context.Context) (bool, error) {
		has, err := contents.HasContent(ctx, name)
		return !has, err
	})
}

func (r *run) contentIs(ctx context.Context, contents snapshot.Contents, name string, there bool) error {
	has, err := contents.HasContent(ctx, name)
	if err == nil && has != there {
		err = fmt.Errorf("content %q is there: %t, want %t", name, has, there)
	}
	return err
}

func imported(ctx context.Context, r *run) error {
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	_, got, err := r.importAs(ctx, st)
	if err != nil {
		return err
	}
	switch {
	case got.Handle != st.Handle || got.Driver != st.Driver:
		return fmt.Errorf("it is %q of driver %q, want %q of %q", got.Handle, got.Driver, st.Handle, st.Driver)
	case got.Token != r.id:
		return fmt.Errorf("its token is %q, want %q", got.Token, r.id)
	case got.Policy != snapshot.Retain:
		return fmt.Errorf("its policy is %q, want %q", got.Policy, snapshot.Retain)
	case got.Volume != "":
		return fmt.Errorf("it says that it is of volume %q", got.Volume)
	}
	return r.same(ctx, st)
}

// importOfAnother checks that a request for another handle is not taken for one that was made before.
func importOfAnother(ctx context.Context, r *run) error {
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	req, got, err := r.importAs(ctx, st)
	if err != nil {
		return err
	}
	req.Handle += "-other"
	if err := want(snapshot.ErrExists, r.Driver.(snapshot.Importer).Import(ctx, req), "an import of another handle"); err != nil {
		return err
	}
	return r.same(ctx, got)
}

func secondImport(ctx context.Context, r *run) error {
	importer := r.Driver.(snapshot.Importer)
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	req, got, err := r.importAs(ctx, st)
	if err != nil {
		return err
	}
	if err := importer.Import(ctx, req); err != nil {
		return fmt.Errorf("the same import again: %w", err)
	}
	req.Token += "-other"
	if err := want(snapshot.ErrExists, importer.Import(ctx, req), "an import with another token"); err != nil {
		return err
	}
	for _, bad := range []snapshot.ImportRequest{{Ref: r.ref("bad"), Driver: st.Driver, Token: r.id}, {Ref: r.ref("bad"), Driver: st.Driver, Handle: st.Handle}} {
		if err := want(snapshot.ErrInvalid, importer.Import(ctx, bad), "an import without handle or token"); err != nil {
			return err
		}
	}
	if err := r.absent(ctx, r.ref("bad")); err != nil {
		return err
	}
	return r.same(ctx, got)
}

func contentStays(ctx context.Context, r *run) error {
	contents := r.Driver.(snapshot.Contents)
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	if st.Content == "" {
		return errors.New("it is ready and its content is not known")
	}
	if err := want(snapshot.ErrInvalid, contents.DeleteContent(ctx, st.Content), "delete of the content of a snapshot that exists"); err != nil {
		return err
	}
	if err := r.contentIs(ctx, contents, st.Content, true); err != nil {
		return err
	}
	return r.same(ctx, st)
}

func noContent(ctx context.Context, r *run) error {
	contents := r.Driver.(snapshot.Contents)
	if err := contents.DeleteContent(ctx, r.id); err != nil {
		return fmt.Errorf("delete of an absent content: %w", err)
	}
	return r.contentIs(ctx, contents, r.id, false)
}

// contentGoes checks the policy Delete to its end, where it is the class's: a content that is to go only since just now may stay.
func contentGoes(ctx context.Context, r *run) error {
	contents := r.Driver.(snapshot.Contents)
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	if st.Policy != snapshot.Delete {
		return nil
	}
	if err := r.remove(ctx, st.Ref, snapshot.Delete); err != nil {
		return err
	}
	return r.contentGone(ctx, contents, st.Content)
}

// retained deletes a snapshot but not the storage's, and shows that it is there by importing it.
func retained(ctx context.Context, r *run) error {
	contents, importer := r.Driver.(snapshot.Contents), r.Driver.(snapshot.Importer)
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	if err := r.remove(ctx, st.Ref, snapshot.Retain); err != nil {
		return err
	}
	if err := r.contentIs(ctx, contents, st.Content, true); err != nil {
		return fmt.Errorf("after a delete with policy Retain: %w", err)
	}
	if err := r.removeContent(ctx, contents, st.Content); err != nil {
		return err
	}
	again := snapshot.ImportRequest{Ref: r.ref("again"), Driver: st.Driver, Handle: st.Handle, Class: r.Class, Policy: snapshot.Delete, Token: r.id}
	r.undo = append(r.undo, func(ctx context.Context) error { return r.remove(ctx, again.Ref, snapshot.Delete) })
	if err := importer.Import(ctx, again); err != nil {
		return fmt.Errorf("import what was retained: %w", err)
	}
	got, err := r.untilReady(ctx, again.Ref)
	if err != nil {
		return fmt.Errorf("import what was retained: %w", err)
	}
	if err := r.remove(ctx, again.Ref, ""); err != nil {
		return err
	}
	return r.contentGone(ctx, contents, got.Content)
}
