package location

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"slices"
	"strings"
)

const (
	keyGoogleProject = "gcp_project_id"
	keyGoogleFile    = "service-account.json"

	// maxKeyFile and maxPEM are far above any real key; the latter bounds what it costs to look at it.
	maxKeyFile = 64 << 10
	maxPEM     = 16 << 10
)

var googleSchema = schema{location: TypeGCS, secretType: secretGCP, id: keyGoogleProject, secret: keyGoogleFile}

// Google is the location's credential for gcs: a keyPair of the project and the key file's JSON, or a secret of type secrets.kanister.io/gcp
// with gcp_project_id and service-account.json, any of which may be absent. Without a key file it is that of the surroundings.
//
// A key file is taken for what it is, a text from elsewhere: of type service_account or authorized_user, with what these need, for servers of Google, and of its fields
// those that are known. The other types make a program read files, ask addresses or run programs that the text names; they are ErrUnsupported.
func (l *Location) Google() (GoogleCredential, error) {
	f, err := l.fields(googleSchema)
	if err != nil {
		return GoogleCredential{}, err
	}
	c := GoogleCredential{Project: f.get(keyGoogleProject)}
	text := f.get(keyGoogleFile)
	if text == "" {
		return c, nil
	}
	file, what, kind := parseKeyFile(text)
	if kind != nil {
		return GoogleCredential{}, f.fault(kind, keyGoogleFile, what)
	}
	if c.Project == "" {
		c.Project = file.ProjectID
	}
	if c.JSON, err = json.Marshal(file); err != nil {
		return GoogleCredential{}, f.wrong(keyGoogleFile, "cannot be encoded again")
	}
	return c, nil
}

// NewGoogle makes a credential, so that a host need not know the keys of a Secret.
func NewGoogle(c GoogleCredential) Credential {
	return newSecret(secretGCP, map[string]string{keyGoogleProject: c.Project, keyGoogleFile: string(c.JSON)})
}

// keyFile is what is known of Google's key files, under their names for it.
type keyFile struct {
	Type           string `json:"type"`
	ProjectID      string `json:"project_id,omitempty"`
	PrivateKeyID   string `json:"private_key_id,omitempty"`
	PrivateKey     string `json:"private_key,omitempty"`
	ClientEmail    string `json:"client_email,omitempty"`
	ClientID       string `json:"client_id,omitempty"`
	ClientSecret   string `json:"client_secret,omitempty"`
	RefreshToken   string `json:"refresh_token,omitempty"`
	TokenURI       string `json:"token_uri,omitempty"`
	QuotaProjectID string `json:"quota_project_id,omitempty"`
	UniverseDomain string `json:"universe_domain,omitempty"`
}

// elsewhere are the types of key files that point to something else.
var elsewhere = []string{"external_account", "external_account_authorized_user", "impersonated_service_account", "gdch_service_account"}

const surroundings = "leave it out, and let the program find it as an application default credential (GOOGLE_APPLICATION_CREDENTIALS)"

// parseKeyFile returns what is known of the file, or what is wrong with it and the kind of fault that is.
func parseKeyFile(text string) (*keyFile, string, error) {
	var k keyFile
	switch {
	case len(text) > maxKeyFile:
		return nil, "is far too long for a key file of Google's", ErrProfile
	case !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &k) != nil:
		return nil, "is no key file of Google's, which is a JSON object of texts: give the file as it was made, not its name and not in base64 once more", ErrProfile
	case k.Type == "service_account":
		return k.serviceAccount()
	case k.Type == "authorized_user" && (k.ClientID == "" || k.ClientSecret == "" || k.RefreshToken == ""):
		return nil, "is a key file without client_id, client_secret or refresh_token", ErrProfile
	case k.Type == "authorized_user":
		return &keyFile{Type: k.Type, ClientID: k.ClientID, ClientSecret: k.ClientSecret, RefreshToken: k.RefreshToken, QuotaProjectID: k.QuotaProjectID}, "", nil
	case k.Type == "":
		return nil, "is a key file without a type, want service_account or authorized_user", ErrProfile
	case slices.Contains(elsewhere, k.Type):
		return nil, "is a key file of type " + k.Type + ", which names other sources of credentials: " + surroundings, ErrUnsupported
	default:
		return nil, "is a key file of an unknown type, want service_account or authorized_user; if it is another, " + surroundings, ErrUnsupported
	}
}

func (k *keyFile) serviceAccount() (*keyFile, string, error) {
	switch {
	case k.UniverseDomain != "" && k.UniverseDomain != "googleapis.com":
		return nil, "is a key file for another cloud than Google's public one (universe_domain): " + surroundings, ErrUnsupported
	case k.ClientEmail == "" || strings.ContainsFunc(k.ClientEmail, unprintable):
		return nil, "is a key file without client_email", ErrProfile
	case !ofGoogle(k.TokenURI):
		return nil, "is a key file whose token_uri is no https address of Google's: give the file as it was made", ErrProfile
	case !isPrivateKey(k.PrivateKey):
		return nil, "is a key file whose private_key is no RSA key in PEM: give the file as it was made, with \\n for the line ends in it", ErrProfile
	}
	return &keyFile{Type: k.Type, ProjectID: k.ProjectID, PrivateKeyID: k.PrivateKeyID, PrivateKey: k.PrivateKey, ClientEmail: k.ClientEmail, ClientID: k.ClientID,
		TokenURI: k.TokenURI}, "", nil
}

// ofGoogle tells whether an address is one of Google's, or none, for which the libraries take Google's.
func ofGoogle(address string) bool {
	if address == "" {
		return true
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return strings.HasSuffix(host, ".googleapis.com") || strings.HasSuffix(host, ".google.com")
}

func isPrivateKey(text string) bool {
	if len(text) > maxPEM {
		return false
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return true
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	_, ok := key.(*rsa.PrivateKey)
	return err == nil && ok
}
