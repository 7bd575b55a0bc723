package data

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository"
)

// Deps is what the functions work on. The zero value is enough to lint and document blueprints; a function that is run
// without what it needs fails with an error that names it.
type Deps struct {
	// Open opens the bucket of a profile's JSON, in the host program. The functions close it.
	Open func(ctx context.Context, profile []byte) (*location.Bucket, error)
	// Exec is for BackupData and BackupDataAll.
	Exec cluster.Executor
	// Pods runs the pods that mount volumes.
	Pods cluster.PodRunner
	// Objects tells which claims, which user and which node a pod has.
	Objects cluster.Getter
	// Namespace is where objects are looked up whose phase names none. Default "default".
	Namespace string
	// Movers are the ways in which BackupData and BackupDataAll may read files, the most wanted first; see [Mover]. Default all: MoverAgent, MoverPod, MoverExec.
	Movers []Mover
	// MoverImage is the image of pods that mount volumes; it must have davit in its PATH. It wins over argument image, which names Kanister's tools image in blueprints in the
	// field. Default none: the argument is used, and MoverPod is not.
	MoverImage string
	// MoverOverride is a PodSpec fragment that is merged over these pods before the podOverrides of the phase and of the run. Default none.
	MoverOverride map[string]any
	// Keys keeps the passwords of repositories for which a blueprint names none. Default none: a new repository without a password is an error.
	Keys KeyStore
	// AllowDefaultKey opens repositories with Kanister's public password where nothing else is known. A new repository never has it. Default false.
	AllowDefaultKey bool
	// Parallel is how many pods BackupDataAll, RestoreDataAll and DeleteDataAll work on at once. Default 4.
	Parallel int
}

// Mover is a way to read the files of a container.
type Mover string

// The movers. The first of Deps.Movers that can do it is used.
const (
	// MoverAgent is davit in the container itself, as davit or as kando in its PATH. It reads as the container's user and talks to the location itself. The container sees
	// the profile's credential and the repository's password, as with Kanister.
	MoverAgent Mover = "agent"
	// MoverPod is a pod of Deps.MoverImage, on the same node, that mounts the claim the folder is on. It is used for a folder that lies on one claim as a whole: not for one without
	// a claim, on a part of a claim (subPath) or on a claim that only one pod can mount, and not where other volumes are mounted below it. It runs as the user that the application's pod
	// names, or else as root with the capabilities to read and write all files.
	MoverPod Mover = "pod"
	// MoverExec needs nothing but a shell, find, stat and tar in the container, of busybox too. The files come as a verified stream through the cluster's API to the host program,
	// which writes the repository. Only what has changed since the last snapshot is sent.
	MoverExec Mover = "exec"
)

func (d Deps) withDefaults() Deps {
	if d.Namespace == "" {
		d.Namespace = "default"
	}
	if d.Parallel <= 0 {
		d.Parallel = 4
	}
	if d.Movers == nil {
		d.Movers = []Mover{MoverAgent, MoverPod, MoverExec}
	}
	return d
}

// Functions returns the functions of this package that are built in.
func Functions(d Deps) []function.Func {
	open := d.Open
	d = d.withDefaults()
	return []function.Func{
		LocationDelete(open),
		backupData(d), backupDataAll(d), backupDataStats(d),
		restoreData(d), restoreDataAll(d), copyVolumeData(d),
		deleteData(d), deleteDataAll(d), checkRepository(d),
	}
}

// errNothing says that the host program gave the function nothing to work on.
func errNothing(what string) error {
	return function.Permanent(fmt.Errorf("the host program gave no %s to this function", what))
}

// lasting are the errors that trying again cannot mend.
var lasting = []error{
	cluster.ErrInvalid, cluster.ErrAmbiguous, cluster.ErrExists,
	location.ErrProfile, location.ErrUnsupported, location.ErrKey,
	repository.ErrPassword, repository.ErrNoRepository, repository.ErrVersion, repository.ErrNoSnapshot, repository.ErrAmbiguous,
	errUnsuitable,
}

// forGood marks errors that trying again cannot mend.
func forGood(err error) error {
	if err != nil && slices.ContainsFunc(lasting, func(e error) bool { return errors.Is(err, e) }) {
		return function.Permanent(err)
	}
	return err
}

// errUnsuitable means that a mover cannot do this; another one may.
var errUnsuitable = errors.New("not possible this way")
