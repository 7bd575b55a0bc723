// Package data holds the functions that move files between volumes and a location.
//
// LocationDelete is built in. All others ([Declared]) are declared and not built in yet: their arguments, outputs and static
// checks are complete, so that blueprints can be linted, but running one fails.
//
// # Errors
//
// A function that is only declared fails with [function.ErrDeclared], which is permanent.
//
// # Concurrency
//
// The functions keep no state; one value serves any number of runs at once.
package data
