// Package localcluster runs pods as plain processes on this machine: the binding for a quickstart, for tests and for the
// CI of blueprint authors, without Kubernetes.
//
// Workloads, claims, secrets and config maps come from ordinary Kubernetes manifests ([Cluster.Apply]). A pod is a
// session of processes with folders of its own:
//
//	DIR/objects/             what was applied, one JSON file per object
//	DIR/claims/NS/CLAIM/     the data of a persistent volume claim
//	DIR/pods/NS/POD/root     the working directory of the pod's processes
//	DIR/bin/                 the agent, first in PATH
//
// # No isolation
//
// There is none. Pods run as the user of the host program, see its files and its network, and nothing limits what they
// use. Run only what you would run in a shell of your own. Images, probes, life cycle hooks, resources, service accounts
// and security contexts are ignored, and a mount that is read-only is not protected. What asks for the host's name spaces, its
// paths or for privileges is refused, as a careful cluster would.
//
// # Paths
//
// A mount path is a link below the pod's root: a claim mounted at /data/db is root/data/db. Commands therefore use paths
// relative to their working directory: data/db names the same file here and in a container whose working
// directory is /. The variable DAVIT_ROOT holds the absolute path of the root. HOSTNAME is the pod's name.
// Of the host's environment, pods get only what [Options].Env says.
//
// # When the host dies
//
// A pod goes on without the host: a small shell script in a session of its own writes its log and exit codes to files.
// [Cluster.RunPod] of the same name and labels adopts such a pod and reports its whole log and its result; the command
// never runs twice. Whether a pod lives is decided by a lock (flock) that its supervisor holds, not by a process id, and
// a process is only ended when it belongs to that supervisor's session or carries the pod's unique id in its environment; so no
// stranger that got a used process id is taken for a pod. A process that leaves the session and clears its
// environment escapes. Records survive the death of the host, not that of the machine.
//
// A command of [Cluster.Exec] loses its pipes when the host dies, and ends with its pod.
//
// # What differs from Kubernetes
//
// A workload's pod that has ended is not restarted until the next Open, Apply, Patch or Scale. A pod is ready as
// soon as its init containers have ended and its processes run. Pods and claims of all namespaces share one machine.
// An object that is applied again unchanged keeps what Scale and Patch made of it. Apply, Patch and Scale return when the
// processes are started, which may be before they are ready: [Cluster.AwaitScaled] waits for that. DeploymentConfigs can be
// stored but have no pods and cannot be scaled, and a workload has at most 100 replicas. Sweep and RemovePod remove pods; nothing else is made for a run here.
// Service accounts, and the medium and size of a shared volume, are ignored; all containers of a pod share one root anyway. Kinds that are not built in are
// never unknown: any object can be created, and its resource is guessed from its kind. Deleting a namespace does not delete what is in it.
//
// After a restart of the machine, Open starts the pods of workloads again; a pod of RunPod is then [cluster.ErrLost], for its
// command is never run twice. So is one that somebody else removes while RunPod awaits it.
//
// Linux is what this package is tested on. On other Unix systems a pod's processes are found by their process group, so one that
// leaves the group is not ended with the pod. Other systems are not supported: the package is empty there.
//
// # Errors
//
// Those of package cluster, matched with errors.Is and errors.As. Faults in manifests are all reported at once, as
// "file:line: message", and nothing is stored or started then.
//
// # Concurrency
//
// A Cluster is safe for concurrent use, also by several processes that have opened one folder. The folder must be on a
// local file system.
package localcluster
