package wrapblob

import (
	"io"

	"gocloud.dev/blob/driver"

	"github.com/davit-project/davit/location"
)

// Versioned is a reader that knows which version of the object it reads, and says what broke.
type Versioned struct {
	driver.Reader
	// ETag is that version; empty where the store names none.
	ETag location.ETag
	// Explain makes the reader's errors; io.EOF is none of them.
	Explain func(error) error
}

var _ driver.Reader = (*Versioned)(nil)

// Read reads.
func (r *Versioned) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped io.EOF is a failure
		err = r.Explain(err)
	}
	return n, err
}

// As answers for a *location.ETag, beside what the wrapped reader does.
func (r *Versioned) As(i any) bool {
	p, ok := i.(*location.ETag)
	if !ok {
		return r.Reader.As(i)
	}
	if r.ETag != "" {
		*p = r.ETag
	}
	return r.ETag != ""
}
