// Package rds holds the functions that snapshot, export and restore databases of Amazon RDS.
//
// All of them ([Declared]) are declared and not built in yet: their arguments, outputs and static checks are complete, so that
// blueprints can be linted, but running one fails.
//
// # Errors
//
// A function that is only declared fails with [function.ErrDeclared], which is permanent.
//
// # Concurrency
//
// The functions keep no state; one value serves any number of runs at once.
package rds

import (
	"strings"

	"github.com/davit-project/davit/function"
)

// Declared returns the functions of this package that are known by their schemas alone: blueprints that call them are linted and
// documented, running one fails with function.ErrDeclared.
func Declared() []function.Func {
	return []function.Func{createRDSSnapshot(), exportRDSSnapshotToLocation(), restoreRDSSnapshot(), deleteRDSSnapshot()}
}

// credentials say how the functions sign in to AWS.
type credentials struct {
	CredentialsSource string `arg:"credentialsSource" default:"profile" enum:"profile,secret,eks_service_account" doc:"Where the AWS credentials come from."`
	CredentialsSecret string `arg:"credentialsSecret,optional" doc:"Name of the secret, among the action's or the phase's, where the source is secret."`
	Region            string `arg:"region,optional" doc:"AWS region; the profile's if unset."`
}

// podMetadata is added to the pod that dumps or restores.
type podMetadata struct {
	PodAnnotations map[string]string `arg:"podAnnotations,optional" doc:"Annotations of the pod."`
	PodLabels      map[string]string `arg:"podLabels,optional" doc:"Labels of the pod."`
}

// checkCredentials finds a missing name of the secret.
func checkCredentials(args map[string]any) []function.Problem {
	source, _ := args["credentialsSource"].(string)
	return function.RequireWith(args, strings.EqualFold(source, "secret"), "where credentialsSource is secret", "credentialsSecret")
}
