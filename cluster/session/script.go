package session

// script is the far end, for any POSIX shell. $1 is the longest hold and $2 the grace, in seconds; $3 is the nonce, the command follows. Five shells work together, and the
// command gets its input from a pipe that only one of them, the feeder, has open to write (it never writes a byte):
//
//	main     waits for the others, asks what the command left behind to end (TERM), writes the trailer
//	timer    sleeps for the longest hold, then wakes the guard (USR1)
//	guard    waits for the feeder, ends it when woken, asks the process group to end after the grace (TERM), and kills it in the end
//	feeder   reads the nonce from the host
//	runner   waits for the command, then wakes the guard (USR2), which has no more to do, and ends the timer's sleep
//
// Every way the feeder may end is the end of the command's input. What happened first decides, so all write it to one pipe, descriptor 5, that main reads: ack and
// lost come from the feeder, late from the timer, gone from the runner. Descriptor 3 is the host, 4 the output; the command has none of the three.
//
// The runner begins only when guard and timer have told it that they are set up. Every shell waits for its children, as the container's first process may not do so. A
// signal wakes the guard unless it comes at the moment before the wait, or in bash together with one of a higher number: so it is sent until the guard is gone. The
// sleep is killed, as a child that is not yet the program it will be loses other signals. TERM is never ignored, which the command would inherit, and subshells begin without traps. What is assigned
// before the command begins has names that no environment has: a variable that was exported would stay so, and reach the command. The command
// is run with exec, so that its name is never one of the shell's own.
const script = `davit_max=$1 davit_grace=$2 davit_nonce=$3
shift 3
trap : TERM
exec 3<&0 4>&1
davit_story=$(
trap : TERM
{ kill -0 "-$$" && sleep 0; } 2>/dev/null || exit
exec 5>&1
{
exec 2>/dev/null 4>&-
trap : TERM
{
davit_late= davit_gone=
trap : TERM
trap davit_late=1 USR1
trap davit_gone=1 USR2
{
IFS= read -r davit_word <&3
[ "$davit_word" = "$davit_nonce" ] && echo ack >&5 || echo lost >&5
} &
davit_feed=$!
echo
exec >/dev/null 3<&- 5>&-
[ "$davit_late$davit_gone" ] || wait "$davit_feed"
trap '' USR1
kill -KILL "$davit_feed"
wait "$davit_feed"
wait "$davit_feed"
davit_nap() {
davit_i=0
while [ ! "$davit_gone" ] && [ "$davit_i" -lt "$1" ]; do
sleep 1 &
wait "$!"
kill -KILL "$!"
wait "$!"
davit_i=$((davit_i + 1))
done
[ "$davit_gone" ] && trap '' USR2 && wait && exit
}
davit_nap "$davit_grace"
kill -TERM "-$$"
davit_nap 5
kill -KILL "-$$"
} &
davit_guard=$!
sleep "$davit_max" >/dev/null 3<&- 5>&- &
davit_sleep=$!
echo "$davit_guard $davit_sleep"
exec >/dev/null 3<&-
wait "$davit_sleep"
davit_code=$?
echo late >&5
exec 5>&-
kill -KILL "$davit_sleep"
while kill -USR1 "$davit_guard" && [ "$davit_code" = 0 ]; do
sleep 1
done
while kill -0 "$davit_guard"; do
wait "$davit_guard"
done
wait
} | {
exec 3<&-
trap : TERM
IFS= read -r davit_a && IFS= read -r davit_b || exit
(exec "$@" >&4 4>&- 5>&-)
echo "gone $?" >&5
set -- $davit_a $davit_b
kill -KILL "$2"
davit_i=0
while kill -USR2 "$1"; do
sleep "$((davit_i > 100))"
davit_i=$((davit_i + 1))
done 2>/dev/null
}
)
kill -TERM "-$$" 2>/dev/null
davit_code=${davit_story##*gone }
davit_code=${davit_code%%[!0-9]*}
case $davit_story in
ack*gone*) ;;
late*) davit_code=213 ;;
*gone\ 0*) davit_code=214 ;;
*gone*) ;;
*) davit_code=215 ;;
esac
echo "$davit_nonce $davit_code"
exit "$davit_code"
`

// Exit codes of the far end that are not the command's.
const (
	codeMaxHold  = 213 // the longest hold was over before the host released the command
	codeEarly    = 214 // the command ended with code 0 although the host had not released it
	codeUnusable = 215 // no sleep, no process group of its own, or no more processes
)
