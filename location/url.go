package location

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
)

// maxURL is far above any real one.
const maxURL = 8 << 10

// The parameters of a URL.
const (
	paramEndpoint    = "endpoint"
	paramRegion      = "region"
	paramVirtualHost = "virtualHost"
	paramSkip        = "skipSSLVerify"
	paramCAFile      = "caFile"
	paramProxy       = "proxy"
	paramAccount     = "account"
	paramEnvironment = "environment"
	paramPrefix      = "prefix"
)

// urlForm is a scheme of URLs.
type urlForm struct {
	location string
	example  string
	params   []string
}

var network = []string{paramEndpoint, paramSkip, paramCAFile, paramProxy}

var urlForms = map[string]urlForm{
	"s3":     {TypeS3, "s3://bucket/prefix", slices.Concat(network, []string{paramRegion, paramVirtualHost})},
	"gs":     {TypeGCS, "gs://bucket/prefix", network},
	"azblob": {TypeAzure, "azblob://container/prefix?account=name", slices.Concat(network, []string{paramAccount, paramEnvironment})},
	"file":   {TypeFile, "file:///folder?prefix=prefix", []string{paramPrefix}},
}

// ParseURL reads a location from a URL. Its credential is that of the surroundings: a URL ends up in logs and in lists of processes, so one that holds a user or a
// password is refused.
//
//	s3://bucket/prefix?endpoint=&region=&virtualHost=true
//	gs://bucket/prefix?endpoint=
//	azblob://container/prefix?account=&environment=&endpoint=
//	file:///folder?prefix=
//
// All but file take skipSSLVerify=true, which is insecure, proxy, and caFile, the name of a file of certificates in PEM that is read at once. Other parameters, and those
// given twice or without a value, are errors. What cannot be used is ErrProfile or ErrUnsupported; no error holds what may be a credential.
func ParseURL(text string) (*Location, error) {
	u, form, err := splitURL(text)
	if err != nil {
		return nil, err
	}
	params, err := form.read(u.RawQuery)
	if err != nil {
		return nil, err
	}
	loc := &Location{Type: form.location, Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Endpoint: params[paramEndpoint], Region: params[paramRegion], Proxy: params[paramProxy]}
	if form.location == TypeFile {
		loc.Bucket, loc.Prefix = u.Path, params[paramPrefix]
	}
	if loc.VirtualHost, err = flag(params, paramVirtualHost); err != nil {
		return nil, err
	}
	if loc.SkipSSLVerify, err = flag(params, paramSkip); err != nil {
		return nil, err
	}
	if strings.Contains(loc.Proxy, "@") {
		return nil, fmt.Errorf("%w: the URL's proxy holds a user: give it in a profile, or in HTTPS_PROXY", ErrProfile)
	}
	if form.location == TypeAzure {
		if loc.Credential, err = accountOf(params); err != nil {
			return nil, err
		}
	}
	if name := params[paramCAFile]; name != "" {
		if loc.CABundle, err = readCAFile(name); err != nil {
			return nil, err
		}
	}
	if err := loc.Validate(); err != nil {
		return nil, err
	}
	if loc.Type == TypeFile {
		loc.Bucket = loc.folder()
	}
	return loc, nil
}

// accountOf is the storage account of a URL; what signs for it is found in the surroundings.
func accountOf(params map[string]string) (Credential, error) {
	c := AzureCredential{Account: params[paramAccount], Environment: params[paramEnvironment]}
	if c.Account != "" && !isAccount(c.Account) {
		return Credential{}, fmt.Errorf("%w: the URL's account is no name of a storage account: give the name without the rest of its address", ErrProfile)
	}
	if _, ok := azureEnvironment(c.Environment); !ok {
		return Credential{}, fmt.Errorf("%w: the URL's environment is %s", ErrProfile, noEnvironment())
	}
	return NewAzure(c), nil
}

