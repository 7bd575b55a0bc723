package localcluster

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// processes returns the living processes of the session (0 for none) and those whose environment has all the marks.
// A process that ends meanwhile, or whose environment may not be read, is passed over.
func processes(session int, marks ...string) ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close() //nolint:errcheck // nothing was written
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		sid, alive := sessionOf(pid)
		if alive && (session != 0 && sid == session || hasMarks(pid, marks)) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// sessionOf reads /proc/PID/stat, see proc_pid_stat(5): "pid (comm) state ppid pgrp session ...".
func sessionOf(pid int) (session int, alive bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 4 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return 0, false
	}
	session, err = strconv.Atoi(string(fields[3]))
	return session, err == nil
}

func hasMarks(pid int, marks []string) bool {
	if len(marks) == 0 {
		return false
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	env = append([]byte{0}, env...)
	for _, m := range marks {
		if !bytes.Contains(env, []byte("\x00"+m+"\x00")) {
			return false
		}
	}
	return true
}

// inSession tells whether a process with the mark is in the session: its number is then still the pod's.
func inSession(session int, mark string) bool {
	pids, err := processes(0, mark)
	if err != nil || session == 0 {
		return false
	}
	return slices.ContainsFunc(pids, func(pid int) bool {
		sid, alive := sessionOf(pid)
		return alive && sid == session
	})
}
