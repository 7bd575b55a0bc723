package mover

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository"
)

// The lines that are not for people.
const (
	// Hello is what the far end writes first where the request comes on standard input.
	Hello = "###Davit-mover###: 1"
	// Ack acknowledges the reply.
	Ack = "done"

	replyMarker    = "###Davit-reply###: "
	progressMarker = "###Phase-progress###: "
)

// MaxReply bounds a reply's line, in bytes; an error that is longer is cut.
const MaxReply = 3 << 10

// Reply is how it went: Fault is nil after a success.
type Reply struct {
	Result Result `json:"result"`
	Fault  *Fault `json:"fault,omitempty"`
}

// ReplyOf is the reply of what Do returned.
func ReplyOf(result Result, err error) Reply {
	if err == nil {
		return Reply{Result: result}
	}
	f := &Fault{Message: err.Error()}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			f.Kinds = append(f.Kinds, k.name)
		}
	}
	return Reply{Fault: f}
}

// Line is the line of the reply, its end included.
func (r Reply) Line() []byte {
	for {
		text, err := json.Marshal(r)
		if err != nil { // it is plain
			text = []byte("{}")
		}
		if line := append(append([]byte(replyMarker), text...), '\n'); len(line) <= MaxReply || r.Fault == nil {
			return line
		}
		short := *r.Fault
		short.Message = string(bytes.ToValidUTF8([]byte(short.Message[:len(short.Message)/2]), nil)) + "…"
		r.Fault = &short
	}
}

// parseReply reads a line; false for one that is no reply.
func parseReply(line []byte) (Reply, bool) {
	text, ok := bytes.CutPrefix(line, []byte(replyMarker))
	var r Reply
	if !ok || json.Unmarshal(text, &r) != nil || r.Fault == nil && r.Result == (Result{}) {
		return Reply{}, false
	}
	return r, true
}

// Fault is an error of the far end.
type Fault struct {
	Message string   `json:"message"`
	Kinds   []string `json:"kinds,omitempty"`
}

// Error is the far end's text.
func (f *Fault) Error() string { return f.Message }

// Is matches the errors that the far end had.
func (f *Fault) Is(target error) bool {
	for _, k := range kinds {
		for _, name := range f.Kinds {
			if name == k.name && target == k.err {
				return true
			}
		}
	}
	return false
}

// ErrNothing means that a snapshot has nothing for the volumes it was to be restored to.
var ErrNothing = errors.New("the snapshot has nothing for these volumes")

// kinds are the errors that keep what they are on the way.
var kinds = []struct {
	name string
	err  error
}{
	{"no-repository", repository.ErrNoRepository},
	{"password", repository.ErrPassword},
	{"version", repository.ErrVersion},
	{"damaged", repository.ErrDamaged},
	{"locked", repository.ErrLocked},
	{"no-snapshot", repository.ErrNoSnapshot},
	{"ambiguous", repository.ErrAmbiguous},
	{"incomplete", repository.ErrIncomplete},
	{"nothing", ErrNothing},
	{"profile", location.ErrProfile},
	{"unsupported", location.ErrUnsupported},
	{"key", location.ErrKey},
	{"no-object", location.ErrNotFound},
	{"corrupt", location.ErrCorrupt},
}
