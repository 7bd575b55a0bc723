package execstream

// The far ends of the shell, for any POSIX shell. $1 is the nonce, the command follows. Descriptors: 3 collects the fields of the trailer, 4 is the
// host, 5 leads to sha256sum, 7 is what the host sends. The command has none of them. It is run with exec, so that a name that the shell
// knows too is never the shell's own, in a subshell, whose code is the command's.
//
// Only pipes that the shell made itself are opened again by name (/dev/fd/5): those of the runtime may belong to another user. The trailer
// follows the stream through the same descriptor, after all who wrote the stream have ended. What is assigned before the command begins has names that
// no environment has: a variable that was exported would stay so, and reach the command.

// readScript is the far end of Read. A watcher in the background reads the acknowledgement, so that it notices at any time that the host is
// gone. SIGTERM then ends the command and the last dd, which may hang in a write to nobody, and the others end behind them and are waited for; but there is
// no trailer any more, as the command may make code 0 of its end. That dd makes large writes of the small ones of tee: each
// write costs at every station to the host.
const readScript = `davit_nonce=$1
shift
davit_gone=
trap davit_gone=1 TERM
exec 4>&1 7<&0 </dev/null
{
trap '' TERM
trap 'exit 1' USR1
IFS= read -r ack <&7
[ "$ack" = "$davit_nonce" ] && exit
kill -TERM "-$$"
sleep 1
kill -KILL "-$$"
exit 1
} >/dev/null 2>&1 4>&- &
davit_watch=$!
exec 7<&-
davit_report=$(trap '' TERM
{ {
{ (trap - TERM; exec "$@" 3>&- 4>&- 5>&-); echo "code=$?" >&3; } |
{ tee /dev/fd/5; echo "tool=$?" >&3; } |
(trap - TERM; exec dd ibs=65536 obs=1048576 2>/dev/null >&4)
echo "tool=$?" >&3
} 5>&1 | { sum=$(sha256sum); echo "sum=${sum%% *}" >&3; }; } 3>&1)
if [ ! "$davit_gone" ]; then
echo "$davit_nonce" $davit_report >&4
wait "$davit_watch" && exit
fi
kill -USR1 "$davit_watch" 2>/dev/null
wait "$davit_watch"
exit 1
`

// writeScript is the far end of Write. Its first half takes the pieces apart with dd, which reads exactly what it is told, and watches
// for the acknowledgement then. The second half feeds the command, and looks whether it left something. When the first half gives up, it keeps its
// pipe open, and all but the command ignore SIGTERM from before they begin: the command is ended before it could see an end of file.
const writeScript = `davit_nonce=$1
shift
exec 4>&1 7<&0 </dev/null
if ! dd count=0 iflag=fullblock 2>/dev/null; then
echo "$davit_nonce tool=1"
cat <&7 >/dev/null
exit 1
fi
trap '' TERM
{
exec <&7 2>/dev/null 4>&- 7<&-
end() {
trap '' TERM
kill -TERM "-$$"
sleep 1
kill -KILL "-$$"
exit 1
}
trap end TERM
all=
while IFS= read -r size; do
case $size in
"0 "*) all=1; break ;;
'' | *[!0-9]* | ????????*) end ;;
esac
dd bs="$size" count=1 iflag=fullblock
done
[ "$all" ] || end
exec >/dev/null
IFS= read -r ack
[ "$ack" = "$davit_nonce" ] || end
} | {
exec 7<&-
davit_report=$({ {
{ tee /dev/fd/5 3>&- 4>&-; echo "tool=$?" >&3; } |
{
(trap - TERM; exec "$@" 3>&- 4>&- 5>&- >&2)
code=$?
echo "code=$code" >&3
[ "$code" != 0 ] || echo "rest=$(dd bs=1 count=1 2>/dev/null | wc -c)" >&3
}
} 5>&1 | { sum=$(sha256sum); echo "sum=${sum%% *}" >&3; }; } 3>&1)
echo "$davit_nonce" $davit_report >&4
}
`
