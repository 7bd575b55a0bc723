package mover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The operations.
const (
	Backup  = "backup"
	Restore = "restore"
)

// MaxRequest bounds the JSON of a request, in bytes: more than any Kubernetes object can hold.
const MaxRequest = 3 << 20

// Request is what is to be done. It holds secrets: no way of printing it shows more than the operation.
type Request struct {
	// Op is Backup or Restore.
	Op string `json:"op"`
	// Profile is the JSON of the profile. Its prefix does not count: repositories are where Kanister's are, right below the bucket.
	Profile json.RawMessage `json:"profile"`
	// Path of the repository in the bucket.
	Path string `json:"path"`
	// Password of the repository.
	Password string `json:"password"`
	// Create makes a repository where there is none. For Backup.
	Create bool `json:"create,omitempty"`
	// Tag of the snapshot. A Restore without Snapshot takes the latest of that tag.
	Tag string `json:"tag,omitempty"`
	// Again is true for a Backup that an earlier attempt may have done: a snapshot that has the tag is taken for it.
	Again bool `json:"again,omitempty"`
	// Host is the name of the host that the snapshot is of. For Backup.
	Host string `json:"host,omitempty"`
	// Folder is the absolute path of what to back up.
	Folder string `json:"folder,omitempty"`
	// Snapshot is the ID, or the beginning of the ID, of what to restore.
	Snapshot string `json:"snapshot,omitempty"`
	// Inside is a folder in the snapshot: only what is below it is restored, as if it were the root.
	Inside string `json:"inside,omitempty"`
	// Target is the absolute path of the folder that stands for the root of what is restored.
	Target string `json:"target,omitempty"`
	// Mounts are the absolute paths of the volumes. Nothing is restored elsewhere.
	Mounts []string `json:"mounts,omitempty"`
}

// Format prints the operation for every verb.
func (r Request) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "request to "+r.Op) }

// GoString is what Format prints.
func (r Request) GoString() string { return "request to " + r.Op }

// Text is the JSON of the request, on one line.
func (r *Request) Text() ([]byte, error) {
	type plain Request
	text, err := json.Marshal((*plain)(r))
	if err == nil && len(text) > MaxRequest {
		err = fmt.Errorf("the request has %d bytes, more than %d", len(text), MaxRequest)
	}
	return text, err
}

var errRequest = errors.New("this is no request to a mover")

// ParseRequest reads a request. Errors show nothing of it.
func ParseRequest(text []byte) (*Request, error) {
	if len(text) > MaxRequest {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", errRequest, len(text), MaxRequest)
	}
	var r Request
	if json.Unmarshal(text, &r) != nil { // its error would quote the text
		return nil, fmt.Errorf("%w: it is not the JSON of one", errRequest)
	}
	return &r, r.check()
}

// check refuses what cannot be done.
func (r *Request) check() error {
	absolute := []string{r.Folder}
	switch {
	case r.Op == Restore:
		absolute = append([]string{r.Target}, r.Mounts...)
		if r.Snapshot == "" && r.Tag == "" || len(r.Mounts) == 0 {
			return fmt.Errorf("%w: a restore needs a snapshot or a tag, and volumes", errRequest)
		}
	case r.Op != Backup:
		return fmt.Errorf("%w: its operation is neither %s nor %s", errRequest, Backup, Restore)
	case r.Tag == "":
		return fmt.Errorf("%w: a backup needs a tag", errRequest)
	}
	for _, path := range absolute {
		if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) {
			return fmt.Errorf("%w: %q is no absolute path", errRequest, path)
		}
	}
	return nil
}

// Result is what was done.
type Result struct {
	// Snapshot is the ID of the snapshot that was made or restored.
	Snapshot string `json:"snapshot"`
	// Counted is false where the numbers below are not known: for a snapshot that another program made.
	Counted bool `json:"counted"`
	// Files and Bytes are of the snapshot, or of what was restored; Stored is how many bytes the repository has grown by.
	Files  int64 `json:"files"`
	Bytes  int64 `json:"bytes"`
	Stored int64 `json:"stored"`
}
