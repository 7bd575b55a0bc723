package kubecluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// What the baseline standard allows. Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/, version 1.36.
var (
	baselineCapabilities = []corev1.Capability{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
		"SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
	baselineSELinux = []string{"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
	baselineSysctls = []string{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start",
		"net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
		"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem"}
)

// checkStandard holds a pod against the Pod Security Standard of the policy, as of its version 1.36, on Linux. Two things that version 1.35 relaxed for
// pods in a user namespace of their own (hostUsers: false) stay refused: a cluster that does not know them would run such a pod as root.
//
// A spec was decoded into the types of this version, so what a later one adds cannot be in it.
func (r rules) checkStandard(pod *corev1.Pod) error {
	if r.Level == LevelPrivileged {
		return nil
	}
	s := &standard{spec: &pod.Spec, annotations: pod.Annotations}
	s.podBaseline()
	for ct := range everyContainer(s.spec) {
		s.containerBaseline(ct)
	}
	if r.Level == LevelRestricted {
		s.podRestricted()
		for ct := range everyContainer(s.spec) {
			s.containerRestricted(ct)
		}
	}
	if len(s.found) == 0 {
		return nil
	}
	return fmt.Errorf("the Pod Security Standard %q does not allow it, which the host can widen by Policy.Level:\n%w", r.Level, errors.Join(s.found...))
}

// standard is a check of one pod.
type standard struct {
	spec        *corev1.PodSpec
	annotations map[string]string
	found       faults
}

// context is the pod's security context, empty when there is none.
func (s *standard) context() *corev1.PodSecurityContext {
	if s.spec.SecurityContext == nil {
		return &corev1.PodSecurityContext{}
	}
	return s.spec.SecurityContext
}

func (s *standard) podBaseline() {
	for _, field := range []struct {
		name string
		on   bool
	}{{"hostNetwork", s.spec.HostNetwork}, {"hostPID", s.spec.HostPID}, {"hostIPC", s.spec.HostIPC}} {
		if field.on {
			s.found.add("%s: true", field.name)
		}
	}
	for _, v := range s.spec.Volumes {
		if v.HostPath != nil {
			s.found.add("volume %q: hostPath", v.Name)
		}
	}
	pod := s.context()
	s.confined("securityContext", confinement{pod.SELinuxOptions, pod.SeccompProfile, pod.AppArmorProfile, pod.WindowsOptions})
	for _, sysctl := range pod.Sysctls {
		if !slices.Contains(baselineSysctls, sysctl.Name) {
			s.found.add("securityContext.sysctls: %s", sysctl.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.annotations)) {
		value := s.annotations[name]
		if strings.HasPrefix(name, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) && value != "" &&
			value != corev1.DeprecatedAppArmorBetaProfileRuntimeDefault && !strings.HasPrefix(value, corev1.DeprecatedAppArmorBetaProfileNamePrefix) {
			s.found.add("annotation %s: %s", name, value)
		}
	}
}

// confinement is what the security contexts of pods and of containers both have.
type confinement struct {
	seLinux  *corev1.SELinuxOptions
	seccomp  *corev1.SeccompProfile
	appArmor *corev1.AppArmorProfile
	windows  *corev1.WindowsSecurityContextOptions
}

func (s *standard) confined(at string, c confinement) {
	se, seccomp, armor, windows := c.seLinux, c.seccomp, c.appArmor, c.windows
	if se != nil && (!slices.Contains(baselineSELinux, se.Type) || se.User != "" || se.Role != "") {
		s.found.add("%s.seLinuxOptions: type %q, user %q, role %q", at, se.Type, se.User, se.Role)
	}
	if seccomp != nil && !allowedSeccomp(seccomp) {
		s.found.add("%s.seccompProfile.type: %q", at, seccomp.Type)
	}
	if armor != nil && armor.Type != corev1.AppArmorProfileTypeRuntimeDefault && armor.Type != corev1.AppArmorProfileTypeLocalhost {
		s.found.add("%s.appArmorProfile.type: %q", at, armor.Type)
	}
	if windows != nil && isTrue(windows.HostProcess) {
		s.found.add("%s.windowsOptions.hostProcess: true", at)
	}
}

func allowedSeccomp(p *corev1.SeccompProfile) bool {
	return p.Type == corev1.SeccompProfileTypeRuntimeDefault || p.Type == corev1.SeccompProfileTypeLocalhost
}

func (s *standard) containerBaseline(ct *corev1.Container) {
	at := fmt.Sprintf("container %q: ", ct.Name)
	for _, port := range ct.Ports {
		if port.HostPort != 0 {
			s.found.add("%shostPort: %d", at, port.HostPort)
		}
	}
	for _, host := range handlerHosts(ct) {
		s.found.add("%shost %q of a probe or a lifecycle handler", at, host)
	}
	own := ct.SecurityContext
	if own == nil {
		return
	}
	at += "securityContext"
	s.confined(at, confinement{own.SELinuxOptions, own.SeccompProfile, own.AppArmorProfile, own.WindowsOptions})
	if isTrue(own.Privileged) {
		s.found.add("%s.privileged: true", at)
	}
	if own.ProcMount != nil && *own.ProcMount != corev1.DefaultProcMount {
		s.found.add("%s.procMount: %s", at, *own.ProcMount)
	}
	if own.Capabilities != nil {
		for _, added := range own.Capabilities.Add {
			if !slices.Contains(baselineCapabilities, added) {
				s.found.add("%s.capabilities.add: %s", at, added)
			}
		}
	}
}

// handlerHosts are the hosts that a container's probes and lifecycle handlers name.
func handlerHosts(ct *corev1.Container) (hosts []string) {
	get := func(h *corev1.HTTPGetAction, t *corev1.TCPSocketAction) {
		if h != nil && h.Host != "" {
			hosts = append(hosts, h.Host)
		}
		if t != nil && t.Host != "" {
			hosts = append(hosts, t.Host)
		}
	}
	for _, probe := range []*corev1.Probe{ct.LivenessProbe, ct.ReadinessProbe, ct.StartupProbe} {
		if probe != nil {
			get(probe.HTTPGet, probe.TCPSocket)
		}
	}
	if ct.Lifecycle != nil {
		for _, handler := range []*corev1.LifecycleHandler{ct.Lifecycle.PostStart, ct.Lifecycle.PreStop} {
			if handler != nil {
				get(handler.HTTPGet, handler.TCPSocket)
			}
		}
	}
	return hosts
}

func (s *standard) podRestricted() {
	for _, v := range s.spec.Volumes {
		if v.ConfigMap == nil && v.CSI == nil && v.DownwardAPI == nil && v.EmptyDir == nil && v.Ephemeral == nil && v.Image == nil &&
			v.PersistentVolumeClaim == nil && v.Projected == nil && v.Secret == nil {
			s.found.add("volume %q: its type", v.Name)
		}
	}
	pod := s.context()
	if pod.RunAsNonRoot != nil && !*pod.RunAsNonRoot {
		s.found.add("securityContext.runAsNonRoot: false")
	}
	if pod.RunAsUser != nil && *pod.RunAsUser == 0 {
		s.found.add("securityContext.runAsUser: 0")
	}
}

func (s *standard) containerRestricted(ct *corev1.Container) {
	at := fmt.Sprintf("container %q: securityContext", ct.Name)
	own, pod := ct.SecurityContext, s.context()
	if own == nil {
		own = &corev1.SecurityContext{}
	}
	if own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation {
		s.found.add("%s.allowPrivilegeEscalation: want false", at)
	}
	if nonRoot := own.RunAsNonRoot; nonRoot == nil && !isTrue(pod.RunAsNonRoot) || nonRoot != nil && !*nonRoot {
		s.found.add("%s.runAsNonRoot: want true", at)
	}
	if own.RunAsUser != nil && *own.RunAsUser == 0 {
		s.found.add("%s.runAsUser: 0", at)
	}
	if own.SeccompProfile == nil && pod.SeccompProfile == nil {
		s.found.add("%s.seccompProfile: want RuntimeDefault or Localhost", at)
	}
	capabilities := own.Capabilities
	if capabilities == nil {
		capabilities = &corev1.Capabilities{}
	}
	if !slices.Contains(capabilities.Drop, "ALL") {
		s.found.add("%s.capabilities.drop: want ALL", at)
	}
	for _, added := range capabilities.Add {
		if added != "NET_BIND_SERVICE" {
			s.found.add("%s.capabilities.add: %s", at, added)
		}
	}
}
