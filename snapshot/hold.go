package snapshot

import "context"

// Holder holds an application still.
type Holder interface {
	// Hold returns once the application is held. When it fails, or ctx ends first, it has let the application go on.
	Hold(ctx context.Context) (Held, error)
}

// Held is an application that is held.
type Held interface {
	// Lost is closed when the application is not held any more although Release was not called.
	Lost() <-chan struct{}
	// Release lets the application go on. Nil means that it was held until now. It is called once.
	Release(ctx context.Context) error
}
