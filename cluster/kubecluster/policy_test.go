package kubecluster

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/davit-project/davit/cluster"
)

// task is a request as functions make it.
func task(t *testing.T, override string) cluster.Pod {
	t.Helper()
	pod := cluster.Pod{Name: "task", Namespace: "app", Image: "image", Command: []string{"true"}, Labels: map[string]string{"davit.io/run": "r"}}
	require.NoError(t, yaml.Unmarshal([]byte(override), &pod.Override))
	return pod
}

func offline(o Options) *Cluster {
	o.PodDeadline = time.Hour
	return &Cluster{opts: o}
}

// container is an override of the main container.
func container(fields string) string { return "containers: [{name: container, " + fields + "}]" }

func security(fields string) string { return container("securityContext: {" + fields + "}") }

func TestPolicyRefuses(t *testing.T) {
	const levels = "Policy.Level"
	for name, tc := range map[string]struct {
		override string
		level    Level
		field    string // the refusal names it
		how      string // and what can be done about it
		always   bool   // privileged does not allow it either
	}{
		"service account":            {"serviceAccountName: admin", "", `serviceAccountName "admin"`, "Policy.ServiceAccounts", false},
		"service account, old field": {"serviceAccount: admin", "", `serviceAccount "admin"`, "Policy.ServiceAccounts", false},
		"token":                      {"automountServiceAccountToken: true", "", "automountServiceAccountToken: true", "Policy.ServiceAccounts", false},
		"projected token":            {"volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]", "", `volume "t": a projected serviceAccountToken`, "Policy.ServiceAccounts", false},
		"projected certificate":      {"volumes: [{name: t, projected: {sources: [{podCertificate: {signerName: a/b, keyType: ED25519}}]}}]", "", `volume "t": a projected serviceAccountToken or podCertificate`, "Policy.ServiceAccounts", false},
		"node":                       {"nodeName: master", "", `nodeName "master"`, levels, false},
		"restart":                    {"restartPolicy: OnFailure", "", `restartPolicy "OnFailure"`, "retry", true},
		"restart of a container":     {container("restartPolicy: Always"), "", `container "container": restartPolicy`, "retry", true},
		"restart rules":              {container("restartPolicy: Never, restartPolicyRules: [{action: Restart}]"), "", `container "container": restartPolicy`, "retry", true},
		"restart of another":         {"containers: [{name: more, image: i, restartPolicy: OnFailure}]", "", `container "more": restartPolicy`, "retry", true},
		"restart of init":            {"initContainers: [{name: more, image: i, restartPolicy: OnFailure}]", "", `init container "more": a restartPolicy`, "retry", true},
		"restart rules of init":      {"initContainers: [{name: more, image: i, restartPolicyRules: [{action: Restart}]}]", "", `init container "more": a restartPolicy`, "retry", true},
		"longer deadline":            {"activeDeadlineSeconds: 3601", "", "activeDeadlineSeconds 3601", "Options.PodDeadline", true},
		"ephemeral containers":       {"ephemeralContainers: [{name: e, image: i}]", "", "ephemeralContainers", "use containers", true},
		"profile variable":           {container("env: [{name: DAVIT_PROFILE_FILE, value: /x}]"), "", `container "container": environment variable DAVIT_PROFILE_FILE`, "choose another", true},
		"results variable":           {container("env: [{name: DAVIT_RESULTS_FILE, value: /x}]"), "", "environment variable DAVIT_RESULTS_FILE", "choose another", true},
		"progress variable":          {"initContainers: [{name: i, image: i, env: [{name: DAVIT_PROGRESS, value: x}]}]", "", `container "i": environment variable DAVIT_PROGRESS`, "choose another", true},
		"profile volume":             {"volumes: [{name: davit-profile, emptyDir: {}}]", "", `volume "davit-profile"`, "choose another", true},
		"profile elsewhere":          {container("volumeMounts: [{name: davit-profile, mountPath: /x}]"), "", `mount of volume "davit-profile"`, "DAVIT_PROFILE_FILE", true},
		"over the profile":           {container("volumeMounts: [{name: v, mountPath: /var/run/davit/}]"), "", `mountPath "/var/run/davit/"`, "choose another", true},
		"over the profile, hidden":   {container("volumeMounts: [{name: v, mountPath: /var/../var/run//davit/profile}]"), "", "mountPath", "choose another", true},
		"over the results":           {container("volumeMounts: [{name: v, mountPath: /dev/termination-log}]"), "", `mountPath "/dev/termination-log"`, "choose another", true},
		"main container gone":        {"containers: [{name: container, $patch: delete}]", "", `main container "container"`, "", true},
		"containers replaced":        {"containers: [{name: x, image: i}, {$patch: replace}]", "", `main container "container"`, "", true},
		"no containers":              {"containers: null", "", `main container "container"`, "", true},
		"wrong type":                 {"containers: text", "", "podOverride: ", "", true},
		"wrong type of a field":      {"activeDeadlineSeconds: soon", "", "podOverride: ", "", true},

		"hostNetwork":            {"hostNetwork: true", "", "hostNetwork", levels, false},
		"hostPID":                {"hostPID: true", "", "hostPID", levels, false},
		"hostIPC":                {"hostIPC: true", "", "hostIPC", levels, false},
		"hostPath":               {"volumes: [{name: v, hostPath: {path: /}}]", "", `volume "v": hostPath`, levels, false},
		"hostPort":               {container("ports: [{containerPort: 1, hostPort: 2}]"), "", `container "container": hostPort`, levels, false},
		"privileged":             {security("privileged: true"), "", "privileged: true", levels, false},
		"privileged init":        {"initContainers: [{name: i, image: i, securityContext: {privileged: true}}]", "", `container "i": securityContext.privileged: true`, levels, false},
		"capability":             {security("capabilities: {add: [SYS_ADMIN]}"), "", "capabilities.add: SYS_ADMIN", levels, false},
		"seccomp":                {security("seccompProfile: {type: Unconfined}"), "", `seccompProfile.type: "Unconfined"`, levels, false},
		"seccomp of the pod":     {"securityContext: {seccompProfile: {type: Unconfined}}", "", `securityContext.seccompProfile.type: "Unconfined"`, levels, false},
		"AppArmor":               {security("appArmorProfile: {type: Unconfined}"), "", "appArmorProfile.type", levels, false},
		"SELinux type":           {security("seLinuxOptions: {type: spc_t}"), "", "seLinuxOptions", levels, false},
		"SELinux user":           {"securityContext: {seLinuxOptions: {user: u}}", "", "seLinuxOptions", levels, false},
		"SELinux role":           {"securityContext: {seLinuxOptions: {role: r}}", "", "seLinuxOptions", levels, false},
		"procMount":              {security("procMount: Unmasked"), "", "procMount: Unmasked", levels, false},
		"sysctl":                 {"securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}", "", "sysctls: kernel.msgmax", levels, false},
		"Windows":                {security("windowsOptions: {hostProcess: true}"), "", "hostProcess", levels, false},
		"host of a probe":        {container("livenessProbe: {httpGet: {host: h, port: 1}}"), "", `host "h"`, levels, false},
		"host of a socket":       {container("startupProbe: {tcpSocket: {host: h, port: 1}}"), "", `host "h"`, levels, false},
		"host of a handler":      {container("lifecycle: {preStop: {httpGet: {host: h, port: 1}}}"), "", `host "h"`, levels, false},
		"root, restricted":       {security("runAsUser: 0"), LevelRestricted, "runAsUser: 0", levels, false},
		"root pod, restricted":   {"securityContext: {runAsUser: 0}", LevelRestricted, "securityContext.runAsUser: 0", levels, false},
		"any user, restricted":   {security("runAsNonRoot: false"), LevelRestricted, "runAsNonRoot: want true", levels, false},
		"any user of the pod":    {"securityContext: {runAsNonRoot: false}", LevelRestricted, "securityContext.runAsNonRoot: false", levels, false},
		"escalation":             {security("allowPrivilegeEscalation: true"), LevelRestricted, "allowPrivilegeEscalation: want false", levels, false},
		"capability kept":        {security("capabilities: {drop: [CHOWN]}"), LevelRestricted, "capabilities.drop: want ALL", levels, false},
		"capability, baseline":   {security("capabilities: {add: [CHOWN]}"), LevelRestricted, "capabilities.add: CHOWN", levels, false},
		"NFS, restricted":        {"volumes: [{name: v, nfs: {server: s, path: /}}]", LevelRestricted, `volume "v": its type`, levels, false},
		"seccomp taken away":     {"securityContext: {seccompProfile: {type: Unconfined}}", LevelRestricted, "seccompProfile", levels, false},
		"hostUsers is no ticket": {"hostUsers: false\nsecurityContext: {runAsUser: 0}", LevelRestricted, "runAsUser: 0", levels, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := offline(Options{Policy: Policy{Level: tc.level}}).wanted(task(t, tc.override))
			require.ErrorIs(t, err, cluster.ErrInvalid)
			require.ErrorContains(t, err, "pod app/task: ")
			require.ErrorContains(t, err, tc.field)
			require.ErrorContains(t, err, tc.how)
			_, err = offline(Options{Policy: Policy{Level: LevelPrivileged}}).wanted(task(t, tc.override))
			require.Equal(t, tc.always, err != nil, "privileged: %v", err)
		})
	}
}

