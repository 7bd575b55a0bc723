package kubecluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/cluster"
)

// status is an answer of an API server.
func status(code int, reason, message string) string {
	return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d,"reason":%q,"message":"%s","details":{"name":"s","kind":"secrets"}}`, code, reason, message)
}

func TestErrorsOfTheServer(t *testing.T) {
	const denied = `secrets \"s\" is forbidden: User \"system:serviceaccount:app:davit\" cannot get resource \"secrets\" in API group \"\" in the namespace \"app\"`
	for name, tc := range map[string]struct {
		code int
		kind string
		body string
		want error // nil: none of package cluster
	}{
		"not found":            {404, "application/json", status(404, "NotFound", `secrets \"s\" not found`), cluster.ErrNotFound},
		"unknown path":         {404, "text/plain", "404 page not found\n", cluster.ErrInvalid},
		"unknown to the API":   {404, "application/json", strings.Replace(status(404, "NotFound", "the server could not find the requested resource"), `"name":"s","kind":"secrets"`, "", 1), cluster.ErrInvalid},
		"gone":                 {410, "application/json", status(410, "Gone", "gone"), cluster.ErrNotFound},
		"exists":               {409, "application/json", status(409, "AlreadyExists", `secrets \"s\" already exists`), cluster.ErrExists},
		"conflict":             {409, "application/json", status(409, "Conflict", "the object has been modified"), nil},
		"no credentials":       {401, "application/json", status(401, "Unauthorized", "Unauthorized"), cluster.ErrDenied},
		"authorizer":           {403, "application/json", status(403, "Forbidden", denied), cluster.ErrDenied},
		"authorizer, odd name": {403, "application/json", status(403, "Forbidden", `pods is forbidden: User \"a \\\"b\\\" cannot\" cannot list resource \"pods\" in API group \"\" at the cluster scope`), cluster.ErrDenied},
		"escalation":           {403, "application/json", status(403, "Forbidden", `roles \"r\" is forbidden: user \"u\" (groups=[]) is attempting to grant RBAC permissions not currently held:`), cluster.ErrDenied},
		"gateway refuses":      {403, "text/plain", "no entry", cluster.ErrDenied},
		"pod security":         {403, "application/json", status(403, "Forbidden", `pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": privileged`), cluster.ErrInvalid},
		"webhook":              {403, "application/json", status(403, "Forbidden", `admission webhook \"w.example.org\" denied the request: User may not; cannot get resource \"x\"`), cluster.ErrInvalid},
		"quota":                {403, "application/json", status(403, "Forbidden", `pods \"p\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1`), nil},
		"quota wants limits":   {403, "application/json", status(403, "Forbidden", `pods \"p\" is forbidden: failed quota: q: must specify limits.cpu`), cluster.ErrInvalid},
		"service account":      {403, "application/json", status(403, "Forbidden", `pods \"p\" is forbidden: error looking up service account a/b: serviceaccount \"b\" not found`), nil},
		"validation":           {422, "application/json", status(422, "Invalid", `Secret \"s\" is invalid: type: Required`), cluster.ErrInvalid},
		"bad request":          {400, "application/json", status(400, "BadRequest", `json: cannot unmarshal`), cluster.ErrInvalid},
		"media type":           {415, "application/json", status(415, "UnsupportedMediaType", `no such patch`), cluster.ErrInvalid},
		"method":               {405, "application/json", status(405, "MethodNotAllowed", `not supported`), cluster.ErrInvalid},
		"too large":            {413, "application/json", status(413, "RequestEntityTooLarge", `limit is 3145728`), cluster.ErrInvalid},
		"fault of the server":  {500, "application/json", status(500, "InternalError", `etcd`), nil},
		"garbage":              {200, "application/json", "{", nil},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.kind)
				w.WriteHeader(tc.code)
				_, _ = io.WriteString(w, tc.body)
			}))
			t.Cleanup(server.Close)
			client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
			require.NoError(t, err)
			_, answer := client.CoreV1().Secrets("app").Get(t.Context(), "s", metav1.GetOptions{})
			require.Error(t, answer)
			got := apiError("get", cluster.Ref{Resource: "secrets", Namespace: "app", Name: "s"}, answer)
			require.ErrorContains(t, got, "get secrets app/s: ")
			require.ErrorContains(t, got, answer.Error(), "the server's words are kept")
			for _, kind := range []error{cluster.ErrNotFound, cluster.ErrExists, cluster.ErrDenied, cluster.ErrInvalid} {
				require.Equal(t, errors.Is(tc.want, kind), errors.Is(got, kind), "%v: %v", kind, got)
			}
			if status, ok := errors.AsType[*apierrors.StatusError](answer); ok {
				require.ErrorIs(t, got, status)
			}
		})
	}
	require.NoError(t, apiError("get", cluster.Ref{}, nil))
}

func TestErrorOfAnEndedContext(t *testing.T) {
	why := errors.New("the run was cancelled")
	ctx, cancel := context.WithCancelCause(t.Context())
	ref := cluster.Ref{Resource: "pods", Namespace: "a", Name: "p"}
	require.EqualError(t, requestError(ctx, "get", ref, io.EOF), "get pods a/p: EOF")
	cancel(why)
	require.ErrorIs(t, requestError(ctx, "get", ref, context.Canceled), why)
	require.NoError(t, requestError(ctx, "get", ref, nil))
}
