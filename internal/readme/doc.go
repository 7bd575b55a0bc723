// Package readme holds the test that keeps the documents true: Go code in the README is a copy of an Example or of
// a file, command lines name what exists, links lead somewhere. It has no code besides its tests.
package readme
