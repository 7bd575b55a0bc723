package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of this API.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: "example.davit.io", Version: "v1alpha1"}
}

// AddToScheme makes the types known to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion(), &Backup{}, &BackupList{})
	metav1.AddToGroupVersion(s, GroupVersion())
	return nil
}
