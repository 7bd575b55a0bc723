//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority signs the certificates of one cluster. Its keys live as long as the cluster's folder.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

// newAuthority makes the certificates and configurations of a cluster with one node.
func newAuthority(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	a := &authority{dir: dir}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	a.key = key
	a.cert = &x509.Certificate{
		Subject: pkix.Name{CommonName: "testcluster"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if err := a.sign("ca", a.cert, key); err != nil {
		return err
	}
	local := []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(serviceIP), net.ParseIP(gateway)}
	return errors.Join(
		a.issue("apiserver", pkix.Name{CommonName: "kube-apiserver"}, local...),
		a.issue("kubelet-server", pkix.Name{CommonName: "system:node:" + nodeName, Organization: []string{"system:nodes"}}, local...),
		a.user("admin", pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}),
		a.user("apiserver-kubelet-client", pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}}),
		a.user("controller-manager", pkix.Name{CommonName: "system:kube-controller-manager"}),
		a.user("scheduler", pkix.Name{CommonName: "system:kube-scheduler"}),
		a.user("kubelet", pkix.Name{CommonName: "system:node:" + nodeName, Organization: []string{"system:nodes"}}),
		a.serviceAccountKey(),
	)
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// sign writes NAME.crt and NAME.key.
func (a *authority) sign(name string, cert *x509.Certificate, key *ecdsa.PrivateKey) error {
	a.next++
	cert.SerialNumber = big.NewInt(a.next)
	cert.NotBefore, cert.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	if err := a.write(name+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return a.write(name+".key", "PRIVATE KEY", private)
}

func (a *authority) write(name, kind string, der []byte) error {
	return os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// issue makes a key and a certificate for servers and clients.
func (a *authority) issue(name string, subject pkix.Name, ips ...net.IP) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return a.sign(name, &x509.Certificate{
		Subject: subject, IPAddresses: ips, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
	}, key)
}

// user makes a certificate and a kubeconfig.
func (a *authority) user(name string, subject pkix.Name) error {
	if err := a.issue(name, subject); err != nil {
		return err
	}
	encoded := func(file string) string {
		data, err := os.ReadFile(a.path(file))
		if err != nil {
			return "" // it was written a moment ago; the server says what is wrong
		}
		return base64.StdEncoding.EncodeToString(data)
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:%d", certificate-authority-data: %s}}]
users: [{name: %[3]s, user: {client-certificate-data: %[4]s, client-key-data: %[5]s}}]
contexts: [{name: test, context: {cluster: test, user: %[3]s}}]
current-context: test
`, apiPort, encoded("ca.crt"), name, encoded(name+".crt"), encoded(name+".key"))
	return os.WriteFile(a.path(name+".kubeconfig"), []byte(text), 0o600)
}

// serviceAccountKey makes the key that signs the tokens of service accounts.
func (a *authority) serviceAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	return errors.Join(a.write("sa.key", "PRIVATE KEY", private), a.write("sa.pub", "PUBLIC KEY", public))
}
