package wrapblob

import (
	"gocloud.dev/blob/driver"

	"github.com/davit-project/davit/location"
)

// Upload is what the caller wants of a write beside its bytes, and where the driver confirms them: what BeforeWrite gets that asks for a *location.Upload. It
// can ask for nothing else.
func Upload(opts *driver.WriterOptions) (*location.Upload, error) {
	up := &location.Upload{}
	if opts.BeforeWrite == nil {
		return up, nil
	}
	return up, opts.BeforeWrite(func(i any) bool {
		p, ok := i.(**location.Upload)
		if ok {
			*p = up
		}
		return ok
	})
}
