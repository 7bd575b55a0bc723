// Davit runs and checks blueprints from the command line, and is the agent inside pods.
//
//	davit run        run an action of a blueprint, or resume a run
//	davit plan       say what a run would do, and whether it may, without doing it
//	davit rbac       print the Kubernetes roles that running a blueprint needs
//	davit lint       check blueprints without a cluster
//	davit repository work on repositories in restic's format
//	davit catalog    show and restore what finished runs have left in a location
//	davit functions  list the functions that phases can call, or describe one
//	davit schema     print the JSON Schema of blueprints
//	davit version    print the version
//
// The agent's commands (location, output) are there too; called as kando, the program has those alone.
//
// # Exit codes
//
//	0    done: the run is complete, the blueprint has no errors
//	1    the run failed; the blueprint has errors; the plan has problems
//	2    wrong usage, input that cannot be read, or a cluster that cannot be reached: nothing was touched
//	3    the run was cancelled: its deferred phase ran, it has ended
//	130  a run was left at once by a second interrupt: it can be resumed
//
// # JSON lines
//
// Where standard output is no terminal, davit run writes one JSON object a line. Time (RFC 3339), event and run are
// always there; the rest where it belongs to the event. Secrets are masked. Fields may be added.
//
//	run-started     the run's first line
//	run-resumed     the first line where a run goes on
//	phase-started   action, phase, func, attempt
//	progress        action, phase, bytes, totalBytes, note; of a phase at most one each second
//	attempt-failed  action, phase, func, attempt, error, code, waitSeconds
//	phase-complete  action, phase, func, attempt, outputs
//	phase-skipped   action, phase, func
//	phase-failed    action, phase, func, attempt, error, code
//	cancel-asked    error
//	action-ended    action, state, artifacts, error
//	run-ended       state (complete, failed, cancelled), left: the names of what could not be removed
//
// # Where a run is
//
// On the Kubernetes cluster that --kubeconfig, KUBECONFIG or ~/.kube/config names, by the rules of kubectl, or on that of the pod that davit runs in; with
// --local, on this machine. The journal keeps the address of the API server and the namespace of pods: a run goes on where it was begun, with a warning
// where the address has changed.
//
// # Files
//
// Journals and the local cluster's data are kept in the folder that --state names, by default
// $XDG_STATE_HOME/davit or ~/.local/state/davit: one file runs/ID.journal for each run.
package main
