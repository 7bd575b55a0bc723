// Package mover is what moves the files of volumes into a repository and back, close to them: in a container that mounts the volume. The far end, [Do], is davit itself,
// called as davit mover; the near end is package function/data. This package has what the two say to each other.
//
// A [Request] is one JSON text. It holds a credential and a password, so it comes as a file that the binding of a pod supplies, or on standard input; never as an argument or a
// variable. The far end answers on standard output with one line, [Reply.Line]: without it the work is not known to be done, whatever the exit code says. Beside that it
// writes lines of progress, which count for nothing.
//
// # Standard input
//
// Where the request comes on standard input, the far end writes [Hello] first. The near end sends nothing before that: a container that has another program of that name never sees a
// secret. The request is one line. The reply is acknowledged with the line [Ack]; an end of the input before that means that the near end is gone, and ends the work.
//
// # Errors
//
// A far end's error is a [*Fault]: its text, and the errors of package location/repository and location that it is, matched with errors.Is.
package mover
