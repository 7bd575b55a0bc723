package data

import "github.com/davit-project/davit/function"

// Declared returns the functions of this package that are known by their schemas alone: blueprints that call them are linted and
// documented, running one fails with function.ErrDeclared.
func Declared() []function.Func {
	return []function.Func{backupDataUsingKopiaServer(), restoreDataUsingKopiaServer(), deleteDataUsingKopiaServer()}
}

// encryption is the key of a repository.
type encryption struct {
	EncryptionKey function.Secret `arg:"encryptionKey,optional" doc:"Password of the repository; if unset, the one that the host program keeps for it."`
}

// transport is how the repository is reached.
type transport struct {
	InsecureTLS bool `arg:"insecureTLS" default:"false" doc:"Accept any certificate of the object store."`
}

// moverImage is the image of a pod that moves data.
type moverImage struct {
	Image string `arg:"image,optional" doc:"Image that has davit, for where the host program names none."`
}

// unusedImage is the image of a pod that Kanister works on a repository with.
type unusedImage struct {
	Image string `arg:"image,optional" doc:"Accepted and ignored: the host program works on the repository itself."`
}

// podMetadata is added to the pod.
type podMetadata struct {
	PodAnnotations map[string]string `arg:"podAnnotations,optional" doc:"Annotations of the pod."`
	PodLabels      map[string]string `arg:"podLabels,optional" doc:"Labels of the pod."`
}

// podSettings changes the pod.
type podSettings struct {
	PodOverride map[string]any `arg:"podOverride,optional" doc:"Fragment of a pod spec that is merged over the pod."`
	podMetadata
}
