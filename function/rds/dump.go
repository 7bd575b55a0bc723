package rds

import (
	"context"
	"errors"

	"github.com/davit-project/davit/function"
)

// tlsMode says how the connection to a server is protected. Zero verifies the server.
type tlsMode int

const (
	// tlsVerify checks the server's certificate.
	tlsVerify tlsMode = iota
	// tlsOff is for servers that have none.
	tlsOff
)

// server is a PostgreSQL server as its pod reaches it.
type server struct {
	Host string
	Port int32
	// Username and Password sign in; the password is never on a command line.
	Username string
	Password function.Secret
	TLS      tlsMode
	// EngineVersion such as "13.4" is the version that RDS names.
	EngineVersion string
}

// dumpRequest asks for the dump of databases of a PostgreSQL server to the location of the run's profile, or for one to be read back.
type dumpRequest struct {
	// Namespace of the pod, and its image; empty for the host's (Deps.DumpImage).
	Namespace, Image string
	Endpoint         server
	// Path of the object in the location.
	Path string
	// Databases to dump; nil for all but template0 and rdsadmin. Not used to restore.
	Databases []string
	// Annotations and Labels of the pod.
	Annotations, Labels map[string]string
}

var errNoDump = errors.New("dumps of PostgreSQL are not built in")

// dump writes one verified object at Path. A call that was begun by a host that died is carried on: what it made is found by name, or made anew. An error leaves nothing behind.
func (d *deps) dump(context.Context, *function.Call, dumpRequest) error {
	return function.Permanent(errNoDump)
}

// restoreDump reads Path back into the server.
func (d *deps) restoreDump(context.Context, *function.Call, dumpRequest) error {
	return function.Permanent(errNoDump)
}
