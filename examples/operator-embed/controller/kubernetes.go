package controller

import (
	"log/slog"
	"time"

	"github.com/davit-project/davit/cluster/kubecluster"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Kubernetes connects runs to the cluster of these clients. Pods keep to the restricted Pod Security Standard whatever a
// blueprint asks for, and end after podDeadline even if no operator ever comes back.
func Kubernetes(clients kubecluster.Clients, podDeadline time.Duration) Connect {
	return func(namespace string, owner metav1.OwnerReference, log *slog.Logger) (Cluster, error) {
		return kubecluster.New(clients, &kubecluster.Options{
			Policy:      kubecluster.Policy{Level: kubecluster.LevelRestricted},
			Owner:       &kubecluster.Owner{Namespace: namespace, OwnerReference: owner},
			Namespaces:  []string{namespace},
			PodDeadline: podDeadline,
			Logger:      log,
		})
	}
}
