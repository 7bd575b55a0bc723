package data

import (
	"context"
	"log/slog"

	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/location"
)

// byExec writes the repository in this process, with what the container sends.
func (b *backup) byExec(ctx context.Context, req *mover.Request) (result mover.Result, err error) {
	if b.d.Exec == nil {
		return mover.Result{}, errNothing("cluster.Executor")
	}
	warn := func(text string) { b.call.Log.LogAttrs(ctx, slog.LevelWarn, text, slog.String("pod", b.at.pod)) }
	src, err := newExecSource(ctx, b.d.Exec, b.at, b.folder, warn)
	if err != nil {
		return mover.Result{}, ended(ctx, err)
	}
	defer src.close()
	err = b.place.with(ctx, b.d, func(bucket *location.Bucket) error {
		repo, err := mover.Open(ctx, bucket, req, 0)
		if err != nil {
			return err
		}
		result, err = mover.Save(ctx, repo, src, req, mover.Env{
			Progress: func(p mover.Progress) { b.call.Report(ctx, progressOf(p)) },
			Warn:     warn,
		})
		return err
	})
	return result, ended(ctx, err)
}

// ended is the error of work in this process: why it was ended, if it was, else what went wrong.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return forGood(err)
}
