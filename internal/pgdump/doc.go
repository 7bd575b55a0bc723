// Package pgdump dumps databases of a PostgreSQL server into one object of a location, and restores them. It runs inside a pod, as davit pgdump, beside pg_dump and psql; the near
// end is package function/rds, and what the two say to each other is that of package mover but for the [Request].
//
// # The object
//
// A dump is one gzip stream of plain SQL: what pg_dump --create prints for each database, one after the other. It is written while it is made, so a pod needs no disk, and is restored
// without Davit too: gunzip -c | psql postgres. Of postgres and template1, which every server has, there is no CREATE DATABASE, as with pg_dumpall. Roles and tablespaces are not part of it.
//
// A restore reads that, the tar of a SQL file for each database that Kanister writes, and plain SQL; compressed by gzip or not.
//
// # What a restore promises
//
// The first error ends it. Databases that it has made are removed then, and what it did to a database that was there before is one transaction, which is rolled back. All these transactions are
// committed when the object has been read to its end and verified.
//
// The SQL is executed as it is, with the rights of the user that signs in: who can write to the bucket can do in the server what that user can. It cannot do more: psql runs
// in its restricted mode, in which commands of its own, such as one that starts a shell, are refused, and names in the object are never paths of files.
//
// # Errors
//
// Errors name the database and show the last lines of the program that failed. None holds a password.
//
// # Concurrency
//
// [Do] keeps no state. A server restores one dump of a path at a time.
package pgdump