// splitURL looks at all but the parameters. Its errors show nothing of the URL but its scheme, if that is known.
func splitURL(text string) (*url.URL, urlForm, error) {
	wrong := func(what string) (*url.URL, urlForm, error) {
		return nil, urlForm{}, fmt.Errorf("%w: the URL of the location %s", ErrProfile, what)
	}
	examples := make([]string, 0, len(urlForms))
	for _, scheme := range slices.Sorted(maps.Keys(urlForms)) {
		examples = append(examples, urlForms[scheme].example)
	}
	if len(text) > maxURL {
		return wrong(fmt.Sprintf("has %d bytes, more than %d", len(text), maxURL))
	}
	u, err := url.Parse(text)
	if err != nil {
		return wrong("is none, want one such as " + strings.Join(examples, ", "))
	}
	form, ok := urlForms[u.Scheme]
	switch {
	case !ok:
		return wrong("has no scheme that is known, want one such as " + strings.Join(examples, ", "))
	case u.User != nil || strings.Contains(u.Host, "@"):
		return wrong("holds a user: a credential does not belong there, where others read it; leave it to the surroundings or write a profile")
	case strings.Contains(text, "#"):
		return wrong("has a fragment, which means nothing: write # as %23")
	case u.Opaque != "":
		return wrong("lacks the slashes behind its scheme, want one such as " + form.example)
	case form.location == TypeFile && u.Host != "":
		return wrong("names a host: a file location is a folder of this machine, want one such as " + form.example + ", with three slashes")
	case form.location != TypeFile && (u.Host == "" || strings.Contains(u.Host, ":")):
		return wrong("has no bucket for its host, or a port: want one such as " + form.example + "; the address of a server is the parameter endpoint")
	}
	return u, form, nil
}

// read takes the parameters apart.
func (form urlForm) read(query string) (map[string]string, error) {
	list := strings.Join(slices.Sorted(slices.Values(form.params)), ", ")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("%w: the parameters of the URL of the location are not encoded as a URL's are: write %%26 for & and %%3B for ; in values", ErrProfile)
	}
	params := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch v := values[name]; {
		case !slices.Contains(form.params, name):
			return nil, fmt.Errorf("%w: the URL of the location has %s, want only: %s", ErrProfile, unknownParam(name, v[0]), list)
		case len(v) > 1:
			return nil, fmt.Errorf("%w: the URL of the location has the parameter %s more than once", ErrProfile, name)
		case v[0] == "":
			return nil, fmt.Errorf("%w: the URL of the location has the parameter %s without a value: leave it out", ErrProfile, name)
		default:
			params[name] = v[0]
		}
	}
	return params, nil
}

// unknownParam shows a parameter's name if it looks like one: what stands there may be a piece of a secret with a & in it.
func unknownParam(name, value string) string {
	if value == "" || len(name) > 24 || strings.ContainsFunc(name, notIn(lower+upper+"_-")) {
		return "a parameter that is unknown"
	}
	return fmt.Sprintf("an unknown parameter %q", name)
}

func flag(params map[string]string, name string) (bool, error) {
	switch params[name] {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, fmt.Errorf("%w: the parameter %s of the location's URL is neither true nor false", ErrProfile, name)
	}
}

// readCAFile reads a bounded file, and never waits for one: a pipe or a device is refused before it is opened.
func readCAFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("%w: read the caFile of the location's URL: %w", ErrProfile, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: the caFile %q of the location's URL is no regular file", ErrProfile, short(name))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: read the caFile of the location's URL: %w", ErrProfile, err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	bundle, err := io.ReadAll(io.LimitReader(f, maxCABundle+1))
	if err != nil {
		return nil, fmt.Errorf("%w: read the caFile of the location's URL: %w", ErrProfile, err)
	}
	if len(bundle) == 0 {
		return nil, fmt.Errorf("%w: the caFile %q of the location's URL is empty", ErrProfile, short(name))
	}
	return bundle, nil
}
