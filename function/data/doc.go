// Package data holds the functions that move files between volumes and a location, as Kanister has them: BackupData, BackupDataAll, RestoreData, RestoreDataAll, CopyVolumeData,
// DeleteData, DeleteDataAll, BackupDataStats, CheckRepository and LocationDelete. Snapshots are in repositories of package location/repository, which restic reads too. Those
// that Kanister has made can be restored and continued.
//
// # Where a repository is
//
// Argument backupArtifactPrefix is the path from the root of the bucket; the bucket's name may stand before it. The prefix of the profile does not count: with Kanister it does
// not either, and artifacts have to stay restorable. LocationDelete of such a path deletes the repository.
//
// # Who reads and writes the files
//
// A backup from a container is done by the first [Mover] of Deps.Movers that can do it there: davit in the container, a pod beside it that mounts the claim, or, through exec, what
// the container has. RestoreData, RestoreDataAll and CopyVolumeData run a pod that mounts the claims, with davit. DeleteData, DeleteDataAll, BackupDataStats and CheckRepository
// work in the host program: their arguments about a pod are accepted and ignored.
//
// A restore writes below the mount paths of the claims and nowhere else.
//
// # Passwords
//
// A repository has the password of argument encryptionKey, else the one that the host's [KeyStore] has for it; a new repository without either gets a random one that is in the
// key store before the repository exists. Kanister's public password opens old repositories where the host allows it. Neither it nor the profile's credential is ever in a command
// line, an environment variable or a log.
//
// # After a crash
//
// A pod is found again by its name. A backup that was interrupted is done again, unless a snapshot has its tag, which is the same on every attempt: that one is taken then. A
// backup that could not read all files is an error, and leaves no snapshot.
//
// # Errors
//
// Those of packages location/repository, location and cluster pass through, also from a pod; those that trying again cannot mend are permanent. A function that is only declared fails
// with [function.ErrDeclared].
//
// # Concurrency
//
// The functions keep no state; one value serves any number of runs at once.
package data
