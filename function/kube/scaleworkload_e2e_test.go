//go:build e2e

package kube_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/internal/testcluster"
)

// workload makes a StatefulSet or a Deployment.
func (p place) workload(kind, name string, replicas int32, edit func(*corev1.PodSpec)) {
	p.t.Helper()
	labels := map[string]string{"app": name}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64),
		Containers:                    []corev1.Container{{Name: "main", Image: testcluster.BusyboxImage, Command: []string{"sleep", "3600"}}},
	}}
	if edit != nil {
		edit(&template.Spec)
	}
	meta, selector := metav1.ObjectMeta{Name: name}, &metav1.LabelSelector{MatchLabels: labels}
	var err error
	if kind == "StatefulSet" {
		_, err = p.AppsV1().StatefulSets(p.ns).Create(p.t.Context(), &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, Selector: selector, Template: template, ServiceName: name, PodManagementPolicy: appsv1.ParallelPodManagement}}, metav1.CreateOptions{})
	} else {
		_, err = p.AppsV1().Deployments(p.ns).Create(p.t.Context(), &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: selector, Template: template}}, metav1.CreateOptions{})
	}
	require.NoError(p.t, err)
}

// living counts the pods of a workload.
func (p place) living(name string) int {
	p.t.Helper()
	list, err := p.CoreV1().Pods(p.ns).List(p.t.Context(), metav1.ListOptions{LabelSelector: "app=" + name})
	require.NoError(p.t, err)
	return len(list.Items)
}

func TestScaleWorkloadOnACluster(t *testing.T) {
	p := newPlace(t)
	for kind, name := range map[string]string{"StatefulSet": "db", "Deployment": "web"} {
		p.workload(kind, name, 2, nil)
		named := func(replicas any) map[string]any {
			return map[string]any{"namespace": p.ns, "name": name, "kind": kind, "replicas": replicas}
		}
		subject := func(c *function.Call) {
			c.Subject = function.Subject{Kind: kind, Namespace: p.ns, Name: name}
		}
		r := p.run(phase{function: "ScaleWorkload", id: kind + "-settle", args: named(2)})
		require.NoError(t, r.err)
		require.EqualValues(t, 2, r.out["originalReplicaCount"])
		require.Equal(t, 2, p.living(name))

		for _, again := range []func(*function.Call){subject, all(subject, resumed)} {
			r = p.run(phase{function: "ScaleWorkload", id: kind + "-down", args: map[string]any{"replicas": "0"}, call: again})
			require.NoError(t, r.err)
			require.EqualValues(t, 2, r.out["originalReplicaCount"], "also on the attempt that is taken up again")
			require.Zero(t, p.living(name))
		}
		r = p.run(phase{function: "ScaleWorkload", id: kind + "-up", args: named(1)})
		require.NoError(t, r.err)
		require.EqualValues(t, 0, r.out["originalReplicaCount"])
		require.Equal(t, 1, p.living(name))
		r = p.run(phase{function: "ScaleWorkload", id: kind + "-quick", args: map[string]any{"replicas": 0, "waitForReady": false}, call: subject})
		require.NoError(t, r.err)

		r = p.run(phase{function: "ScaleWorkload", id: kind + "-absent", args: map[string]any{"namespace": p.ns, "name": "absent", "kind": kind, "replicas": 1}})
		require.ErrorIs(t, r.err, cluster.ErrNotFound)
		r = p.run(phase{function: "ScaleWorkload", id: kind + "-denied", host: p.host(p.As(t, p.ns, nil), nil), args: named(3)})
		require.ErrorIs(t, r.err, cluster.ErrDenied)
	}
}

// A wait for pods that never become ready ends with the phase and says how far it came.
func TestScaleWorkloadOnAClusterIsCancelled(t *testing.T) {
	p := newPlace(t)
	p.workload("Deployment", "slow", 0, func(s *corev1.PodSpec) {
		s.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"false"}}}}
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	waits := once(func(function.Progress) bool { return true }, func() { time.AfterFunc(time.Second, func() { cancel(stop) }) })
	r := p.run(phase{function: "ScaleWorkload", id: "up", ctx: ctx, call: waits, args: map[string]any{"namespace": p.ns, "name": "slow", "kind": "deployment", "replicas": 1}})
	require.ErrorIs(t, r.err, stop)
	require.ErrorContains(t, r.err, "wait for 1 ready pods of Deployment "+p.ns+"/slow and no others")
	require.NotEmpty(t, r.Progress())
}
