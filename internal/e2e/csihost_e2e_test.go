//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/davit-project/davit/internal/testcluster"
)

// account is the command davit, as a service account that may do what davit rbac prints and nothing else.
type account struct {
	*shop
	davit, blueprint, kubeconfig, state string
}

func newAccount(s *shop, blueprint string) *account {
	t := s.t
	dir := t.TempDir()
	a := &account{shop: s, davit: filepath.Join(dir, "davit"), blueprint: filepath.Join(dir, "bp.yaml"),
		kubeconfig: filepath.Join(dir, "kubeconfig"), state: filepath.Join(dir, "state")}
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", a.davit, "../../cmd/davit").CombinedOutput()
	require.NoError(t, err, "%s", built)
	require.NoError(t, os.WriteFile(a.blueprint, []byte(blueprint), 0o600))
	_, err = s.CoreV1().ServiceAccounts(s.namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "davit"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	var roles, errs bytes.Buffer
	rbac := exec.CommandContext(t.Context(), a.davit, "rbac", a.blueprint, "-n", s.namespace, "--deployment", s.namespace+"/shop", "-o", "json")
	rbac.Stdout, rbac.Stderr = &roles, &errs
	require.NoError(t, rbac.Run(), errs.String())
	require.NotContains(t, errs.String(), "not built in")
	a.apply(roles.Bytes())

	config := s.Token(t, s.namespace, "davit")
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthority: config.CAFile, CertificateAuthorityData: config.CAData}
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u", Namespace: s.namespace}
	c.CurrentContext = "x"
	require.NoError(t, clientcmd.WriteToFile(*c, a.kubeconfig))
	return a
}

// apply creates roles and bindings, which go with the test.
func (a *account) apply(list []byte) {
	t, ctx, rbac := a.t, a.t.Context(), a.RbacV1()
	var all struct{ Items []json.RawMessage }
	require.NoError(t, json.Unmarshal(list, &all))
	for _, item := range all.Items {
		var head metav1.TypeMeta
		var role rbacv1.ClusterRole
		var binding rbacv1.ClusterRoleBinding
		require.NoError(t, json.Unmarshal(item, &head))
		var err error
		switch head.Kind {
		case "Role", "ClusterRole":
			require.NoError(t, json.Unmarshal(item, &role))
		default:
			require.NoError(t, json.Unmarshal(item, &binding))
		}
		switch head.Kind {
		case "Role":
			_, err = rbac.Roles(role.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: role.ObjectMeta, Rules: role.Rules}, metav1.CreateOptions{})
		case "RoleBinding":
			_, err = rbac.RoleBindings(binding.Namespace).Create(ctx,
				&rbacv1.RoleBinding{ObjectMeta: binding.ObjectMeta, RoleRef: binding.RoleRef, Subjects: binding.Subjects}, metav1.CreateOptions{})
		case "ClusterRole":
			_, err = rbac.ClusterRoles().Create(ctx, &role, metav1.CreateOptions{})
			t.Cleanup(func() { _ = rbac.ClusterRoles().Delete(context.Background(), role.Name, metav1.DeleteOptions{}) })
		case "ClusterRoleBinding":
			_, err = rbac.ClusterRoleBindings().Create(ctx, &binding, metav1.CreateOptions{})
			t.Cleanup(func() {
				_ = rbac.ClusterRoleBindings().Delete(context.Background(), binding.Name, metav1.DeleteOptions{})
			})
		default:
			require.Fail(t, "unknown kind", head.Kind)
		}
		require.NoError(t, err)
	}
}