func TestPolicyRefusesRequests(t *testing.T) {
	long := strings.Repeat("x", 64)
	for name, tc := range map[string]struct {
		change func(*cluster.Pod)
		want   string
	}{
		"name":            {func(p *cluster.Pod) { p.Name = "A" }, `name "A"`},
		"long name":       {func(p *cluster.Pod) { p.Name = strings.Repeat("a.", 121) + "aa" }, "name: 244 bytes"},
		"namespace":       {func(p *cluster.Pod) { p.Namespace = "" }, `namespace ""`},
		"no labels":       {func(p *cluster.Pod) { p.Labels = nil }, "labels that identify the run are required"},
		"label name":      {func(p *cluster.Pod) { p.Labels["a b"] = "" }, `labels: Invalid value: "a b"`},
		"label value":     {func(p *cluster.Pod) { p.Labels["a"] = long }, "labels: Invalid value"},
		"annotation":      {func(p *cluster.Pod) { p.Annotations = map[string]string{"a/b/c": ""} }, "annotations: Invalid value"},
		"long annotation": {func(p *cluster.Pod) { p.Annotations = map[string]string{"a": strings.Repeat(long, 1<<12)} }, "annotations: Too long"},
		"AppArmor": {func(p *cluster.Pod) {
			p.Annotations = map[string]string{"container.apparmor.security.beta.kubernetes.io/container": "unconfined"}
		}, "annotation container.apparmor"},
		"medium":          {func(p *cluster.Pod) { p.Shared = &cluster.SharedVolume{Path: "/tmp", Medium: "Tape"} }, `medium "Tape"`},
		"size":            {func(p *cluster.Pod) { p.Shared = &cluster.SharedVolume{Path: "/tmp", SizeLimit: "much"} }, `size limit "much"`},
		"shared path":     {func(p *cluster.Pod) { p.Shared = &cluster.SharedVolume{Path: "/var/run/davit"} }, "mountPath"},
		"path of a claim": {func(p *cluster.Pod) { p.Claims = map[string]string{"data": "/var/run/davit/profile/"} }, "mountPath"},
		"all at once":     {func(p *cluster.Pod) { p.Name, p.Labels = "A", nil }, "\nlabels that"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := task(t, "")
			tc.change(&pod)
			_, err := offline(Options{}).wanted(pod)
			require.ErrorIs(t, err, cluster.ErrInvalid)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestPolicyAllows(t *testing.T) {
	listed := Options{Policy: Policy{ServiceAccounts: []string{"backup"}}}
	restricted := Options{Policy: Policy{Level: LevelRestricted}}
	for name, tc := range map[string]struct {
		opts     Options
		override string
		check    func(t *testing.T, s *corev1.PodSpec)
	}{
		"listed account gets its token": {listed, "serviceAccountName: backup", func(t *testing.T, s *corev1.PodSpec) {
			require.True(t, *s.AutomountServiceAccountToken)
		}},
		"listed account without token": {listed, "serviceAccountName: backup\nautomountServiceAccountToken: false", func(t *testing.T, s *corev1.PodSpec) {
			require.False(t, *s.AutomountServiceAccountToken)
		}},
		"listed account and a projected token": {listed, "serviceAccountName: backup\nvolumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]", nil},
		"projected secret":                     {Options{}, "volumes: [{name: t, projected: {sources: [{secret: {name: s}}]}}]", nil},
		"shorter deadline": {Options{}, "activeDeadlineSeconds: 60", func(t *testing.T, s *corev1.PodSpec) {
			require.EqualValues(t, 60, *s.ActiveDeadlineSeconds)
		}},
		"deadline taken away": {Options{}, "activeDeadlineSeconds: null", func(t *testing.T, s *corev1.PodSpec) {
			require.EqualValues(t, 3600, *s.ActiveDeadlineSeconds)
		}},
		"node selector":    {restricted, "nodeSelector: {disk: fast}\ntolerations: [{operator: Exists}]", nil},
		"capability":       {restricted, security("capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"), nil},
		"localhost":        {restricted, security("seccompProfile: {type: Localhost, localhostProfile: p}"), nil},
		"sysctl":           {restricted, "securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: '1'}]}", nil},
		"volumes":          {restricted, "volumes: [{name: a, emptyDir: {}}, {name: b, secret: {secretName: s}}, {name: c, persistentVolumeClaim: {claimName: c}}]", nil},
		"native sidecar":   {restricted, "initContainers: [{name: proxy, image: i, restartPolicy: Always}]", nil},
		"unknown field":    {restricted, "surprise: {a: 1}\n" + container("shock: true"), nil},
		"longer grace":     {restricted, "terminationGracePeriodSeconds: 120", nil},
		"mounts elsewhere": {restricted, "volumes: [{name: v, emptyDir: {}}]\n" + container("volumeMounts: [{name: v, mountPath: /var/run/davits}]"), nil},
		"root by number": {Options{}, security("runAsUser: 0"), func(t *testing.T, s *corev1.PodSpec) {
			require.False(t, *s.Containers[0].SecurityContext.RunAsNonRoot)
			require.Equal(t, []corev1.Capability{"ALL"}, s.Containers[0].SecurityContext.Capabilities.Drop)
		}},
		"root by number for the pod": {Options{}, "securityContext: {runAsUser: 0}\ncontainers: [{name: more, image: i, securityContext: {runAsUser: 5}}]", func(t *testing.T, s *corev1.PodSpec) {
			require.False(t, *s.Containers[0].SecurityContext.RunAsNonRoot)
			require.True(t, *s.Containers[1].SecurityContext.RunAsNonRoot)
		}},
		"any user": {Options{}, "securityContext: {runAsNonRoot: false}", func(t *testing.T, s *corev1.PodSpec) {
			require.Nil(t, s.Containers[0].SecurityContext.RunAsNonRoot)
		}},
		"capabilities of a root": {Options{}, security("runAsUser: 0, capabilities: {add: [DAC_OVERRIDE]}"), func(t *testing.T, s *corev1.PodSpec) {
			require.Equal(t, &corev1.Capabilities{Add: []corev1.Capability{"DAC_OVERRIDE"}, Drop: []corev1.Capability{"ALL"}}, s.Containers[0].SecurityContext.Capabilities)
		}},
		"privileged": {Options{Policy: Policy{Level: LevelPrivileged}}, security("privileged: true"), func(t *testing.T, s *corev1.PodSpec) {
			require.Nil(t, s.Containers[0].SecurityContext.AllowPrivilegeEscalation, "the server refuses both together")
			require.Empty(t, s.Containers[0].SecurityContext.Capabilities.Drop)
		}},
		"privileged token": {Options{Policy: Policy{Level: LevelPrivileged}}, "automountServiceAccountToken: true\nserviceAccountName: any\nnodeName: here", nil},
		"as the image says": {Options{Policy: Policy{RunAsImage: true}}, "containers: [{name: more, image: i}]", func(t *testing.T, s *corev1.PodSpec) {
			require.Nil(t, s.SecurityContext)
			require.Nil(t, s.Containers[0].SecurityContext)
			require.Nil(t, s.Containers[1].SecurityContext)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := offline(tc.opts).wanted(task(t, tc.override))
			require.NoError(t, err)
			if tc.check != nil {
				tc.check(t, &w.pod.Spec)
			}
		})
	}
}

func TestPolicyWithoutAName(t *testing.T) {
	_, err := offline(Options{Policy: Policy{Level: "lax"}}).wanted(task(t, ""))
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.ErrorContains(t, err, `Policy.Level "lax" is none`)
}

// An override is whatever a blueprint's author wrote.
func FuzzOverride(f *testing.F) {
	for _, seed := range []string{`{}`, `{"containers":[{"name":"container","$patch":"delete"}]}`, `{"$patch":"replace"}`, `{"$retainKeys":["x"]}`,
		`{"containers":[null]}`, `{"containers":[{"name":null}]}`, `{"$setElementOrder/containers":[{"name":"b"}],"containers":[{"name":"b"}]}`,
		`{"volumes":[{"name":"a","hostPath":{"path":"/"}}]}`, `{"$deleteFromPrimitiveList/x":[1]}`, `{"securityContext":{"runAsUser":0}}`,
		`{"containers":[{"name":"container","env":[{"name":"A","$patch":"merge"}]}]}`, `{"activeDeadlineSeconds":1e30}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pod := task(t, "")
		if json.Unmarshal([]byte(text), &pod.Override) != nil {
			return
		}
		pod.Profile = []byte("{}")
		w, err := offline(Options{}).wanted(pod)
		if err != nil {
			require.ErrorIs(t, err, cluster.ErrInvalid)
			return
		}
		s := &w.pod.Spec
		require.Equal(t, "container", s.Containers[0].Name)
		require.Equal(t, corev1.RestartPolicyNever, s.RestartPolicy)
		require.LessOrEqual(t, *s.ActiveDeadlineSeconds, int64(3600))
		require.False(t, *s.AutomountServiceAccountToken)
		require.False(t, s.HostNetwork || s.HostPID || s.HostIPC)
		for ct := range everyContainer(s) {
			require.False(t, isTrue(ct.SecurityContext.Privileged))
			require.Equal(t, corev1.TerminationMessageReadFile, ct.TerminationMessagePolicy)
		}
	})
}
