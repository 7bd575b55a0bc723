package controller

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

var place = client.ObjectKey{Namespace: namespace, Name: catalogue}

func entries(t *testing.T, c client.Client) map[string]string {
	object := &corev1.ConfigMap{}
	require.NoError(t, c.Get(t.Context(), place, object))
	return object.Data
}

// server refuses requests whose context has ended, as a real client does.
func server() client.Client {
	return fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, _ ...client.PatchOption) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return c.Patch(ctx, o, p)
		},
	}).Build()
}

// TestRecordBackup runs the checks that every function must pass.
func TestRecordBackup(t *testing.T) {
	err := functiontest.Run(t.Context(), functiontest.Subject{
		New:  func() functiontest.Function { return RecordBackup(server(), place) },
		Args: func(int) map[string]any { return map[string]any{"entry": map[string]any{"path": "a"}} },
	})
	require.NoError(t, err)
}

func TestRecordBackupKeepsOtherEntries(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	for _, run := range []string{"one", "two", "one"} {
		call, rec := functiontest.NewCall("record")
		call.Run = run
		rec.Hide("hunter2")
		out, err := RecordBackup(c, place).Exec(t.Context(), call, map[string]any{"entry": map[string]any{"path": run, "by": "hunter2"}})
		require.NoError(t, err)
		require.Equal(t, function.Outputs{"catalogue": catalogue, "key": run}, out)
	}
	require.Equal(t, map[string]string{"one": `{"by":"[masked]","path":"one"}`, "two": `{"by":"[masked]","path":"two"}`}, entries(t, c))
}

// Two backups end at once, and both find no catalogue.
func TestRecordBackupRacesForTheCatalogue(t *testing.T) {
	var once atomic.Bool
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, _ ...client.CreateOption) error {
			if once.CompareAndSwap(false, true) {
				require.NoError(t, record(ctx, c, place, map[string]string{"other": "{}"}))
			}
			return c.Create(ctx, o)
		},
	}).Build()
	require.NoError(t, record(t.Context(), c, place, map[string]string{"mine": "{}"}))
	require.Equal(t, map[string]string{"mine": "{}", "other": "{}"}, entries(t, c))
}

func TestRecordBackupFails(t *testing.T) {
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return apierrors.NewForbidden(corev1.Resource("configmaps"), catalogue, nil)
		},
	}).Build()
	call, _ := functiontest.NewCall("record")
	_, err := RecordBackup(c, place).Exec(t.Context(), call, map[string]any{"entry": map[string]any{"a": "b"}})
	require.True(t, apierrors.IsForbidden(err))
	require.ErrorContains(t, err, "config map shop/backup-catalogue")

	_, err = RecordBackup(c, place).Exec(t.Context(), call, map[string]any{"entry": map[string]any{"a": strings.Repeat("x", maxEntry)}})
	require.True(t, function.IsPermanent(err))
	require.ErrorContains(t, err, "at most 4096 are kept")
}
