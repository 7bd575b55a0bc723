// Package catalog keeps manifests of finished actions in the location that holds their data, so that the data can be found and restored with nothing but the
// location, its credential and, where data is encrypted, the key.
//
// A manifest says which run made which artifacts of what, and has the blueprint itself, so that its restore action can be run on another machine. It is one object of
// JSON, below the prefix davit-catalog of the location:
//
//	davit-catalog/TIME-RUN-N.json
//
// TIME is when the run began (UTC, 20060102T150405Z), RUN its id, N the position of the action in the run. The name without its ending is the manifest's id.
// Manifests are written once and never changed.
//
// # Trust
//
// Manifests hold no secrets, but who can read the location can read blueprints and the names of things. Who can write the location can change what a restore
// runs: Load verifies that a blueprint is the one the manifest names, not who wrote both. A caller that knows the blueprint compares its digest, or uses its own.
//
// # Errors
//
// ErrNotFound, ErrAmbiguous, ErrInvalid and ErrConflict are matched with errors.Is; the others are those of package location.
package catalog
