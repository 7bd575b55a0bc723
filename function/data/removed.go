package data

import "github.com/davit-project/davit/function"

// The functions of this file were removed from Kanister. They are declared so that lint can say so and what to use.

type backupDataUsingKopiaServerArgs struct {
	Container                    string `arg:"container" doc:"Container that mounts the data and has the backup tools."`
	IncludePath                  string `arg:"includePath,command" doc:"Folder to back up, as the container sees it."`
	Namespace                    string `arg:"namespace" doc:"Namespace of the pod."`
	Pod                          string `arg:"pod" doc:"Name of the pod."`
	SnapshotTags                 string `arg:"snapshotTags,optional,command" doc:"Tags of the snapshot, separated by commas."`
	RepositoryServerUserHostname string `arg:"repositoryServerUserHostname,optional,command" doc:"Host name of the server's user; any of the server's if unset."`
}

type backupDataUsingKopiaServerOutputs struct {
	BackupID string `out:"backupID" doc:"Identifier of the snapshot."`
	Size     string `out:"size" doc:"Size of the files."`
	PhySize  string `out:"phySize" doc:"Size that was added to the repository."`
}

func backupDataUsingKopiaServer() function.Func {
	return function.Declare[backupDataUsingKopiaServerArgs, backupDataUsingKopiaServerOutputs]("BackupDataUsingKopiaServer",
		"Backs up a folder of a running container through a repository server.",
		&function.Options{Deprecated: "removed from Kanister after 0.119; use KubeTask with davit location push, or CopyVolumeData"})
}

type restoreDataUsingKopiaServerArgs struct {
	BackupIdentifier             string            `arg:"backupIdentifier,command" doc:"Identifier of the snapshot."`
	Namespace                    string            `arg:"namespace" doc:"Namespace of the claims."`
	RestorePath                  string            `arg:"restorePath,command" doc:"Folder to restore to."`
	Image                        string            `arg:"image" doc:"Image with the backup tools."`
	Pod                          string            `arg:"pod,optional" doc:"Pod whose claims are mounted as it mounts them; instead of volumes."`
	Volumes                      map[string]string `arg:"volumes,optional" doc:"Mount paths by name of claim; instead of pod."`
	RepositoryServerUserHostname string            `arg:"repositoryServerUserHostname,optional,command" doc:"Host name of the server's user; any of the server's if unset."`
	podSettings
}

func restoreDataUsingKopiaServer() function.Func {
	return function.Declare[restoreDataUsingKopiaServerArgs, struct{}]("RestoreDataUsingKopiaServer",
		"Restores a snapshot through a repository server.",
		&function.Options{
			Deprecated: "removed from Kanister after 0.119; use KubeTask with davit location pull, or RestoreData",
			Check:      func(args map[string]any) []function.Problem { return function.ExactlyOne(args, "pod", "volumes") },
		})
}

type deleteDataUsingKopiaServerArgs struct {
	BackupID                     string `arg:"backupID,command" doc:"Identifier of the snapshot."`
	Namespace                    string `arg:"namespace" doc:"Namespace of the pod that reaches the server."`
	Image                        string `arg:"image" doc:"Image with the backup tools."`
	RepositoryServerUserHostname string `arg:"repositoryServerUserHostname,optional,command" doc:"Host name of the server's user; any of the server's if unset."`
	podMetadata
}

func deleteDataUsingKopiaServer() function.Func {
	return function.Declare[deleteDataUsingKopiaServerArgs, struct{}]("DeleteDataUsingKopiaServer",
		"Deletes a snapshot through a repository server.",
		&function.Options{
			Replay:     function.Idempotent,
			Deprecated: "removed from Kanister after 0.119; use LocationDelete, or DeleteData",
		})
}
