// Package repository is a store of trees and streams in a location: deduplicated, encrypted, incremental. It is restic's repository format, written natively:
// restic reads, checks and restores what this package writes, and this package what restic has written. It writes version 2 into repositories it makes, continues others in
// their own version, 1 or 2, and takes and respects restic's locks, so that both can work on one repository at once.
//
// The format is that of restic's design document ("References", restic.readthedocs.io): config, keys, packs, indexes, snapshots, trees, locks.
//
// # Errors
//
// The errors of this package are matched with errors.Is, and so are those of package location below them. What is stored is taken for hostile: it is verified and bounded.
//
// # Concurrency
//
// A Repository is safe for concurrent use; of what writes to it (backup, prune, repair) one at a time runs, the others wait: open the repository again for more.
//
// # Memory
//
// The index takes about 60 bytes for each blob: 1 GiB of content in chunks of 64 KiB is about 16,000. A writer has a pack of 16 MiB that
// it fills, and one more for each four of Options.Connections.
package repository
