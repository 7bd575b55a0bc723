package location

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

const (
	keyAzureAccount     = "azure_storage_account_id"
	keyAzureKey         = "azure_storage_key"
	keyAzureEnvironment = "azure_storage_environment"
	keyAzureFederated   = "azure_federated_identity"
	keyAzureSAS         = "azure_sas_token"
	keyAzureTenant      = "azure_tenant_id"
	keyAzureClient      = "azure_client_id"
	keyAzureSecret      = "azure_client_secret"
)

// The clouds that an AzureCredential can name.
const (
	AzurePublicCloud       = "AzurePublicCloud"
	AzureUSGovernmentCloud = "AzureUSGovernmentCloud"
	AzureChinaCloud        = "AzureChinaCloud"
)

// AzureEnvironments are the names of the clouds that AzureCredential.Environment can have.
func AzureEnvironments() []string {
	return []string{AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud}
}

func noEnvironment() string {
	return "none of " + strings.Join(AzureEnvironments(), ", ") + " (AzureGermanCloud was closed in 2021)"
}

// azureNames are other names of clouds, as Azure's tools know them, in lower case.
var azureNames = map[string]string{"azurecloud": AzurePublicCloud, "azureusgovernment": AzureUSGovernmentCloud}

var azureSchema = schema{location: TypeAzure, secretType: secretAzure, id: keyAzureAccount, secret: keyAzureKey,
	more: []string{keyAzureEnvironment, keyAzureFederated, keyAzureSAS, keyAzureTenant, keyAzureClient, keyAzureSecret}}

// Azure is the location's credential for azure: a keyPair of the account and its key, or a secret of type secrets.kanister.io/azure with
// azure_storage_account_id and at most one of azure_storage_key, azure_sas_token and a service principal (azure_tenant_id, azure_client_id, azure_client_secret). With
// none of them it is the identity of the surroundings. With azure_federated_identity "true" a key that is there too does not count, as for
// Kanister, and SASFile is what [Credential.WithSASFile] was given; without such a file it is the identity of the surroundings.
func (l *Location) Azure() (AzureCredential, error) {
	f, err := l.fields(azureSchema)
	if err != nil {
		return AzureCredential{}, err
	}
	c := AzureCredential{Account: f.get(keyAzureAccount), Key: f.get(keyAzureKey), SAS: strings.TrimPrefix(f.get(keyAzureSAS), "?"),
		TenantID: f.get(keyAzureTenant), ClientID: f.get(keyAzureClient), ClientSecret: f.get(keyAzureSecret)}
	switch f.get(keyAzureFederated) {
	case "", "false":
		if err := f.only(keyAzureKey, keyAzureSAS, keyAzureSecret); err != nil {
			return AzureCredential{}, err
		}
	case "true":
		if err := f.only(keyAzureFederated, keyAzureSAS, keyAzureSecret); err != nil {
			return AzureCredential{}, err
		}
		c.Key, c.SASFile = "", l.Credential.reveal().sasFile
	default:
		return AzureCredential{}, f.wrong(keyAzureFederated, `is neither "true" nor "false"`)
	}
	if err := c.check(f); err != nil {
		return AzureCredential{}, err
	}
	var ok bool
	if c.Environment, ok = azureEnvironment(f.get(keyAzureEnvironment)); !ok {
		return AzureCredential{}, f.wrong(keyAzureEnvironment, "is "+noEnvironment())
	}
	return c, nil
}

func (c *AzureCredential) check(f *fields) error {
	switch {
	case c.Account == "":
		return fmt.Errorf("%w: the azure location has no storage account: give its name as %s of the credential's secret, as a keyPair's ID, or as account= in a URL",
			ErrProfile, keyAzureAccount)
	case !isAccount(c.Account):
		return f.wrong(keyAzureAccount, "is no name of a storage account: give the name without the rest of its address")
	case c.Key != "" && !isBase64(c.Key):
		return f.wrong(keyAzureKey, "is not base64: give the key of the account as Azure shows it")
	case c.SAS != "" && !isSAS(c.SAS):
		return f.wrong(keyAzureSAS, "is no shared access signature: give what stands behind the question mark of its URL, with sig=")
	case c.ClientSecret != "" && (c.TenantID == "" || c.ClientID == ""):
		return f.wrong(keyAzureSecret, "needs azure_tenant_id and azure_client_id beside it")
	case c.TenantID != "" && c.ClientID == "":
		return f.wrong(keyAzureTenant, "needs azure_client_id beside it")
	case strings.ContainsFunc(c.TenantID, notIn(lower+upper+digits+"-.")):
		return f.wrong(keyAzureTenant, "holds characters that no tenant's has")
	case strings.ContainsFunc(c.ClientID, notIn(lower+upper+digits+"-")):
		return f.wrong(keyAzureClient, "holds characters that no client's has")
	default:
		return nil
	}
}

// NewAzure makes a credential, so that a host need not know the keys of a Secret. With c.SASFile it is a federated one.
func NewAzure(c AzureCredential) Credential {
	values := map[string]string{keyAzureAccount: c.Account, keyAzureKey: c.Key, keyAzureSAS: c.SAS, keyAzureTenant: c.TenantID, keyAzureClient: c.ClientID,
		keyAzureSecret: c.ClientSecret, keyAzureEnvironment: c.Environment}
	if c.SASFile == "" {
		return newSecret(secretAzure, values)
	}
	values[keyAzureFederated] = "true"
	return newSecret(secretAzure, values).WithSASFile(c.SASFile)
}

// azureEnvironment is the name of a cloud as AzureEnvironments has it; Azure's own libraries take them in any case of letters.
func azureEnvironment(name string) (string, bool) {
	if name == "" {
		return AzurePublicCloud, true
	}
	if known, ok := azureNames[strings.ToLower(name)]; ok {
		return known, true
	}
	all := AzureEnvironments()
	at := slices.IndexFunc(all, func(known string) bool { return strings.EqualFold(known, name) })
	if at < 0 {
		return "", false
	}
	return all[at], true
}

func isAccount(name string) bool {
	return name != "" && len(name) <= 63 && !strings.ContainsFunc(name, notIn(lower+upper+digits+"-"))
}

func isBase64(text string) bool {
	_, err := base64.StdEncoding.DecodeString(text)
	return err == nil
}

func isSAS(text string) bool {
	q, err := url.ParseQuery(text)
	return err == nil && q.Get("sig") != "" && !strings.ContainsAny(text, "?#")
}
