// Package v1alpha1 is the API of this operator: a Backup asks for one backup of one database.
// +kubebuilder:object:generate=true
// +groupName=example.davit.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

//go:generate go run sigs.k8s.io/controller-tools/cmd/controller-gen@v0.21.0 object paths=. crd paths=. output:crd:dir=../../config/crd

// Backup is a request for one backup, as a Job is one for pods. It is carried out once; a new backup is a new Backup.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Database",type=string,JSONPath=`.spec.database`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Backup struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a backup cannot be changed: create another one"
	Spec BackupSpec `json:"spec"`
	// +optional
	Status BackupStatus `json:"status,omitempty"`
}

// BackupSpec says what to back up and how.
type BackupSpec struct {
	// Database is the name of a StatefulSet in the namespace of the Backup.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Database string `json:"database"`
	// Blueprint is the name of a ConfigMap in the namespace of the Backup. Its key blueprint.yaml holds a blueprint with an action
	// named backup. It is read when the backup begins; later changes are for later backups.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Blueprint string `json:"blueprint"`
}

// Phase is where a Backup is, for people; programs look at the conditions.
type Phase string

// The phases. Complete, Failed and Cancelled are final.
const (
	// Pending means that nothing has been touched: the blueprint or the database is not there yet, or it is not right.
	Pending   Phase = "Pending"
	Running   Phase = "Running"
	Complete  Phase = "Complete"
	Failed    Phase = "Failed"
	Cancelled Phase = "Cancelled"
)

// Ended tells whether the phase is final.
func (p Phase) Ended() bool { return p == Complete || p == Failed || p == Cancelled }

// BackupStatus says what became of a Backup. All but RunID is computed from the run's journal.
type BackupStatus struct {
	// +kubebuilder:validation:Enum=Pending;Running;Complete;Failed;Cancelled
	// +optional
	Phase Phase `json:"phase,omitempty"`
	// RunID is the id of the Davit run, set before the run begins. The pods of the run have it as their label davit.io/run; the run's
	// journal is the ConfigMap of that name.
	// +optional
	RunID string `json:"runID,omitempty"`
	// Message is one line for a person: what runs at the moment, or why the backup failed.
	// +optional
	Message string `json:"message,omitempty"`
	// Artifacts say where the backup is: the output artifacts of the blueprint's action, with secrets masked.
	// +optional
	Artifacts map[string]Artifact `json:"artifacts,omitempty"`
	// Left names what the run could not remove. Somebody has to look at it.
	// +optional
	Left []string `json:"left,omitempty"`
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// Conditions: BlueprintValid, and Complete, which is Unknown while the backup runs.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Artifact is an output artifact: keys and values that the blueprint chose.
type Artifact map[string]string

// Types of conditions.
const (
	// BlueprintValid is False while the blueprint cannot be run. The message has the findings, with line and column.
	BlueprintValid = "BlueprintValid"
	// CompleteCondition is True once there is a backup, False once there will be none, Unknown before.
	CompleteCondition = "Complete"
)

// BackupList is a list of Backups.
// +kubebuilder:object:root=true
type BackupList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Backup `json:"items"`
}
