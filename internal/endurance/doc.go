// Package endurance holds the test of repositories under random programs: several clients that back up, restore, forget and prune at once, restic among them, that are
// killed at any point, over a location that fails; and a model that knows what must be there.
package endurance
