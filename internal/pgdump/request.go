package pgdump

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/davit-project/davit/internal/mover"
)

// The operations.
const (
	Dump    = "dump"
	Restore = "restore"
)

// TLS says how a connection is protected; its values are those of libpq.
type TLS string

// The ways to connect.
const (
	// TLSDisable is for servers without TLS: passwords are hashed, all else is plain.
	TLSDisable TLS = "disable"
	// TLSRequire encrypts and does not check whose certificate it is.
	TLSRequire TLS = "require"
	// TLSVerify encrypts and checks the certificate, and that it is for the host.
	TLSVerify TLS = "verify-full"
)

// Server is a PostgreSQL server.
type Server struct {
	// Host is a name or an address; Port is 5432 if it is 0.
	Host string `json:"host"`
	Port int32  `json:"port,omitempty"`
	// User and Password sign in.
	User     string `json:"user"`
	Password string `json:"password"`
	// TLS is TLSVerify where there is a CA, else TLSRequire, if it is empty.
	TLS TLS `json:"tls,omitempty"`
	// CA holds certificates in PEM. With TLSVerify and none, those of the system count.
	CA []byte `json:"ca,omitempty"`
}

// Request is what is to be done. It holds secrets: no way of printing it shows more than the operation.
type Request struct {
	// Op is Dump or Restore.
	Op     string `json:"op"`
	Server Server `json:"server"`
	// Profile is the JSON of the profile.
	Profile json.RawMessage `json:"profile"`
	// Path of the object, below the profile's prefix.
	Path string `json:"path"`
	// Databases to dump; all but template0 and rdsadmin if there are none. Not for Restore.
	Databases []string `json:"databases,omitempty"`
}

// Format prints the operation for every verb.
func (r Request) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "request to "+r.Op+" databases")
}

// GoString is what Format prints.
func (r Request) GoString() string { return "request to " + r.Op + " databases" }

// Text is the JSON of the request, on one line.
func (r *Request) Text() ([]byte, error) {
	type plain Request
	if err := r.check(); err != nil {
		return nil, err
	}
	text, err := json.Marshal((*plain)(r))
	if err == nil && len(text) > mover.MaxRequest {
		err = fmt.Errorf("the request has %d bytes, more than %d", len(text), mover.MaxRequest)
	}
	return text, err
}

var errRequest = errors.New("this is no request to dump or restore databases")

// ParseRequest reads a request. Errors show no secret of it.
func ParseRequest(text []byte) (*Request, error) {
	if len(text) > mover.MaxRequest {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", errRequest, len(text), mover.MaxRequest)
	}
	var r Request
	if json.Unmarshal(text, &r) != nil { // its error would quote the text
		return nil, fmt.Errorf("%w: it is not the JSON of one", errRequest)
	}
	return &r, r.check()
}

// check refuses what cannot be done.
func (r *Request) check() error {
	s := r.Server
	switch {
	case r.Op != Dump && r.Op != Restore:
		return fmt.Errorf("%w: its operation is neither %s nor %s", errRequest, Dump, Restore)
	case r.Path == "":
		return fmt.Errorf("%w: it names no path", errRequest)
	case s.Host == "" || strings.ContainsAny(s.Host, ",/@\x00 "): // libpq takes lists, and folders of sockets
		return fmt.Errorf("%w: %q is no name or address of a host", errRequest, s.Host)
	case s.Port < 0 || s.Port > 65535:
		return fmt.Errorf("%w: there is no port %d", errRequest, s.Port)
	case s.User == "" || strings.ContainsRune(s.User+s.Password, 0):
		return fmt.Errorf("%w: a user name is missing, or it or the password holds a byte 0", errRequest)
	case s.TLS != "" && s.TLS != TLSDisable && s.TLS != TLSRequire && s.TLS != TLSVerify:
		return fmt.Errorf("%w: %q is no TLS mode", errRequest, s.TLS)
	}
	for _, name := range r.Databases {
		if name == "" || strings.ContainsRune(name, 0) {
			return fmt.Errorf("%w: %q is no name of a database", errRequest, name)
		}
	}
	return nil
}
