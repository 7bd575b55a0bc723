package data

import (
	"slices"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/internal/podspec"
)

type restoreDataArgs struct {
	Namespace            string            `arg:"namespace" doc:"Namespace of the claims."`
	Image                string            `arg:"image" doc:"Image that has davit, for where the host program names none."`
	BackupArtifactPrefix string            `arg:"backupArtifactPrefix" doc:"Path of the repository in the location; the bucket's name is put before it unless it begins with it."`
	RestorePath          string            `arg:"restorePath,command" default:"/" doc:"Folder below which files are restored to the paths they were backed up from."`
	Pod                  string            `arg:"pod,optional" doc:"Pod whose claims are mounted as it mounts them; instead of volumes."`
	Volumes              map[string]string `arg:"volumes,optional" doc:"Mount paths by name of claim; instead of pod."`
	BackupTag            string            `arg:"backupTag,optional,command" doc:"Tag of the snapshot; instead of backupIdentifier."`
	BackupIdentifier     string            `arg:"backupIdentifier,optional,command" doc:"Identifier of the snapshot; instead of backupTag."`
	BackupPath           string            `arg:"backupPath,optional,command" doc:"Folder of the snapshot to restore; all of it if unset."`
	encryption
	transport
	podSettings
}

func restoreData(d Deps) function.Func {
	return function.Define("RestoreData", "Restores a snapshot of BackupData or CopyVolumeData to volumes that no application uses.", d.restoreData,
		&function.Options{
			Replay: function.Adopt, Rules: d.restoreRules,
			Check: func(args map[string]any) []function.Problem {
				return slices.Concat(function.ExactlyOne(args, "pod", "volumes"), function.ExactlyOne(args, "backupTag", "backupIdentifier"), podspec.Check(args))
			},
			Example: `func: RestoreData
name: restore
args:
  namespace: "{{ .Deployment.Namespace }}"
  pod: "{{ index .Deployment.Pods 0 }}"
  image: backup-tools:1
  backupArtifactPrefix: "{{ .Profile.Location.Bucket }}/app"
  backupIdentifier: "{{ .ArtifactsIn.backup.KeyValue.id }}"
`,
		})
}

type restoreDataAllArgs struct {
	Namespace            string   `arg:"namespace" doc:"Namespace of the pods' claims."`
	Image                string   `arg:"image" doc:"Image that has davit, for where the host program names none."`
	BackupArtifactPrefix string   `arg:"backupArtifactPrefix" doc:"Path in the location below which each pod has its repository; the bucket's name is put before it unless it begins with it."`
	BackupInfo           string   `arg:"backupInfo" doc:"Output BackupAllInfo of BackupDataAll."`
	RestorePath          string   `arg:"restorePath,command" default:"/" doc:"Folder below which files are restored to the paths they were backed up from."`
	Pods                 []string `arg:"pods,words,optional" doc:"Names of the pods; those of the action's subject if unset."`
	encryption
	transport
	podSettings
}

func restoreDataAll(d Deps) function.Func {
	return function.Define("RestoreDataAll", "Restores the snapshots of BackupDataAll to the volumes of each pod.", d.restoreDataAll,
		&function.Options{Replay: function.Adopt, Check: podspec.Check, Rules: d.restoreRules, Example: `func: RestoreDataAll
name: restore
args:
  namespace: "{{ .StatefulSet.Namespace }}"
  image: backup-tools:1
  backupArtifactPrefix: "{{ .Profile.Location.Bucket }}/app"
  backupInfo: "{{ .ArtifactsIn.backup.KeyValue.info }}"
`})
}
