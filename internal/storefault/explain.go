package storefault

import (
	"context"
	"errors"
	"strings"
)

// longest is how many bytes of a text an error holds, if nothing else is said.
const longest = 300

// Explainer explains the errors of one store.
type Explainer struct {
	// Diagnose finds out what an error means, and what the store or the way to it says. It must be set.
	Diagnose func(error) (Meaning, string)
	// Hide takes secrets out of a text: the store knows them and may repeat them. Nil takes out none.
	Hide func(string) string
	// Longest is how many bytes of a text of the store are quoted. Default 300.
	Longest int
	// Wraps has a failure wrap what it explains. It is for SDKs alone whose errors hold neither addresses with signatures nor tokens. Default false.
	Wraps bool
}

// Explain says what was tried, why it failed and what to do; not on which object, as the bucket above says that. A nil error and one that is explained stay as
// they are. Where the context has ended, its cause is the reason.
func (e *Explainer) Explain(ctx context.Context, verb string, err error) error {
	if err == nil {
		return nil
	}
	if _, done := errors.AsType[*Failure](err); done {
		return err
	}
	var f *Failure
	if cause := context.Cause(ctx); cause != nil {
		f = ended(verb, cause)
	} else {
		m, said := e.Diagnose(err)
		f = m.Failure(verb, e.hidden(said))
	}
	if e.Wraps {
		f.Cause = err
	}
	return f
}

// Quote is the beginning of a text of the store, without secrets.
func (e *Explainer) Quote(text string) string {
	most := e.Longest
	if most == 0 {
		most = longest
	}
	return Cut(e.hidden(text), most)
}

// Plain is the text of the innermost cause of an error, at most 300 bytes of it, without secrets.
func (e *Explainer) Plain(err error) string { return Cut(e.hidden(innermost(err)), longest) }

func (e *Explainer) hidden(text string) string {
	if e.Hide == nil {
		return text
	}
	return e.Hide(text)
}

// Cut keeps the beginning of a text, at most so many bytes. What is secret must be out of it before: a piece of it would not be recognised afterwards.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
