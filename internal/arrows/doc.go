// Package arrows holds the table of which package may import which, and the test that enforces it. It has no code
// besides its tests. A new arrow is a reviewed change of the table.
package arrows
