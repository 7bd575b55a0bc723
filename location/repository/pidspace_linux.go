package repository

import (
	"os"
	"strings"
)

// pidSpace names the space that process numbers of this container belong to; empty for that of the machine itself.
func pidSpace() string {
	// The number of the first one is fixed (PROC_PID_INIT_INO, include/linux/proc_ns.h).
	const machine = "4026531836"
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return " unknown"
	}
	name := strings.Trim(strings.TrimPrefix(link, "pid:"), "[]")
	if name == machine {
		return ""
	}
	return " " + name
}
