//go:build unix && !linux

package localcluster

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// processes returns the living processes of the group that the session's leader made (0 for none). Marks are not
// looked at: other environments cannot be read portably.
func processes(session int, _ ...string) ([]int, error) {
	if session == 0 {
		return nil, nil
	}
	out, err := exec.Command("ps", "-A", "-o", "pid=,pgid=,stat=").Output()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for line := range bytes.Lines(out) {
		f := bytes.Fields(line)
		if len(f) < 3 || f[2][0] == 'Z' {
			continue
		}
		pid, err1 := strconv.Atoi(string(f[0]))
		group, err2 := strconv.Atoi(string(f[1]))
		if err1 == nil && err2 == nil && group == session && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// sessionOf asks for the session of a process; one that is gone has none.
func sessionOf(pid int) (session int, alive bool) {
	session, err := unix.Getsid(pid)
	return session, err == nil
}

// inSession tells whether the session's leader lives. Whether it is the pod's cannot be told portably.
func inSession(session int, _ string) bool {
	sid, alive := sessionOf(session)
	return session != 0 && alive && sid == session
}
