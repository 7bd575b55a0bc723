package location

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"

	typeList = TypeFile + ", " + TypeS3 + ", " + TypeGCS + " or " + TypeAzure

	// maxRegion is far above any.
	maxRegion = 64
	// maxCABundle is far above the bundle of all public authorities.
	maxCABundle = 1 << 20
)

// Validate tells what is wrong with the location, before anything is asked of its store: [ErrProfile] or [ErrUnsupported], with what to write instead. Open calls
// it, and so do ParseProfile and ParseURL. The credential of a file location is not looked at.
func (l *Location) Validate() error {
	for _, check := range []func() error{l.checkType, l.checkBucket, l.checkPrefix, l.checkEndpoint, l.checkRegion, l.checkTrust, l.checkCredential} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (l *Location) checkType() error {
	switch l.Type {
	case TypeFile, TypeS3, TypeGCS, TypeAzure:
		return nil
	case "kopia":
		return fmt.Errorf("%w: location type kopia needs a running Kopia server, which Davit does not use: point the profile at %s", ErrUnsupported, typeList)
	case "":
		return fmt.Errorf("%w: the location has no type, want %s", ErrProfile, typeList)
	default:
		return fmt.Errorf("%w: unknown location type %q, want %s", ErrUnsupported, short(l.Type), typeList)
	}
}

func (l *Location) checkPrefix() error {
	if _, err := cleanPrefix(l.Prefix); err != nil {
		return fmt.Errorf("%w: the location's prefix: %w", ErrProfile, err)
	}
	return nil
}

func (l *Location) checkEndpoint() error {
	_, err := l.EndpointURL()
	if err == nil && l.Type == TypeFile && l.Endpoint != "" {
		err = fmt.Errorf("%w: a file location has no endpoint: its bucket is the folder where the volume is mounted", ErrProfile)
	}
	return err
}

// EndpointURL is the endpoint as a URL, with https where it names no scheme; nil where there is none. One that holds a credential, a query or a
// fragment is ErrProfile, and so is one that is no address; the error does not quote it then, as it may hold a password.
func (l *Location) EndpointURL() (*url.URL, error) {
	if l.Endpoint == "" {
		return nil, nil
	}
	if strings.ContainsAny(l.Endpoint, "@?#") {
		return nil, fmt.Errorf("%w: the endpoint of the location holds a user, a query or a fragment: write scheme, host and port; credentials have a place of their own",
			ErrProfile)
	}
	text := l.Endpoint
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || !isHost(u) || strings.ContainsFunc(text, notASCII) {
		return nil, fmt.Errorf("%w: the endpoint of the location is no address, want one such as https://s3.example.com:9000", ErrProfile)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: the endpoint %q of the location has the scheme %q, want http or https", ErrProfile, short(l.Endpoint), short(u.Scheme))
	}
	return u, nil
}

// isHost tells whether a URL has a host that can be asked for, and a port if any.
func isHost(u *url.URL) bool {
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	return host != "" && len(host) <= 253 && !strings.HasSuffix(u.Host, ":") && !strings.ContainsFunc(host, notIn(lower+upper+digits+".-_"))
}

func (l *Location) checkRegion() error {
	if len(l.Region) > maxRegion || strings.ContainsFunc(l.Region, notIn(lower+upper+digits+".-_")) {
		return fmt.Errorf("%w: the region %q of the location is none, want one such as eu-central-1", ErrProfile, short(l.Region))
	}
	return nil
}

func (l *Location) checkTrust() error {
	if l.VirtualHost && l.Type != TypeS3 {
		return fmt.Errorf("%w: virtualHost is for %s locations: leave it out", ErrProfile, TypeS3)
	}
	if len(l.CABundle) > 0 {
		if l.SkipSSLVerify {
			return fmt.Errorf("%w: the location has a caBundle and skipSSLVerify, which would ignore it: leave skipSSLVerify out", ErrProfile)
		}
		if _, err := certificates(l.CABundle); err != nil {
			return err
		}
	}
	_, err := l.proxyURL()
	return err
}

// proxyURL is the location's own proxy, or nil.
func (l *Location) proxyURL() (*url.URL, error) {
	if l.Proxy == "" {
		return nil, nil
	}
	wrong := func(what string) (*url.URL, error) {
		return nil, fmt.Errorf("%w: the proxy of the location %s, want one such as http://proxy.example.com:3128", ErrProfile, what)
	}
	u, err := url.Parse(l.Proxy)
	if err != nil || !isHost(u) || strings.ContainsFunc(l.Proxy, notASCII) {
		return wrong("is no address with a scheme")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
	default:
		return wrong("has a scheme other than http, https and socks5")
	}
	if u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return wrong("has something behind its host")
	}
	return u, nil
}

// certificates reads a bundle. One that is only partly understood is refused: what is missing would show up as a store that cannot be trusted.
func certificates(bundle []byte) ([]*x509.Certificate, error) {
	if len(bundle) > maxCABundle {
		return nil, fmt.Errorf("%w: the caBundle of the location has %d bytes, more than %d", ErrProfile, len(bundle), maxCABundle)
	}
	var all []*x509.Certificate
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if strings.Contains(string(rest), "-----BEGIN") {
				return nil, fmt.Errorf("%w: the caBundle of the location ends in a block that is not whole PEM, behind %d certificates", ErrProfile, len(all))
			}
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%w: the caBundle of the location holds something else than certificates as block %d: only certificates belong there", ErrProfile, len(all)+1)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: certificate %d of the location's caBundle cannot be read: %w", ErrProfile, len(all)+1, err)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: the caBundle of the location holds no certificate in PEM", ErrProfile)
	}
	return all, nil
}

func (l *Location) checkCredential() error {
	var err error
	switch l.Type {
	case TypeS3:
		_, err = l.AWS()
	case TypeGCS:
		_, err = l.Google()
	case TypeAzure:
		_, err = l.Azure()
	}
	return err
}

func (l *Location) checkBucket() error {
	switch {
	case l.Bucket == "":
		return fmt.Errorf("%w: the %s location has no bucket", ErrProfile, l.Type)
	case l.Type != TypeFile:
		return checkBucketName(l.Type, l.Bucket)
	case strings.ContainsFunc(l.Bucket, unicode.IsControl) || !utf8.ValidString(l.Bucket) || !filepath.IsAbs(l.Bucket):
		return fmt.Errorf("%w: the bucket of a file location is the absolute path of a folder, not %q", ErrProfile, short(l.Bucket))
	case l.folder() == filepath.Dir(l.folder()):
		return fmt.Errorf("%w: the bucket of a file location cannot be the root of the file system: name a folder", ErrProfile)
	default:
		return nil
	}
}

func (l *Location) folder() string { return filepath.Clean(l.Bucket) }

// short keeps the beginning of a text for an error message.
func short(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// notASCII tells of a character that no address has as it is.
func notASCII(r rune) bool { return r <= ' ' || r >= utf8.RuneSelf-1 }

// notIn tells of a character that it is none of these.
func notIn(chars string) func(rune) bool {
	return func(r rune) bool { return !strings.ContainsRune(chars, r) }
}