// command is davit with these arguments, and what it writes.
func (a *account) command(args ...string) (*exec.Cmd, *bytes.Buffer) {
	var out bytes.Buffer
	cmd := exec.CommandContext(a.t.Context(), a.davit, append(args, "--kubeconfig", a.kubeconfig, "--state", a.state)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

func (a *account) must(args ...string) string {
	a.t.Helper()
	cmd, out := a.command(args...)
	require.NoError(a.t, cmd.Run(), out.String())
	return out.String()
}

// inTime makes storage slower and slower, until a host is killed while that is at work: how much time that takes depends on the machine.
func inTime(t *testing.T, try func(delay time.Duration) bool) {
	t.Helper()
	for delay := 2 * time.Second; !try(delay); delay *= 2 {
		require.Less(t, delay, time.Minute, "the host is killed in time")
	}
}

// subject is the arguments for a run of an action, once the API server has learnt of the roles, which is a moment after they are made.
func (a *account) subject(action string) []string {
	a.t.Helper()
	args := []string{"-b", a.blueprint, "-a", action, "--deployment", a.namespace + "/shop"}
	require.Eventually(a.t, func() bool {
		cmd, _ := a.command(append([]string{"plan"}, args...)...)
		return cmd.Run() == nil
	}, 2*time.Minute, 100*time.Millisecond, "the roles")
	return args
}

// TestCSIHostKilled runs Kanister's blueprint with the command davit, which may do no more than davit rbac prints. It is killed when the snapshot is cut and not ready yet;
// the next one takes it over. Restore and delete follow.
func TestCSIHostKilled(t *testing.T) {
	t.Parallel()
	inTime(t, func(delay time.Duration) bool { return csiHostKilled(t, delay) })
}

func csiHostKilled(t *testing.T, delay time.Duration) bool {
	s := newShop(t, idle, "data")
	slow := s.SnapshotClassWith(t, "Delete", map[string]string{"readyDelay": delay.String()})
	a := newAccount(s, strings.ReplaceAll(kanisterCSI(t), "snapshotClass: "+testcluster.SnapshotClass, "snapshotClass: "+slow))
	s.sh(fill)
	before := s.sh("cat /data/orders")
	subject := a.subject("backup")

	first, said := a.command(append([]string{"run", "--run", "killed"}, subject...)...)
	require.NoError(t, first.Start())
	require.Eventually(t, func() bool {
		all := s.list()
		return len(all) == 1 && all[0].Status != nil && all[0].Status.CreationTime != nil
	}, 2*time.Minute, 20*time.Millisecond, "the snapshot is cut")
	require.NoError(t, first.Process.Kill())
	_ = first.Wait()
	made := s.list()[0]
	if *made.Status.ReadyToUse {
		return false
	}
	require.NotContains(t, said.String(), "phase-complete")

	out := a.must("run", "--run", "killed")
	require.Contains(t, out, `"event":"run-resumed"`)
	require.Contains(t, out, `"state":"complete"`)
	all := s.list()
	require.Len(t, all, 1)
	require.Equal(t, made.UID, all[0].UID)
	require.Contains(t, out, `"name":"`+made.Name+`"`)

	s.sh("echo lost >/data/orders; sync")
	a.must("run", "-a", "restore", "--from", "killed", "--run", "restored")
	require.Eventually(t, func() bool { return s.pod() != "" }, time.Minute, 50*time.Millisecond)
	require.Equal(t, before, s.sh("cat /data/orders"))
	a.must("run", "-a", "delete", "--from", "killed", "--run", "deleted")
	s.nothing()
	return true
}

// TestCSIGroupHostKilled kills the command davit, which may do no more than davit rbac prints, while a session holds the writer. The writer goes on, and the next host takes the group
// under a new hold.
func TestCSIGroupHostKilled(t *testing.T) {
	t.Parallel()
	inTime(t, func(delay time.Duration) bool { return csiGroupHostKilled(t, delay) })
}

func csiGroupHostKilled(t *testing.T, delay time.Duration) bool {
	s := newShop(t, writer, "data", "wal")
	slow := s.SnapshotClassWith(t, "Delete", map[string]string{"cutDelay": delay.String()})
	a := newAccount(s, strings.ReplaceAll(groupOf("x"), "        maxHold: 30s\n        hold:", "        maxHold: 2m\n        snapshotClass: "+slow+"\n        hold:"))
	s.goesOn()
	subject := a.subject("session")

	first, said := a.command(append([]string{"run", "--run", "killed"}, subject...)...)
	require.NoError(t, first.Start())
	var none time.Time // a moment when none had been asked for
	require.Eventually(t, func() bool {
		now, found := time.Now(), len(s.list())
		if found == 0 {
			none = now
		}
		return found == 2
	}, 2*time.Minute, 20*time.Millisecond, "the snapshots are asked for")
	require.NoError(t, first.Process.Kill())
	killed := time.Now()
	_ = first.Wait()
	if killed.After(none.Add(delay)) {
		return false
	}
	require.NotContains(t, said.String(), "phase-complete")
	s.goesOn()
	t.Logf("the writer goes on %s after the kill", time.Since(killed).Round(time.Millisecond))
	made := s.list()

	out := a.must("run", "--run", "killed")
	require.Contains(t, out, `"state":"complete"`)
	require.NotContains(t, out, `"left"`)
	s.goesOn()
	all := s.list()
	require.Len(t, all, 2)
	for i := range all {
		require.Equal(t, made[i].Name, all[i].Name, "the names are those of the phase")
		require.NotEqual(t, made[i].UID, all[i].UID, "what was cut when the hold was lost is worth nothing")
	}
	a.must("run", "-a", "restore", "--from", "killed", "--run", "restored")
	found := strings.Fields(s.in("cat /data-x/n /wal-x/n", "data-x", "wal-x"))
	require.Len(t, found, 2)
	require.Equal(t, found[0], found[1])
	return true
}
