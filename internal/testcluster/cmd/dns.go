//go:build linux

package main

import (
	"context"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// serveNames answers for the names of services without an address of their own: NAME.NAMESPACE.svc, and POD.NAME.NAMESPACE.svc for pods with a hostname. They lead to
// the pods; there is no proxy for other services but "kubernetes", which has the API server's address.
func (c *machine) serveNames(ctx context.Context, client *kubernetes.Clientset) error {
	conn, err := net.ListenPacket("udp4", "0.0.0.0:53") //nolint:noctx // closed by stop
	if err != nil {
		return err
	}
	c.closers = append(c.closers, func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return // closed
			}
			var query dnsmessage.Message
			if query.Unpack(buf[:n]) != nil || len(query.Questions) != 1 {
				continue
			}
			go answer(ctx, client, conn, from, query)
		}
	}()
	return nil
}

func answer(ctx context.Context, client *kubernetes.Clientset, conn net.PacketConn, to net.Addr, m dnsmessage.Message) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	question := m.Questions[0]
	ips, known := lookUp(ctx, client, question.Name.String())
	m.Header = dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired, RecursionAvailable: true}
	m.Additionals = nil
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, ip := range ips {
		if question.Type != dnsmessage.TypeA {
			break
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(ip).To4())},
		})
	}
	if packed, err := m.Pack(); err == nil {
		_, _ = conn.WriteTo(packed, to) // who asked asks again
	}
}

// lookUp returns the addresses of a name.
func lookUp(ctx context.Context, client *kubernetes.Clientset, name string) (ips []string, known bool) {
	name = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(name), "."), ".cluster.local")
	labels := strings.Split(name, ".")
	if n := len(labels); n < 3 || n > 4 || labels[n-1] != "svc" {
		return nil, false
	}
	hostname := ""
	if len(labels) == 4 {
		hostname, labels = labels[0], labels[1:]
	}
	if labels[0] == "kubernetes" && labels[1] == "default" {
		return []string{serviceIP}, true
	}
	slices, err := client.DiscoveryV1().EndpointSlices(labels[1]).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + labels[0]})
	if err != nil {
		return nil, false
	}
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if hostname == "" || endpoint.Hostname != nil && *endpoint.Hostname == hostname {
				ips = append(ips, endpoint.Addresses...)
			}
		}
	}
	return ips, len(ips) > 0
}
