//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package repository

import (
	"context"
	"errors"
	"fmt"
)

func (r *Repository) restore(context.Context, *restoreTask) (RestoreSummary, error) {
	return RestoreSummary{}, fmt.Errorf("on this system: %w", errors.ErrUnsupported)
}
