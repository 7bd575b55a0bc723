package template

import "time"

// Params are the values a blueprint's templates can read. The field names are those of Kanister's template parameters.
// A nil pointer means that the run has no such thing; reading through it is an error that names it.
type Params struct {
	StatefulSet      *Workload
	Deployment       *Workload
	DeploymentConfig *Workload
	PVC              *PVC
	Namespace        *Namespace
	ArtifactsIn      map[string]Artifact
	ConfigMaps       map[string]ConfigMap
	Secrets          map[string]Secret
	// Time is when the action started: UTC, RFC 3339 with nanoseconds. It is the same in every phase.
	Time    string
	Profile *Profile
	Options Options
	// Object is the subject as its JSON decodes.
	Object       map[string]any
	CurrentPhase *Phase
	Phases       map[string]*Phase
	DeferPhase   *Phase
	// PodOverride, PodAnnotations and PodLabels are those of the run.
	PodOverride    map[string]any
	PodAnnotations map[string]string
	PodLabels      map[string]string
}

// Options are the run's options. Unlike the other maps, index of an absent key is empty: blueprints rely on it.
type Options map[string]string

// Outputs are the results of a phase.
type Outputs map[string]any

// Workload is a StatefulSet, Deployment or DeploymentConfig as it was when the action started.
type Workload struct {
	Name, Namespace string
	// Pods holds the names of the running pods, sorted.
	Pods []string
	// Containers holds the container names of each pod, in the order of Pods.
	Containers [][]string
	// PersistentVolumeClaims maps a pod's name to its claims and their mount paths.
	PersistentVolumeClaims map[string]map[string]string
}

// PVC is a claim as subject.
type PVC struct{ Name, Namespace string }

// Namespace is a namespace as subject; both fields hold its name.
type Namespace struct{ Name, Namespace string }

// Phase is what templates see of a phase: its secrets and config maps from its start, its outputs from its end.
type Phase struct {
	Secrets    map[string]Secret
	ConfigMaps map[string]ConfigMap
	Output     Outputs
}

// Artifact is a named result of an action, and the input of others.
type Artifact struct {
	KeyValue      map[string]string `json:"keyValue,omitempty"`
	KopiaSnapshot string            `json:"kopiaSnapshot,omitempty"`
}

// ObjectMeta is the part of a Kubernetes object's metadata that templates read and that a profile's JSON carries.
type ObjectMeta struct {
	Name              string            `json:"name,omitempty"`
	Namespace         string            `json:"namespace,omitempty"`
	UID               string            `json:"uid,omitempty"`
	ResourceVersion   string            `json:"resourceVersion,omitempty"`
	CreationTimestamp *time.Time        `json:"creationTimestamp"`
	Labels            map[string]string `json:"labels,omitempty"`
	Annotations       map[string]string `json:"annotations,omitempty"`
}

// Secret is a Kubernetes Secret; values are bytes, as in Kanister, so that templates use toString.
type Secret struct {
	ObjectMeta `json:"metadata"`
	Data       map[string][]byte `json:"data,omitempty"`
	Type       string            `json:"type,omitempty"`
}

// ConfigMap is a Kubernetes ConfigMap.
type ConfigMap struct {
	ObjectMeta `json:"metadata"`
	Data       map[string]string `json:"data,omitempty"`
	BinaryData map[string][]byte `json:"binaryData,omitempty"`
}

// Profile is a location with its credential, resolved. Its JSON is what Kanister's in-pod tools read.
type Profile struct {
	Location      Location
	Credential    Credential
	SkipSSLVerify bool
}

// Location says where the data goes.
type Location struct {
	Type     string `json:"type"`
	Bucket   string `json:"bucket"`
	Endpoint string `json:"endpoint"`
	Prefix   string `json:"prefix"`
	Region   string `json:"region"`
	// CABundle, Proxy and VirtualHost are Davit's; where they are absent, the JSON is Kanister's.
	CABundle    string `json:"caBundle,omitempty"`
	Proxy       string `json:"proxy,omitempty"`
	VirtualHost bool   `json:"virtualHost,omitempty"`
}

// Credential holds the one credential that Type names.
type Credential struct {
	Type              string
	KeyPair           *KeyPair
	Secret            *Secret
	KopiaServerSecret *KopiaServerSecret
}

// KeyPair is an access key and its secret.
type KeyPair struct{ ID, Secret string }

// KopiaServerSecret is the credential of a kopia API server.
type KopiaServerSecret struct {
	Username, Hostname, Password, Cert string
	ConnectOptions                     map[string]int
}

// ObjectReference names an object: of an action, or of a phase's secrets and config maps.
type ObjectReference struct {
	APIVersion string `json:"apiVersion"`
	Group      string `json:"group"`
	Resource   string `json:"resource"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
}
