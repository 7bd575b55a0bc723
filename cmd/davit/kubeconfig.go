package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/csi"
)

// kubeTarget is the Kubernetes cluster that the flags name. Nothing has been asked of it yet.
type kubeTarget struct {
	config *rest.Config
	// server is the URL of the API server, without a user.
	server string
	// namespace of the context.
	namespace string
}

// target finds the cluster by the rules that kubectl has.
func (f *kubeFlags) target(getenv func(string) string) (*kubeTarget, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath, rules.WarnIfAllMissing = f.kubeconfig, false
	overrides := &clientcmd.ConfigOverrides{CurrentContext: f.context}
	load := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := load.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, noCluster(rules, getenv)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration of Kubernetes (--kubeconfig, --context): %w", err)
	}
	namespace, _, err := load.Namespace()
	if err != nil {
		return nil, fmt.Errorf("configuration of Kubernetes (--kubeconfig, --context): %w", err)
	}
	server, err := serverURL(config)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst, config.UserAgent = f.qps, f.burst, "davit"
	if f.as != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: f.as}
	}
	return &kubeTarget{config, server, cmp.Or(namespace, "default")}, nil
}

// noCluster says where a cluster was looked for in vain.
func noCluster(rules *clientcmd.ClientConfigLoadingRules, getenv func(string) string) error {
	where := strings.Join(rules.GetLoadingPrecedence(), ", ")
	if getenv(clientcmd.RecommendedConfigPathEnvVar) == "" {
		where = "$KUBECONFIG is not set; " + where
	}
	return fmt.Errorf("no cluster to run on: no configuration of Kubernetes in %s, and this is no pod of a cluster ($KUBERNETES_SERVICE_HOST is not set); "+
		"name one with --kubeconfig, or give manifests with --local to run on this machine", where)
}

func serverURL(config *rest.Config) (string, error) {
	u, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return "", fmt.Errorf("address of the API server: %w", err)
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}
	return shown.String(), nil
}

// contactTime is how long the first contact may take.
const contactTime = 20 * time.Second

// contact asks the server for its version, which every client may: an address, a certificate or credentials that are wrong are found before anything is touched.
func (t *kubeTarget) contact(ctx context.Context, clients kubecluster.Clients) error {
	ctx, cancel := context.WithTimeout(ctx, contactTime)
	defer cancel()
	err := clients.Kube.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Error()
	switch {
	case err == nil, apierrors.IsForbidden(err): // it knows who we are, and runs may still be allowed
		return nil
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server %s does not accept the credentials: %w", t.server, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the API server %s did not answer within %s: %w", t.server, contactTime, err)
	default:
		return fmt.Errorf("the API server %s cannot be reached: %w", t.server, err)
	}
}

// warnings of the API server go to the log.
type warnings struct{ logger *slog.Logger }

var _ rest.WarningHandlerWithContext = warnings{}

func (w warnings) HandleWarningHeaderWithContext(ctx context.Context, code int, _, text string) {
	if code == 299 && text != "" {
		w.logger.WarnContext(ctx, "the API server warns", "warning", text)
	}
}

// onKube is a Kubernetes cluster.
type onKube struct {
	*kubecluster.Cluster
	clients kubecluster.Clients
	config  *rest.Config
}

// open makes the clients and talks to the server for the first time. Namespaces are those where a run may leave pods.
func (t *kubeTarget) open(ctx context.Context, policy kubecluster.Policy, namespaces []string, logger *slog.Logger) (*onKube, error) {
	config := rest.CopyConfig(t.config)
	config.WarningHandlerWithContext = warnings{logger}
	clients, err := kubecluster.ForConfig(config)
	if err != nil {
		return nil, err
	}
	if err := t.contact(ctx, clients); err != nil {
		return nil, err
	}
	c, err := kubecluster.New(clients, &kubecluster.Options{Policy: policy, Namespaces: namespaces, Logger: logger})
	if err != nil {
		return nil, err
	}
	return &onKube{c, clients, config}, nil
}

// close has nothing to end: pods go on by themselves.
func (k *onKube) close(context.Context) error { return nil }

// removal is how long what a failed or cancelled phase made is given to go: less than the engine gives a function to stop, so that its error still says what is left.
const removal = 25 * time.Second

func (k *onKube) volumes() (volume.Deps, error) {
	config := rest.CopyConfig(k.config)
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(config.QPS, config.Burst) // --qps and --burst hold: the driver would raise what it takes for low
	driver, err := csi.NewForConfig(config, nil)
	if err != nil {
		return volume.Deps{}, err
	}
	return volume.Deps{Snapshots: snapshot.New(driver, &snapshot.Options{CleanUpTimeout: removal})}, nil
}
