package kubecluster

// Policy says what the pods of RunPod may have once the podOverrides of a blueprint and of a run are merged over them. The zero value gives pods the
// settings of the restricted Pod Security Standard, and refuses an override that takes them out of the baseline one.
type Policy struct {
	// Level is the Pod Security Standard that an override must keep to: LevelBaseline, LevelRestricted or LevelPrivileged (anything goes). Default LevelBaseline.
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
