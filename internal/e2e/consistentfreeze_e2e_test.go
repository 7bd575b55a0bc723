//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster/session"
	"github.com/davit-project/davit/internal/testcluster"
)

// filesystems is a database of files on two file systems of its own, each in a file on a claim: those of the claims are one for the whole cluster. It writes its log first; the entry that is in
// the log alone is part of the database again when it starts. Nothing is flushed but by the kernel, and when a file system is frozen.
func filesystems() *database {
	return &database{
		name: "fsfreeze", image: testcluster.RootImage, privileged: true,
		start: `set -eu
n=0
while [ $n -lt 64 ]; do # those that the machine makes later are not seen in here
  [ -e /dev/loop$n ] || mknod /dev/loop$n b 7 $n
  n=$((n + 1))
done
for v in data log; do
  image=/claims/$v/image
  [ -e $image ] || { dd if=/dev/zero of=$image.new bs=1M count=16 2>/dev/null; mke2fs -F $image.new >/dev/null; mv $image.new $image; }
  mkdir /$v
  tries=0
  until mount -t ext4 -o loop,noatime $image /$v; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done
done
echo mounted
exec sleep 2147483647`,
		client: []string{"sh"}, ping: "cat /proc/mounts | grep -c ' /log ext4 '",
		schema: "for w in 0 1 2; do echo 0 >/data/total.$w; : >/log/ledger.$w; done",
		transaction: func(writer, n int) string {
			return fmt.Sprintf("echo '%[2]d %[3]s' >>/log/ledger.%[1]d; echo %[2]d >/data/new.%[1]d; mv /data/new.%[1]d /data/total.%[1]d; echo %[2]d", writer, n, strings.Repeat("x", entryLength(n)))
		},
		settle: "sync",
		intact: "echo ok",
		rows: `for w in 0 1 2; do
  total=$(cat /data/total.$w)
  found=$(awk '{ n++; last = $1; length_ += length($2) } END { print n + 0, last + 0, length_ + 0 }' /log/ledger.$w)
  [ ${found%% *} != $((total + 1)) ] || total=$((total + 1))
  echo $w $total $found
done`,
		recovered: "mounted", faulty: []string{"rror", "orrupt"},
		stop: "fsfreeze", broken: "its counter says",
	}
}

// Two file systems are frozen by a session, and nobody writes to them then. They thaw when it is released, and when the longest hold is over.
func TestConsistentFreezeThaws(t *testing.T) {
	t.Parallel()
	s := newDBSite(t, filesystems(), "data", "log")
	s.serve(volumes{pod: "db", data: "data", log: "log"})
	w := s.startWriters()
	open := func(longest time.Duration) (*session.Open, error) {
		held, err := session.New(s.cluster, session.Spec{Namespace: s.namespace, Pod: "db", Container: "server", Command: documented(t, s.db.stop), MaxHold: longest})
		require.NoError(t, err)
		return held.Open(t.Context())
	}

	o, err := open(2 * time.Minute)
	require.NoError(t, err)
	held := time.Now()
	for _, dir := range []string{"/data", "/log"} { // what is frozen cannot be frozen
		var out bytes.Buffer
		require.Error(t, s.exec(t.Context(), "db", []string{"sh", "-c", "fsfreeze --freeze " + dir + " && fsfreeze --unfreeze " + dir}, "", &out), dir)
		require.Contains(t, out.String(), "busy", dir)
	}
	released := time.Now()
	require.NoError(t, o.Release(t.Context()))
	w.goOn(t, 2*time.Minute)

	longest := 3 * time.Second
	slow := func(err error) bool {
		return errors.Is(err, session.ErrMaxHold) || errors.Is(err, session.ErrStartTimeout)
	}
	for o, err = open(longest); slow(err) && longest < time.Minute; o, err = open(longest) { // it took longer to freeze them
		longest *= 2
	}
	require.NoError(t, err)
	<-o.Lost()
	w.goOn(t, 2*time.Minute)
	err = o.Release(t.Context())
	require.True(t, errors.Is(err, session.ErrMaxHold) || errors.Is(err, session.ErrLost), "the container or the host, whose time was over first: %v", err)
	w.end(t)
	for i, log := range w.logs() {
		must, may := heldSpan(held, released).bounds(log)
		require.LessOrEqual(t, must, may, "writer %d wrote to a file system that was frozen", i)
	}
}
