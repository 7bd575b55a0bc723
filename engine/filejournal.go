package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// maxEvent bounds one event in a journal file, in bytes.
const maxEvent = 16 << 20

// FileJournal keeps a run in a file of its own: one JSON object a line with its CRC-32C, synced to disk before Append returns. A line that was
// cut off by a crash is dropped when the file is opened again. While it is open the file is locked against other processes.
type FileJournal struct {
	mu     sync.Mutex
	file   *os.File
	size   int64
	events []Event
	broken error
	closed bool
}

var _ Journal = (*FileJournal)(nil)

// line is one line of the file.
type line struct {
	CRC   uint32          `json:"crc"`
	Event json.RawMessage `json:"event"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// OpenFile opens or creates the journal of one run. The folder must exist. It is ErrBusy while another process has it open, and an
// ErrJournal that names the line when the file is damaged other than by a crash at its end.
func OpenFile(path string) (*FileJournal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, journalError(err)
	}
	j := &FileJournal{file: f}
	if err := j.open(path); err != nil {
		if err = errors.Join(err, f.Close()); errors.Is(err, errReplaced) {
			return OpenFile(path)
		}
		return nil, err
	}
	return j, nil
}

// errReplaced means that the file that was opened is not the one of that name any more: its last owner removed it, being empty, before it
// could be locked. A run must not be kept in it.
var errReplaced = errors.New("the file was removed meanwhile")

func (j *FileJournal) open(path string) error {
	if err := lockFile(j.file); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrJournal, path, err)
	}
	if err := sameFile(j.file, path); err != nil {
		return journalError(err)
	}
	if err := j.read(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrJournal, path, err)
	}
	if err := j.file.Truncate(j.size); err != nil {
		return journalError(err)
	}
	return journalErrorOrNil(syncFolder(filepath.Dir(path)))
}

// sameFile tells errReplaced when the path does not lead to the file.
func sameFile(f *os.File, path string) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, named) {
		return errReplaced
	}
	return err
}

// ReadFile returns the events of a journal file, also of a run that is being executed. An absent file is fs.ErrNotExist.
func ReadFile(path string) (Journal, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, journalError(err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	j := &FileJournal{file: f}
	if err := j.read(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrJournal, path, err)
	}
	return &MemoryJournal{events: j.events}, nil
}

// read loads all whole lines and notes where they end.
func (j *FileJournal) read() error {
	r := bufio.NewReaderSize(j.file, 64<<10)
	for n := 1; ; n++ {
		data, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return nil // what is left was cut off by a crash
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		var l line
		var e Event
		if err := json.Unmarshal(data, &l); err != nil {
			return fmt.Errorf("line %d is damaged: %w", n, err)
		}
		if checksum(l.Event) != l.CRC {
			return fmt.Errorf("line %d is damaged: its checksum differs", n)
		}
		if err := json.Unmarshal(l.Event, &e); err != nil {
			return fmt.Errorf("line %d is damaged: %w", n, err)
		}
		if e.Seq != n {
			return fmt.Errorf("line %d holds event %d", n, e.Seq)
		}
		j.events = append(j.events, e)
		j.size += int64(len(data)) + 1
	}
}

// readLine returns a line without its end; io.EOF when there is no whole line.
func readLine(r *bufio.Reader) ([]byte, error) {
	var buf bytes.Buffer
	for {
		chunk, err := r.ReadSlice('\n')
		buf.Write(chunk)
		if buf.Len() > maxEvent+1 { // with the end of the line
			return nil, fmt.Errorf("longer than %d bytes", maxEvent)
		}
		switch {
		case err == nil:
			return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// Append writes the event and syncs it. After an error the file is as before; when even that cannot be had, every later call fails.
func (j *FileJournal) Append(_ context.Context, e Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return journalError(err)
	}
	data, err := json.Marshal(line{checksum(raw), raw})
	if err != nil {
		return journalError(err)
	}
	if len(data) > maxEvent {
		return fmt.Errorf("%w: the event takes %d bytes, at most %d can be kept", ErrJournal, len(data), maxEvent)
	}
	data = append(data, '\n')
	if _, err = j.file.WriteAt(data, j.size); err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		err = journalError(err)
		if undo := j.file.Truncate(j.size); undo != nil {
			j.broken = errors.Join(err, undo)
		}
		return err
	}
	j.size += int64(len(data))
	j.events = append(j.events, e)
	return nil
}

// Events returns the events in the file.
func (j *FileJournal) Events(context.Context) ([]Event, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Event(nil), j.events...), nil
}

// Close unlocks and closes the file. A journal without any event is removed.
func (j *FileJournal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	if j.size == 0 && !j.closed {
		if err = os.Remove(j.file.Name()); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	j.closed = true
	return errors.Join(err, j.file.Close())
}

func journalErrorOrNil(err error) error {
	if err == nil {
		return nil
	}
	return journalError(err)
}

// syncFolder makes a new file's name durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
