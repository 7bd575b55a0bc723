package s3

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/gcerrors"
)

// assembly is an object that grows by parts, and by segments when there are too many of these.
type assembly struct {
	b      *bucket
	ctx    context.Context
	lender *lender
	main   *multipart
	// segment is the temporary object that takes the parts now.
	segment *multipart
}

// assemble begins the object.
func (b *bucket) assemble(ctx context.Context, o *object, l *lender) (*assembly, error) {
	main, err := b.begin(ctx, o, l)
	if err != nil {
		return nil, err
	}
	return &assembly{b: b, ctx: ctx, lender: l, main: main}, nil
}

// add uploads a part in the background. The buffer goes back to its lender, whatever happens.
func (a *assembly) add(part *lent) error {
	if len(a.main.parts) < a.b.limits.direct {
		return a.main.add(part)
	}
	if a.segment != nil && len(a.segment.parts) == a.b.limits.segment {
		if err := a.join(); err != nil {
			a.lender.put(part)
			return err
		}
	}
	if a.segment == nil {
		if len(a.main.parts) == maxParts {
			a.lender.put(part)
			return means(nil, gcerrors.FailedPrecondition, "split it").Failure("write", "the object is larger than S3 allows")
		}
		// Some stores take the checksum of a copy from its source: it must be that of all its bytes, not of its parts.
		o := &object{key: a.b.temporaryKey(), id: newID(), metadata: map[string]string{}, sumType: types.ChecksumTypeFullObject}
		o.metadata[identity] = o.id
		s, err := a.b.begin(a.ctx, o, a.lender)
		if err != nil {
			a.lender.put(part)
			return err
		}
		a.segment = s
	}
	return a.segment.add(part)
}

// last is add for the rest of the stream, which may be shorter than a part: it then is the last part of what it is added to.
func (a *assembly) last(part *lent) error { return a.add(part) }

// join makes the segment a part of the object.
func (a *assembly) join() error {
	s := a.segment
	done, err := s.commit()
	if err != nil {
		return err
	}
	err = a.main.copyIn(s.o.key, s.size, done)
	a.segment = nil
	uctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), undoTime)
	defer cancel()
	return errors.Join(err, a.b.remove(uctx, s.o.key, done.version))
}

func (a *assembly) commit() (outcome, error) {
	if a.segment != nil {
		if err := a.join(); err != nil {
			return outcome{}, err
		}
	}
	return a.main.commit()
}

// abort removes the parts and the temporary object. A second call does no harm.
func (a *assembly) abort() error {
	err := a.main.abort()
	if a.segment != nil {
		err = errors.Join(err, a.segment.abort())
	}
	return err
}
