package azure

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/davit-project/davit/location"
)

var clouds = map[string]cloud.Configuration{
	"":                              cloud.AzurePublic,
	location.AzurePublicCloud:       cloud.AzurePublic,
	location.AzureUSGovernmentCloud: cloud.AzureGovernment,
	location.AzureChinaCloud:        cloud.AzureChina,
}

// withIdentity uses tokens: of the service principal, or of the surroundings.
func (s *store) withIdentity(at *url.URL, cred *location.AzureCredential, opts *container.ClientOptions) (*container.Client, error) {
	if at.Scheme != "https" {
		return nil, fmt.Errorf("%w: a token over http could be read on the way: use an https endpoint, or the key of the account", location.ErrProfile)
	}
	if cred.ClientSecret == "" && !ofAzure(at) {
		return nil, fmt.Errorf("%w: the identity of the surroundings is not sent to another endpoint than Azure's: give a key, a shared access signature or a service principal",
			location.ErrProfile)
	}
	home := noProxyAtHome(s.transports[0])
	s.transports = append(s.transports, home)
	d := &doer{client: &http.Client{Transport: home, CheckRedirect: refuse}, secrets: s.secrets}
	source, err := tokensOf(cred, azcore.ClientOptions{Cloud: clouds[cred.Environment], Transport: d, Retry: opts.Retry})
	if err != nil {
		return nil, fmt.Errorf("%w: there is no identity to use: give the profile a key, a shared access signature or a service principal: %s", location.ErrCredential,
			s.faults().Quote(err.Error()))
	}
	return container.NewClient(at.String(), &tokens{source, s.secrets}, opts)
}

func tokensOf(cred *location.AzureCredential, with azcore.ClientOptions) (azcore.TokenCredential, error) {
	if cred.ClientSecret != "" {
		return azidentity.NewClientSecretCredential(cred.TenantID, cred.ClientID, cred.ClientSecret, &azidentity.ClientSecretCredentialOptions{ClientOptions: with})
	}
	if cred.ClientID == "" {
		return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: with, TenantID: cred.TenantID})
	}
	var chain []azcore.TokenCredential
	workload, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: with, ClientID: cred.ClientID, TenantID: cred.TenantID,
	})
	if err == nil { // else this is no pod with a workload identity
		chain = append(chain, workload)
	}
	managed, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: with, ID: azidentity.ClientID(cred.ClientID)})
	if err != nil {
		return nil, err
	}
	return azidentity.NewChainedTokenCredential(append(chain, managed), nil)
}

// tokens marks the failures of a source and remembers tokens, to keep them out of errors.
type tokens struct {
	source  azcore.TokenCredential
	secrets *secrets
}

// GetToken gets one.
func (t *tokens) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := t.source.GetToken(ctx, opts)
	if err != nil {
		return token, &credentialError{err}
	}
	t.secrets.add(token.Token)
	return token, nil
}
