package rbac

import "strings"

// subjects are the kinds of subjects that an action can name without a resource, by the root of the parameters they fill.
var subjects = map[string]struct{ group, resource, ownerGroup, owner string }{
	"StatefulSet":      {group: "apps", resource: "statefulsets"},
	"Deployment":       {group: "apps", resource: "deployments", ownerGroup: "apps", owner: "replicasets"},
	"DeploymentConfig": {group: "apps.openshift.io", resource: "deploymentconfigs", owner: "replicationcontrollers"},
	"PVC":              {resource: "persistentvolumeclaims"},
	"Namespace":        {resource: "namespaces"},
}

// subjectKinds in the order of the parameters.
var subjectKinds = []string{"StatefulSet", "Deployment", "DeploymentConfig", "PVC", "Namespace"}

// canonical is the spelling of a kind of subject; empty for any other.
func canonical(kind string) string {
	for _, known := range subjectKinds {
		if strings.EqualFold(kind, known) {
			return known
		}
	}
	return ""
}

func isWorkload(kind string) bool {
	return kind == "StatefulSet" || kind == "Deployment" || kind == "DeploymentConfig"
}

// plural kinds of Kubernetes' own groups whose resource is not the kind in lower case with an s.
var plural = map[string]string{
	"CSIStorageCapacity": "csistoragecapacities",
	"Endpoints":          "endpoints",
	"Ingress":            "ingresses",
	"IngressClass":       "ingressclasses",
	"NetworkPolicy":      "networkpolicies",
	"PriorityClass":      "priorityclasses",
	"RuntimeClass":       "runtimeclasses",
	"StorageClass":       "storageclasses",
}

// own are the API groups of Kubernetes itself whose kinds follow the rule above, but for those in plural.
var own = []string{
	"", "apps", "autoscaling", "batch", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "networking.k8s.io", "policy",
	"rbac.authorization.k8s.io", "scheduling.k8s.io", "storage.k8s.io", "node.k8s.io", "apiextensions.k8s.io", "snapshot.storage.k8s.io",
}

// clusterScoped are resources whose objects belong to no namespace, by group.
var clusterScoped = map[string][]string{
	"":                             {"namespaces", "nodes", "persistentvolumes"},
	"admissionregistration.k8s.io": {"mutatingwebhookconfigurations", "validatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings"},
	"apiextensions.k8s.io":         {"customresourcedefinitions"},
	"apiregistration.k8s.io":       {"apiservices"},
	"certificates.k8s.io":          {"certificatesigningrequests"},
	"networking.k8s.io":            {"ingressclasses"},
	"node.k8s.io":                  {"runtimeclasses"},
	"rbac.authorization.k8s.io":    {"clusterroles", "clusterrolebindings"},
	"scheduling.k8s.io":            {"priorityclasses"},
	"snapshot.storage.k8s.io":      {"volumesnapshotclasses", "volumesnapshotcontents"},
	"storage.k8s.io":               {"csidrivers", "csinodes", "storageclasses", "volumeattachments"},
}

// guess makes the resource of a kind as most kinds have it.
func guess(kind string) string {
	name := strings.ToLower(kind)
	switch {
	case plural[kind] != "":
		return plural[kind]
	case strings.HasSuffix(name, "s"), strings.HasSuffix(name, "x"), strings.HasSuffix(name, "ch"), strings.HasSuffix(name, "sh"):
		return name + "es"
	case strings.HasSuffix(name, "y") && !strings.ContainsAny(name[max(0, len(name)-2):len(name)-1], "aeiou"):
		return strings.TrimSuffix(name, "y") + "ies"
	default:
		return name + "s"
	}
}
