//go:build e2e

package kubecluster

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/internal/testcluster"
)

// settings are fragments of pods that one of the Pod Security Standards has a say about, and some that none has.
var settings = []string{
	"hostNetwork: true", "hostPID: true", "hostIPC: true", "hostNetwork: false", "shareProcessNamespace: true", "priority: 0",
	"volumes: [{name: v, hostPath: {path: /}}]", "volumes: [{name: v, nfs: {server: s, path: /}}]", "volumes: [{name: v, emptyDir: {}}]",
	"volumes: [{name: v, projected: {sources: [{secret: {name: s}}]}}]", "volumes: [{name: v, secret: {secretName: s}}]", "volumes: [{name: v, configMap: {name: s}}]",
	"volumes: [{name: v, csi: {driver: d}}]", "volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]", "volumes: [{name: v, image: {reference: i}}]",
	"volumes: [{name: v, iscsi: {targetPortal: 10.0.0.1, iqn: 'iqn.2001-04.com.example:storage', lun: 0}}]", "volumes: [{name: v, gitRepo: {repository: r}}]",
	"volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}]",
	"volumes: [{name: v, downwardAPI: {items: [{path: p, fieldRef: {fieldPath: metadata.name}}]}}]",
	"securityContext: {runAsUser: 0}", "securityContext: {runAsUser: 5}", "securityContext: {runAsNonRoot: false}", "securityContext: {runAsNonRoot: true}",
	"securityContext: {seccompProfile: {type: Unconfined}}", "securityContext: {seccompProfile: {type: Localhost, localhostProfile: p}}",
	"securityContext: {appArmorProfile: {type: Unconfined}}", "securityContext: {appArmorProfile: {type: RuntimeDefault}}",
	"securityContext: {seLinuxOptions: {type: container_t}}", "securityContext: {seLinuxOptions: {type: container_engine_t}}", "securityContext: {seLinuxOptions: {type: spc_t}}",
	"securityContext: {seLinuxOptions: {level: 's0:c1'}}", "securityContext: {seLinuxOptions: {user: u}}", "securityContext: {seLinuxOptions: {role: r}}",
	"securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: '1'}]}", "securityContext: {sysctls: [{name: net.ipv4.tcp_rmem, value: '1'}]}",
	"securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}", "securityContext: {sysctls: [{name: net.core.somaxconn, value: '1'}]}",
	"securityContext: {fsGroup: 5, supplementalGroups: [0]}",
	"CT: {ports: [{containerPort: 1, hostPort: 2}]}", "CT: {ports: [{containerPort: 1}]}",
	"CT: {livenessProbe: {httpGet: {host: h, port: 1}}}", "CT: {livenessProbe: {httpGet: {port: 1}}}", "CT: {startupProbe: {tcpSocket: {host: 127.0.0.1, port: 1}}}", "CT: {readinessProbe: {exec: {command: [a]}}}",
	"CT: {lifecycle: {postStart: {httpGet: {host: h, port: 1}}}}", "CT: {lifecycle: {preStop: {tcpSocket: {host: h, port: 1}}}}", "CT: {lifecycle: {preStop: {exec: {command: [a]}}}}",
	"SC: {privileged: true}", "SC: {privileged: false}", "SC: {allowPrivilegeEscalation: true}", "SC: {allowPrivilegeEscalation: false}",
	"SC: {capabilities: {add: [SYS_ADMIN]}}", "SC: {capabilities: {add: [NET_RAW]}}", "SC: {capabilities: {add: [CHOWN]}}", "SC: {capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}",
	"SC: {capabilities: {drop: [CHOWN]}}", "SC: {capabilities: {drop: [ALL, CHOWN], add: [CHOWN]}}", "SC: {capabilities: {drop: [all]}}",
	"SC: {runAsUser: 0}", "SC: {runAsUser: 7}", "SC: {runAsNonRoot: false}", "SC: {runAsNonRoot: true}", "SC: {procMount: Default}", "SC: {procMount: Unmasked}", "SC: {readOnlyRootFilesystem: true}",
	"SC: {seccompProfile: {type: Unconfined}}", "SC: {seccompProfile: {type: RuntimeDefault}}", "SC: {appArmorProfile: {type: Unconfined}}", "SC: {appArmorProfile: {type: Localhost, localhostProfile: p}}",
	"SC: {seLinuxOptions: {type: spc_t}}", "SC: {seLinuxOptions: {type: container_init_t, level: s0}}", "SC: {windowsOptions: {hostProcess: true}}", "SC: {windowsOptions: {runAsUserName: u}}",
}

// fragment writes out a setting for one of the pod's containers.
func fragment(setting string) string {
	if text, ok := strings.CutPrefix(setting, "SC: "); ok {
		setting = "CT: {securityContext: " + text + "}"
	}
	text, ok := strings.CutPrefix(setting, "CT: {")
	if !ok {
		return setting
	}
	if rand.IntN(4) == 0 {
		return "initContainers: [{name: init, image: i, " + text + "]"
	}
	return "containers: [{name: container, " + text + "]"
}

// The Pod Security admission of a real server is the authority on the standards: what it says of a pod, this package says too.
func TestStandardsAreThoseOfTheServer(t *testing.T) {
	c := testcluster.Open(t)
	quiet := rest.CopyConfig(c.Config)
	quiet.WarningHandler = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(quiet)
	require.NoError(t, err)
	namespaces := map[Level]string{}
	for _, level := range []Level{LevelBaseline, LevelRestricted} {
		namespaces[level] = c.Namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": string(level), "pod-security.kubernetes.io/enforce-version": "v1.36"})
	}
	said := map[string]int{}
	judge := func(fragments ...string) {
		t.Helper()
		asImage := rand.IntN(3) == 0
		w, err := offline(Options{Policy: Policy{Level: LevelPrivileged, RunAsImage: asImage}}).wanted(task(t, fragments[0]))
		require.NoError(t, err)
		for _, more := range fragments[1:] {
			w.pod.Spec, err = mergeOverride(w.pod.Spec, task(t, more).Override)
			require.NoError(t, err)
		}
		if rand.IntN(5) == 0 {
			value := []string{"unconfined", "runtime/default", "localhost/p"}[rand.IntN(3)]
			w.pod.Annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+"container"] = value
		}
		for level, namespace := range namespaces {
			pod := w.pod.DeepCopy()
			pod.Namespace = namespace
			_, err := client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err != nil && !strings.Contains(err.Error(), "violates PodSecurity") {
				require.True(t, apierrors.IsInvalid(err) || apierrors.IsForbidden(err), "%v", err)
				said["nothing"]++
				continue
			}
			ours := rules{Policy: Policy{Level: level}}.checkStandard(pod)
			require.Equal(t, err != nil, ours != nil, "%s: %v\nthe server says %v\nwe say %v", level, fragments, err, ours)
			said[fmt.Sprint(level, " ", err == nil)]++
		}
	}
	for _, setting := range settings {
		for range 3 {
			judge(fragment(setting))
		}
	}
	for range 300 {
		judge(fragment(settings[rand.IntN(len(settings))]), fragment(settings[rand.IntN(len(settings))]), fragment(settings[rand.IntN(len(settings))]))
	}
	t.Log(said)
	for _, level := range []Level{LevelBaseline, LevelRestricted} {
		for _, allowed := range []bool{false, true} {
			require.Greater(t, said[fmt.Sprint(level, " ", allowed)], 30, "enough was asked")
		}
	}
}
