//go:build unix

package localcluster

import (
	"fmt"
	"slices"
	"strings"
)

// A pod's folder is the contract between the host and the supervisor, which may live longer than the host:
//
//	lock         locked by the supervisor as long as it lives (inherited from the host as file 3)
//	pid          the supervisor's process id: its session; written as its first act, so without it nothing ran
//	running      the init containers have ended well
//	ending       written by a host that ends the pod: nothing more is started
//	finished     everything has ended and the logs are complete
//	c/NAME/log   what the container wrote
//	c/NAME/code  its exit code
//	c/NAME/bad   its log could not be written
//	c/NAME/results  what the main container of RunPod left as its results
//
// The lock is what makes a start happen once: a host starts the supervisor only under the lock and only when there is no pid.

// supervisorScript makes the script. Names of containers are DNS labels; they need no quotes.
// Output goes through a pipe, as a container's does: a command that opens /dev/stdout would truncate a file.
func supervisorScript(dir string, inits, mains []string) string {
	return fmt.Sprintf(`cd %s || exit 1
umask 077
echo $$ >pid.tmp && mv pid.tmp pid || exit 1
run() {
	exec 3>&-
	{
		/bin/sh "c/$1/cmd.sh"
		echo $? >"c/$1/code.tmp" && mv "c/$1/code.tmp" "c/$1/code"
	} </dev/null 2>&1 | cat >>"c/$1/log" || : >"c/$1/bad"
}
for c in %s; do
	[ -e ending ] && exit 0
	(run $c)
	[ "$(cat c/$c/code)" = 0 ] || { : >finished; exit 0; }
done
[ -e ending ] && exit 0
: >running
for c in %s; do
	(run $c) &
done
wait
: >finished
`, quote(dir), strings.Join(inits, " "), strings.Join(mains, " "))
}

// containerScript sets a container's environment and directory and becomes its command, or that of its arguments when
// argv is nil. It keeps the command off other command lines than its own.
func containerScript(workDir string, env map[string]string, argv []string) string {
	var b strings.Builder
	names := make([]string, 0, len(env))
	for name := range env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(env[name]))
	}
	fmt.Fprintf(&b, "umask 022\ncd %s || exit 126\n", quote(workDir))
	if argv != nil {
		b.WriteString("set --")
		for _, a := range argv {
			b.WriteString(" " + quote(a))
		}
		b.WriteByte('\n')
	}
	b.WriteString("exec \"$@\"\n")
	return b.String()
}

// quote makes one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
