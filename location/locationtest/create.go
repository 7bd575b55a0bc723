package locationtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/davit-project/davit/location"
)

const races = 4

// race lets several writers create the same object at once, small ones and ones of several parts.
func race(ctx context.Context, b *location.Bucket) error {
	for i := range races {
		racers, size := 8, 10
		if i == races-1 {
			racers, size = 2, 9<<20
		}
		if err := raceOnce(ctx, b, fmt.Sprintf("%s/race/%d", home, i), racers, size); err != nil {
			return err
		}
	}
	return nil
}

func raceOnce(ctx context.Context, b *location.Bucket, key string, racers, size int) error {
	var start, end sync.WaitGroup
	start.Add(1)
	outcomes := make([]error, racers)
	for i := range racers {
		end.Go(func() {
			content := data(uint64(i), size)
			start.Wait()
			_, outcomes[i] = b.Write(ctx, key, bytes.NewReader(content), &location.WriteOptions{IfNotExist: true})
		})
	}
	start.Done()
	end.Wait()
	winner := -1
	for i, err := range outcomes {
		switch {
		case errors.Is(err, location.ErrExists):
		case err != nil:
			return fmt.Errorf("writer %d of %q: %w", i, key, err)
		case winner >= 0:
			return fmt.Errorf("writers %d and %d have both created %q", winner, i, key)
		default:
			winner = i
		}
	}
	if winner < 0 {
		return fmt.Errorf("none of %d writers has created %q", racers, key)
	}
	return holds(ctx, b, key, data(uint64(winner), size))
}
