package data

import (
	"fmt"
	"strings"

	"github.com/davit-project/davit/function"
)

type deleteDataArgs struct {
	Namespace            string   `arg:"namespace" doc:"Accepted and ignored: the host program works on the repository itself."`
	BackupArtifactPrefix []string `arg:"backupArtifactPrefix,words" doc:"Paths of repositories in the location, one for each snapshot."`
	BackupID             []string `arg:"backupID,words,optional,command" doc:"Identifiers of the snapshots; instead of backupTag."`
	BackupTag            []string `arg:"backupTag,words,optional,command" doc:"Tags of the snapshots; instead of backupID."`
	ReclaimSpace         bool     `arg:"reclaimSpace" default:"false" doc:"Remove data from the location that no snapshot needs any more; slow."`
	unusedImage
	encryption
	transport
	podSettings
}

type deleteOutputs struct {
	SpaceFreed string `out:"spaceFreed" doc:"Size of what was removed from the location: a number of bytes followed by B."`
}

func deleteData(d Deps) function.Func {
	return function.Define("DeleteData", "Deletes snapshots of BackupData or CopyVolumeData.", d.deleteData,
		&function.Options{
			Replay: function.Idempotent, Rules: d.keyRules,
			Check: func(args map[string]any) []function.Problem {
				return append(function.ExactlyOne(args, "backupID", "backupTag"), equalCounts(args)...)
			},
			Example: `func: DeleteData
name: delete
args:
  namespace: "{{ .Namespace.Name }}"
  backupArtifactPrefix: "{{ .Profile.Location.Bucket }}/app"
  backupID: "{{ .ArtifactsIn.backup.KeyValue.id }}"
  reclaimSpace: true
`,
		})
}

// equalCounts checks that there is a repository for each snapshot, as far as the values are plain text.
func equalCounts(args map[string]any) []function.Problem {
	prefixes, known := plainWords(args["backupArtifactPrefix"])
	var problems []function.Problem
	for _, name := range []string{"backupID", "backupTag"} {
		if n, ok := plainWords(args[name]); ok && known && n != prefixes {
			problems = append(problems, function.Problem{Path: name, Fault: function.FaultValue,
				Message: fmt.Sprintf("must name as many snapshots as backupArtifactPrefix has paths, %d, and names %d", prefixes, n)})
		}
	}
	return problems
}

func plainWords(v any) (int, bool) {
	text, ok := v.(string)
	if !ok || text == "" || strings.Contains(text, "{{") {
		return 0, false
	}
	return len(strings.Fields(text)), true
}

type deleteDataAllArgs struct {
	Namespace            string `arg:"namespace" doc:"Accepted and ignored: the host program works on the repositories itself."`
	BackupArtifactPrefix string `arg:"backupArtifactPrefix" doc:"Path in the location below which each pod has its repository; the bucket's name is put before it unless it begins with it."`
	BackupInfo           string `arg:"backupInfo" doc:"Output BackupAllInfo of BackupDataAll."`
	ReclaimSpace         bool   `arg:"reclaimSpace" default:"false" doc:"Remove data from the location that no snapshot needs any more; slow."`
	unusedImage
	encryption
	transport
	podSettings
}

func deleteDataAll(d Deps) function.Func {
	return function.Define("DeleteDataAll", "Deletes the snapshots of BackupDataAll.", d.deleteDataAll,
		&function.Options{
			Replay: function.Idempotent, Rules: d.keyRules,
			Example: `func: DeleteDataAll
name: delete
args:
  namespace: "{{ .Namespace.Name }}"
  backupArtifactPrefix: "{{ .Profile.Location.Bucket }}/app"
  backupInfo: "{{ .ArtifactsIn.backup.KeyValue.info }}"
  reclaimSpace: true
`,
		})
}

type checkRepositoryArgs struct {
	BackupArtifactPrefix string `arg:"backupArtifactPrefix" doc:"Path of the repository in the location."`
	unusedImage
	encryption
	transport
	podSettings
}

type checkRepositoryOutputs struct {
	PasswordIncorrect string `out:"passwordIncorrect" doc:"The text true when the password does not open the repository, else false."`
	RepoUnavailable   string `out:"repoUnavailable" doc:"The text true when there is no repository, else false."`
	Version           string `out:"version" doc:"Version of the function."`
}

func checkRepository(d Deps) function.Func {
	return function.Define("CheckRepository", "Tells whether a repository exists and its password opens it.", d.checkRepository,
		&function.Options{
			Replay: function.Idempotent, Rules: d.keyRules,
			Example: `func: CheckRepository
name: check
args:
  backupArtifactPrefix: "{{ .Profile.Location.Bucket }}/app"
`,
		})
}
