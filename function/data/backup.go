package data

import (
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/internal/podspec"
)

const notAdvised = "Kanister plans to deprecate it; where an application has a dump of its own, use KubeTask with that and davit location push"

type backupDataArgs struct {
	Namespace            string `arg:"namespace" doc:"Namespace of the pod."`
	Pod                  string `arg:"pod" doc:"Name of the pod."`
	Container            string `arg:"container" doc:"Container that has the data."`
	IncludePath          string `arg:"includePath,command" doc:"Folder to back up, an absolute path as the container sees it."`
	BackupArtifactPrefix string `arg:"backupArtifactPrefix" doc:"Path of the repository in the location; the bucket's name is put before it unless it begins with it."`
	encryption
	transport
}

type backupDataOutputs struct {
	BackupID  string `out:"backupID" doc:"Identifier of the snapshot."`
	BackupTag string `out:"backupTag" doc:"Tag of the snapshot."`
	FileCount string `out:"fileCount" doc:"Number of files; empty when it is not known."`
	Size      string `out:"size" doc:"Size of the files; empty when it is not known."`
	PhySize   string `out:"phySize" doc:"Size that was added to the repository; empty when it is not known."`
	Version   string `out:"version" doc:"Version of the function that made the snapshot."`
}

func backupData(d Deps) function.Func {
	return function.Define("BackupData", "Backs up a folder of a running container to the location of the profile.", d.backupData,
		&function.Options{
			Replay: function.Adopt, Rules: d.backupRules,
			Deprecated: notAdvised,
			Example: `func: BackupData
name: backup
args:
  namespace: "{{ .Deployment.Namespace }}"
  pod: "{{ index .Deployment.Pods 0 }}"
  container: app
  includePath: /var/lib/app
  backupArtifactPrefix: "{{ .Profile.Location.Bucket }}/app"
`,
		})
}

type backupDataAllArgs struct {
	Namespace            string   `arg:"namespace" doc:"Namespace of the pods."`
	Container            string   `arg:"container" doc:"Container that has the data, in every pod."`
	IncludePath          string   `arg:"includePath,command" doc:"Folder to back up, an absolute path as the containers see it."`
	BackupArtifactPrefix string   `arg:"backupArtifactPrefix" doc:"Path in the location below which each pod has its repository."`
	Pods                 []string `arg:"pods,words,optional" doc:"Names of the pods; those of the action's subject if unset."`
	encryption
	transport
}

type backupDataAllOutputs struct {
	BackupAllInfo string `out:"BackupAllInfo" doc:"JSON with the snapshot's identifier and tag for each pod; input of RestoreDataAll and DeleteDataAll."`
	Version       string `out:"version" doc:"Version of the function that made the snapshots."`
}

func backupDataAll(d Deps) function.Func {
	return function.Define("BackupDataAll", "Backs up the same folder of several running pods, each to a repository of its own.", d.backupDataAll,
		&function.Options{
			Replay: function.Adopt, Rules: d.backupRules,
			Deprecated: notAdvised,
			Example: `func: BackupDataAll
name: backup
args:
  namespace: "{{ .StatefulSet.Namespace }}"
  container: app
  includePath: /var/lib/app
  backupArtifactPrefix: "{{ .Profile.Location.Bucket }}/app"
`,
		})
}

type backupDataStatsArgs struct {
	Namespace            string `arg:"namespace" doc:"Accepted and ignored: the host program reads the repository itself."`
	BackupArtifactPrefix string `arg:"backupArtifactPrefix" doc:"Path of the repository in the location."`
	BackupID             string `arg:"backupID,command" doc:"Identifier of the snapshot."`
	StatsMode            string `arg:"statsMode,command" default:"restore-size" doc:"What is counted: restore-size, files-by-contents, blobs-per-file or raw-data, as restic counts them."`
	unusedImage
	encryption
	podSettings
}

type backupDataStatsOutputs struct {
	Mode      string `out:"mode" doc:"What was counted."`
	FileCount string `out:"fileCount" doc:"Number of files."`
	Size      string `out:"size" doc:"Size of the files."`
	Version   string `out:"version" doc:"Version of the function."`
}

func backupDataStats(d Deps) function.Func {
	return function.Define("BackupDataStats", "Counts the files and bytes of a snapshot in a repository.", d.backupDataStats,
		&function.Options{
			Replay: function.Idempotent, Rules: d.keyRules,
			Example: `func: BackupDataStats
name: stats
args:
  namespace: "{{ .Deployment.Namespace }}"
  backupArtifactPrefix: "{{ .Profile.Location.Bucket }}/app"
  backupID: "{{ .ArtifactsIn.backup.KeyValue.id }}"
`,
		})
}

type copyVolumeDataArgs struct {
	Namespace          string `arg:"namespace" doc:"Namespace of the claim."`
	Volume             string `arg:"volume" doc:"Name of the persistent volume claim."`
	DataArtifactPrefix string `arg:"dataArtifactPrefix" doc:"Path of the repository in the location; the bucket's name is put before it unless it begins with it."`
	MountPath          string `arg:"mountPath,optional" doc:"Where the claim is mounted; /mnt/vol_data/ and the claim's name if unset."`
	moverImage
	encryption
	transport
	podSettings
}

type copyVolumeDataOutputs struct {
	BackupID               string `out:"backupID" doc:"Identifier of the snapshot."`
	BackupRoot             string `out:"backupRoot" doc:"Path at which the claim was mounted."`
	BackupArtifactLocation string `out:"backupArtifactLocation" doc:"Path of the repository, the bucket included."`
	BackupTag              string `out:"backupTag" doc:"Tag of the snapshot."`
	FileCount              string `out:"fileCount" doc:"Number of files; empty when it is not known."`
	Size                   string `out:"size" doc:"Size of the files; empty when it is not known."`
	PhySize                string `out:"phySize" doc:"Size that was added to the repository; empty when it is not known."`
	Version                string `out:"version" doc:"Version of the function that made the snapshot."`
}

func copyVolumeData(d Deps) function.Func {
	return function.Define("CopyVolumeData", "Backs up a whole volume to the location of the profile, from a pod that mounts it.", d.copyVolumeData,
		&function.Options{Replay: function.Adopt, Check: podspec.Check, Rules: d.copyRules, Example: `func: CopyVolumeData
name: copy
args:
  namespace: "{{ .PVC.Namespace }}"
  volume: "{{ .PVC.Name }}"
  dataArtifactPrefix: "{{ .Profile.Location.Bucket }}/volumes"
`})
}
