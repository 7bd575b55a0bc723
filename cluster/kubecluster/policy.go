package kubecluster

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/davit-project/davit/cluster"
)

// Policy says what the pods of RunPod may have once the podOverrides of a blueprint and of a run are merged over them. The zero value gives pods the
// settings of the restricted Pod Security Standard, and refuses an override that takes them out of the baseline one.
//
// An override that asks for root (runAsUser: 0) gets a root without capabilities, which may not read the files of others. It has to add the ones it needs;
// the baseline standard allows those that containers have by default, such as DAC_OVERRIDE and CHOWN.
//
// Whatever the policy, a pod runs once (restartPolicy Never, for each container), within Options.PodDeadline, and has no ephemeral containers. What an
// override can do under any policy is mount every claim, config map and secret of the pod's namespace.
type Policy struct {
	// Level is the Pod Security Standard that an override must keep to: LevelBaseline, LevelRestricted or LevelPrivileged (anything goes, service
	// accounts and the choice of a node included). Default LevelBaseline.
	Level Level
	// RunAsImage leaves out what restricts a pod (runAsNonRoot, no privilege escalation, no capabilities, the runtime's seccomp profile): containers run as
	// their image says, as root too, which blueprints written for Kanister may rely on. Default false.
	RunAsImage bool
	// ServiceAccounts are those that an override may name, in any namespace. Default none.
	ServiceAccounts []string
}

// Level is a Pod Security Standard.
type Level string

// The levels, see https://kubernetes.io/docs/concepts/security/pod-security-standards/.
const (
	LevelBaseline   Level = "baseline"
	LevelRestricted Level = "restricted"
	LevelPrivileged Level = "privileged"
)

// rules are what one pod is held against.
type rules struct {
	Policy
	// account is the service account that the request itself names.
	account string
	// deadline is the longest that the pod may run, in seconds.
	deadline int64
}

func (c *Cluster) rules(pod cluster.Pod) rules {
	r := rules{Policy: c.opts.Policy, account: pod.ServiceAccount, deadline: *c.deadline()}
	if r.Level == "" {
		r.Level = LevelBaseline
	}
	return r
}

// mayUse tells whether a pod may have the token of a service account.
func (r rules) mayUse(account string) bool {
	return account != "" && (r.Level == LevelPrivileged || account == r.account || slices.Contains(r.ServiceAccounts, account))
}

// accountOf is the service account that a spec names, under either name of the field; empty for none.
func accountOf(s *corev1.PodSpec) string {
	if s.ServiceAccountName != "" {
		return s.ServiceAccountName
	}
	return s.DeprecatedServiceAccount
}

// faults collects what is wrong, in the order it is met.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// checkOwn holds a spec against everything but the Pod Security Standard. Each fault names the field and says what the host can do about it.
func (r rules) checkOwn(s *corev1.PodSpec) error {
	var f faults
	switch r.Level {
	case LevelBaseline, LevelRestricted:
		r.checkAccount(s, &f)
		if s.NodeName != "" { // past the scheduler: past taints, resources and what keeps others from a node
			f.add("nodeName %q is not allowed: use nodeSelector, or the host sets Policy.Level to privileged", s.NodeName)
		}
	case LevelPrivileged:
	default:
		f.add("Policy.Level %q is none: the host has to set baseline, restricted or privileged", r.Level)
	}
	r.checkEnd(s, &f)
	checkReserved(s, &f)
	return errors.Join(f...)
}

// checkAccount refuses every way to a service account's token that the host did not open.
func (r rules) checkAccount(s *corev1.PodSpec, f *faults) {
	for _, field := range []struct{ name, account string }{{"serviceAccountName", s.ServiceAccountName}, {"serviceAccount", s.DeprecatedServiceAccount}} {
		if field.account != "" && !r.mayUse(field.account) {
			f.add("%s %q is not allowed: the host can list it in Policy.ServiceAccounts", field.name, field.account)
		}
	}
	if r.mayUse(accountOf(s)) {
		return
	}
	const how = "serviceAccountName has to name an account that the host lists in Policy.ServiceAccounts"
	if isTrue(s.AutomountServiceAccountToken) {
		f.add("automountServiceAccountToken: true is not allowed without a service account: %s", how)
	}
	for _, v := range s.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.ServiceAccountToken != nil || source.PodCertificate != nil {
				f.add("volume %q: a projected serviceAccountToken or podCertificate is not allowed without a service account: %s", v.Name, how)
			}
		}
	}
}

// checkEnd refuses what would let a pod run again, run longer, or be changed while it runs. No policy allows it: a command that ran twice is a defect.
func (r rules) checkEnd(s *corev1.PodSpec, f *faults) {
	if s.RestartPolicy != corev1.RestartPolicyNever {
		f.add("restartPolicy %q is not allowed: a pod runs once; use retry on the phase", s.RestartPolicy)
	}
	for _, ct := range s.Containers {
		if ct.RestartPolicy != nil && *ct.RestartPolicy != corev1.ContainerRestartPolicyNever || len(ct.RestartPolicyRules) > 0 {
			f.add("container %q: restartPolicy and restartPolicyRules are not allowed: a pod runs once; use retry on the phase", ct.Name)
		}
	}
	for _, ct := range s.InitContainers {
		if len(ct.RestartPolicyRules) > 0 || ct.RestartPolicy != nil && *ct.RestartPolicy == corev1.ContainerRestartPolicyOnFailure {
			f.add("init container %q: a restartPolicy other than Never or Always, and restartPolicyRules, are not allowed: a pod runs once; use retry on the phase", ct.Name)
		}
	}
	if s.ActiveDeadlineSeconds != nil && *s.ActiveDeadlineSeconds > r.deadline {
		f.add("activeDeadlineSeconds %d is not allowed: it can only be shortened; the host can set a longer one than %d s as Options.PodDeadline",
			*s.ActiveDeadlineSeconds, r.deadline)
	}
	if len(s.EphemeralContainers) > 0 {
		f.add("ephemeralContainers are not allowed: a pod cannot be created with them; use containers")
	}
}

// checkReserved refuses the names that the binding itself gives to variables, volumes and paths.
func checkReserved(s *corev1.PodSpec, f *faults) {
	for _, v := range s.Volumes {
		if v.Name == profileVolume {
			f.add("volume %q is not allowed: the name is reserved; choose another", v.Name)
		}
	}
	for ct := range everyContainer(s) {
		for _, e := range ct.Env {
			if e.Name == cluster.ProfileEnv || e.Name == cluster.ResultsEnv || e.Name == cluster.ProgressEnv {
				f.add("container %q: environment variable %s is not allowed: the name is reserved; choose another", ct.Name, e.Name)
			}
		}
		for _, m := range ct.VolumeMounts {
			if m.Name == profileVolume {
				f.add("container %q: a mount of volume %q is not allowed: the profile is where %s says", ct.Name, m.Name, cluster.ProfileEnv)
			}
			if clash(m.MountPath, reservedPath) || clash(m.MountPath, resultsPath) {
				f.add("container %q: mountPath %q is not allowed: the path is reserved; choose another", ct.Name, m.MountPath)
			}
		}
	}
}

// clash tells whether a mount would hide or change a reserved path: at it or below it.
func clash(mount, reserved string) bool {
	mount = path.Clean("/" + mount)
	return mount == reserved || strings.HasPrefix(mount, reserved+"/")
}
