// Package session holds an application still with a command that stays open in its container: FLUSH TABLES WITH READ LOCK, fsfreeze, kill -STOP.
//
// The command quiesces the application, writes a line, [Spec].HeldLine, and then reads its standard input. At the end of that it lets the application go on, and ends with
// code 0. [Session.Open] returns with the line, [Open.Release] ends the input.
//
// # When nobody releases
//
// The command sees the end of its input, and lets the application go on, also when the host dies, when the connection is lost, and when [Spec].MaxHold is over. The last is
// enforced in the container, so that it holds for a host that is there and does nothing, and for a connection whose loss nobody notices. A command that does not end
// within [Spec].Grace then gets SIGTERM, with all that it started, and SIGKILL 5 seconds later. So a lock that lasts as long as its connection or its
// process is gone at the latest after MaxHold, Grace, 5 seconds and what the machine needs. What lasts longer, fsfreeze and a stopped process, only the
// command can undo: it does so at the end of its input, and on SIGTERM in case it hangs. It lets go before it writes anything: nobody may
// read it any more.
//
// What is in front of the command needs sh and sleep, of any coreutils or busybox; dash, bash and busybox's shell are tested. It signals its process group, which it must
// lead, as container runtimes and localcluster arrange. A process that leaves the group is not ended.
//
// # Proof
//
// Nil from Release means that the command ran from its line until it had read that the host releases it, and that it ended with code 0 then. The container says so in a last line
// with a random word of the host's; no such line, no success: an exec stream that breaks can look like a good end. Of a doubt it is an error, also when the application
// was held.
//
// # Protocol
//
// The host sends NONCE LF on standard input to release, then ends it. An end without it is a host that is gone. On standard output comes what the command writes, then, as the
// last bytes, NONCE, a space, the exit code and LF. Codes 213 to 215 are not the command's: the longest hold was over, the command ended with code 0 before it was released, the
// container cannot hold a session. The nonce is an argument of the command, and no secret. Commands and arguments are seen by all who see the container's processes: no secret belongs there.
//
// # Errors
//
// [ErrNotHeld], [ErrStartTimeout], [ErrMaxHold], [ErrLost], [ErrUnknown], [ErrOutput], [ErrUnusable] and [cluster.ErrInvalid] are matched with errors.Is. With an exit code that is known comes a [*cluster.ExitError], whose Tail
// is the end of standard error. It is passed on as it is: a command that may write a secret there must not.
//
// # Concurrency
//
// A Session keeps no state and is safe for concurrent use; every Open runs the command again. So is an [Open].
package session
