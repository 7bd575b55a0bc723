package kubecluster

import (
	"crypto/rand"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/davit-project/davit/cluster"
)

// Where a pod finds its profile. The names are reserved: an override that uses them is refused.
const (
	profileVolume = "davit-profile"
	reservedPath  = "/var/run/davit"
	profilePath   = reservedPath + "/profile"
	profileFile   = "profile.json"
)

// nonceSize is how many random characters the name of a secret ends in, and maxPodName how long a pod's name may be for that.
const (
	nonceSize  = 10
	maxPodName = validation.DNS1123SubdomainMaxLength - nonceSize - 1
)

// mountProfile gives the profile to the main container, Init and Others, any of which may run the agent; not to what an override adds.
//
// The secret's name is the pod's and something random. It stands in the pod, so that whoever adopts the pod knows it, and nobody else knew it before: the
// secret of an earlier pod of that name, which the garbage collector has not come to yet, is never taken for this one's, an override
// cannot name it, and nobody can put one there beforehand. A fixed name would take the right to read secrets to be safe.
func mountProfile(w *wanted, pod cluster.Pod) {
	s := &w.pod.Spec
	s.Volumes = append(s.Volumes, corev1.Volume{Name: profileVolume, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName:  w.pod.Name + "-" + strings.ToLower(rand.Text()[:nonceSize]),
		DefaultMode: new(int32(0o444)), // the containers run as any user
	}}})
	named := func(list []cluster.Container, name string) bool {
		return slices.ContainsFunc(list, func(ct cluster.Container) bool { return ct.Name == name })
	}
	for ct := range everyContainer(s) {
		if ct.Name != w.main && !named(pod.Init, ct.Name) && !named(pod.Others, ct.Name) {
			continue
		}
		ct.Env = append([]corev1.EnvVar{{Name: cluster.ProfileEnv, Value: profilePath + "/" + profileFile}}, ct.Env...)
		ct.VolumeMounts = append(ct.VolumeMounts, corev1.VolumeMount{Name: profileVolume, MountPath: profilePath, ReadOnly: true})
	}
}

// profileSecret is the name of the secret that a pod waits for; empty for none.
func profileSecret(pod *corev1.Pod) string {
	for _, v := range pod.Spec.Volumes {
		if v.Name == profileVolume && v.Secret != nil {
			return v.Secret.SecretName
		}
	}
	return ""
}
