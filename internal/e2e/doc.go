// Package e2e holds the long tests: real processes that are killed, cancelled and run out of time and space, on the binding to this
// machine. They are built with the tag e2e.
package e2e
