// Package execstream moves bytes out of containers and into them through exec, so that none is lost unnoticed.
//
// An exec stream that passes an API server can lose its end while the command still reports exit code 0
// (kubernetes#124571), most of all when its reader is slower than its writer. So [Read] and [Write] check it from end to end: the far end, which
// runs in the container, follows the stream with a trailer of its SHA-256 and the command's exit code, and stays
// until the host has acknowledged that. No trailer, no success. Both hold a fixed amount of memory whatever the stream's size, and
// a side that is slow makes the other one wait.
//
// # Far ends
//
// There are two, and the caller says which; nothing is probed.
//
// The shell needs nothing but what images have: sh, tee, dd, sha256sum and wc, of coreutils or busybox, and /dev/fd. It writes no
// file and works as any user. Busybox is slow at it: its tee copies 1 KiB at a time, so that the stream takes about twice the time of a plain one
// where the processor is the limit.
//
// The agent is davit itself, for images that have it ([Options].Agent). It costs about what a plain exec does.
//
// # When the host goes away
//
// The far end reads the end of its input without an acknowledgement: it asks its process group to end (SIGTERM), kills what
// is left of it one second later, and exits with a code other than zero. The command that [Write] feeds sees no end of file then,
// so it does not take half of its input for the whole. The shell's far end ends the group only if it leads one, which container
// runtimes and localcluster arrange; a command that starts a session of its own escapes. A host that goes away while the command takes no
// input is noticed when the command takes some again.
//
// # Protocol
//
// Numbers are decimal, sums are lower-case hex, lines end with a line feed. NONCE is random for each call, an argument of the far end, so that no
// data holds it by chance or by somebody's will. The host sends on standard input
//
//	SIZE LF, then SIZE bytes    a piece of the stream of Write, 1 to 1048576 bytes; not for Read
//	0 SHA256 LF                 the end of that stream
//	NONCE LF                    the acknowledgement, after the trailer; then end of file
//
// The far end sends on standard output the stream of Read as it is, then the trailer and nothing more: NONCE and these
// fields, each behind a space, in any order, then LF.
//
//	code=N      exit code of the command; 128 plus the signal's number after a signal
//	sum=SHA256  of the stream as the far end saw it
//	length=N    of the same; only the agent counts
//	tool=N      exit code of a program the far end needs: other than 0, it could not work
//	rest=N      Write: other than 0, the command ended and left input unread
//	damaged=1   Write: what came was not what the host sent, and the command was ended before its input was
//
// # Errors
//
// [ErrTruncated] and [ErrCorrupt] say that the stream is not what was sent; an [*cluster.ExitError] is always the command's own code, never the
// far end's. Other errors are those of the Executor, of the caller's reader or writer, and [cluster.ErrInvalid] for a far end that
// the container cannot run.
//
// # Concurrency
//
// Read and Write keep no state between calls and are safe for concurrent use.
package execstream
