//go:build unix

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	// mapSize is how large the file can grow while a snapshot is held: bbolt cannot enlarge its memory map under a reader,
	// so a writer would have to wait.
	mapSize = 1 << 30
	// maxHold is how long a snapshot is held for somebody who never releases it.
	maxHold = 10 * time.Minute
	// loadBatch is the number of records in one transaction of a load.
	loadBatch = 1000
)

var (
	recordsBucket  = []byte("records")
	incomingBucket = []byte("incoming")
)

// store keeps numbered records in a bbolt file.
type store struct {
	db *bolt.DB

	mu        sync.Mutex
	snapshots map[string]*snapshot
	dumps     uint64
}

// snapshot is a read transaction: the records as they were when it began, whatever is written later.
type snapshot struct {
	mu    sync.Mutex
	tx    *bolt.Tx
	count uint64
	timer *time.Timer
}

func openStore(path string) (*store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 5 * time.Second, InitialMmapSize: mapSize})
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(recordsBucket)
		return err
	})
	return &store{db: db, snapshots: map[string]*snapshot{}}, err
}

func (s *store) close() error {
	for name := range s.snapshots {
		_ = s.release(name)
	}
	return s.db.Close()
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// put is durable when it returns.
func (s *store) put(numbers []uint64, values [][]byte) error {
	return s.db.Update(func(tx *bolt.Tx) error { return putAll(tx.Bucket(recordsBucket), numbers, values) })
}

func putAll(b *bolt.Bucket, numbers []uint64, values [][]byte) error {
	b.FillPercent = 0.9 // numbers go up
	for i, n := range numbers {
		if err := b.Put(key(n), values[i]); err != nil {
			return fmt.Errorf("put record %d: %w", n, err)
		}
	}
	return nil
}

// countIn returns how many records there are. Numbers have no gaps, so that the last one tells.
func countIn(tx *bolt.Tx) uint64 {
	last, _ := tx.Bucket(recordsBucket).Cursor().Last()
	if last == nil {
		return 0
	}
	return binary.BigEndian.Uint64(last)
}

func (s *store) count() (count uint64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		count = countIn(tx)
		return nil
	})
	return count, err
}

// snapshot begins a snapshot that is held until release. One of that name that is held already is left as it is.
func (s *store) snapshot(name string) (count uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.snapshots[name]; held != nil {
		return held.count, nil
	}
	tx, err := s.db.Begin(false)
	if err != nil {
		return 0, err
	}
	count = countIn(tx)
	s.snapshots[name] = &snapshot{tx: tx, count: count, timer: time.AfterFunc(maxHold, func() { _ = s.release(name) })}
	return count, nil
}

// release ends a snapshot, after the dump that reads it. One that is gone is no error.
func (s *store) release(name string) error {
	s.mu.Lock()
	snap := s.snapshots[name]
	delete(s.snapshots, name)
	s.mu.Unlock()
	if snap == nil {
		return nil
	}
	snap.timer.Stop()
	snap.mu.Lock()
	defer snap.mu.Unlock()
	tx := snap.tx
	snap.tx = nil
	return tx.Rollback()
}

// dump writes a snapshot.
func (s *store) dump(name string, w io.Writer) error {
	s.mu.Lock()
	snap := s.snapshots[name]
	s.dumps++
	s.mu.Unlock()
	if snap == nil {
		return fmt.Errorf("there is no snapshot %q", name)
	}
	snap.mu.Lock()
	defer snap.mu.Unlock()
	if snap.tx == nil {
		return fmt.Errorf("snapshot %q was released", name)
	}
	out := newDumpWriter(w)
	err := snap.tx.Bucket(recordsBucket).ForEach(func(k, v []byte) error { return out.record(binary.BigEndian.Uint64(k), v) })
	if err != nil {
		return err
	}
	return out.end()
}

// load replaces all records by those of a dump, once the whole of it has arrived and is found right; before that nothing is changed.
func (s *store) load(r io.Reader) (uint64, error) {
	if err := s.db.Update(resetIncoming); err != nil {
		return 0, err
	}
	in := newDumpReader(r)
	for end := false; !end; {
		var numbers []uint64
		var values [][]byte
		var err error
		if numbers, values, end, err = readBatch(in); err == nil {
			err = s.db.Update(func(tx *bolt.Tx) error {
				return putAll(tx.Bucket(incomingBucket).Bucket(recordsBucket), numbers, values)
			})
		}
		if err != nil {
			return 0, errors.Join(err, s.db.Update(dropIncoming))
		}
	}
	err := s.db.Update(func(tx *bolt.Tx) error {
		if err := tx.DeleteBucket(recordsBucket); err != nil {
			return err
		}
		if err := tx.MoveBucket(recordsBucket, tx.Bucket(incomingBucket), nil); err != nil {
			return err
		}
		return dropIncoming(tx)
	})
	return in.count, err
}

func dropIncoming(tx *bolt.Tx) error {
	if tx.Bucket(incomingBucket) == nil {
		return nil
	}
	return tx.DeleteBucket(incomingBucket)
}

func resetIncoming(tx *bolt.Tx) error {
	if err := dropIncoming(tx); err != nil {
		return err
	}
	b, err := tx.CreateBucket(incomingBucket)
	if err == nil {
		_, err = b.CreateBucket(recordsBucket)
	}
	return err
}

// readBatch returns the next records of a dump; end is true after the last one.
func readBatch(in *dumpReader) (numbers []uint64, values [][]byte, end bool, err error) {
	for range loadBatch {
		n, value, err := in.next()
		if errors.Is(err, io.EOF) {
			return numbers, values, true, nil
		}
		if err != nil {
			return nil, nil, false, err
		}
		numbers, values = append(numbers, n), append(values, bytes.Clone(value))
	}
	return numbers, values, false, nil
}

// wipe removes every record.
func (s *store) wipe() (uint64, error) {
	count, err := s.count()
	if err != nil {
		return 0, err
	}
	return count, s.db.Update(func(tx *bolt.Tx) error {
		if err := tx.DeleteBucket(recordsBucket); err != nil {
			return err
		}
		_, err := tx.CreateBucket(recordsBucket)
		return err
	})
}

// check reads all pages of the file and all records, which must be numbered from 1 without gaps.
func (s *store) check() (count uint64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		var faults []error
		for err := range tx.Check() {
			faults = append(faults, err)
		}
		if err := errors.Join(faults...); err != nil {
			return err
		}
		return tx.Bucket(recordsBucket).ForEach(func(k, v []byte) error {
			count++
			if n := binary.BigEndian.Uint64(k); n != count {
				return fmt.Errorf("record %d is missing, record %d is there", count, n)
			}
			return checkRecord(count, v)
		})
	})
	return count, err
}

// dumpsBegun counts since the store was opened.
func (s *store) dumpsBegun() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dumps
}
