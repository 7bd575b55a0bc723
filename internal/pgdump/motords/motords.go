// Package motords is an RDS for tests and examples: moto, a program in Python that answers as AWS does (pip install 'moto[server]'), behind a proxy that names other
// servers as the endpoints of instances. Moto's instances are records without a database.
//
// # Errors
//
// A moto that does not start is an error with what it has said.
//
// # Concurrency
//
// An [RDS] is safe for concurrent use.
package motords

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// startTime is how long moto may take to start.
const startTime = time.Minute

// RDS is an RDS that runs.
type RDS struct {
	// URL is its address.
	URL string

	endpoint func(instance string) (host string, port int)
	proxy    *httptest.Server
	cmd      *exec.Cmd
	ended    chan struct{}

	mu      sync.Mutex
	actions []string
}

// Start starts an RDS without instances; in the region there is the subnet group default. Endpoint tells where the database of an instance is. Close ends it.
func Start(ctx context.Context, region string, endpoint func(instance string) (host string, port int)) (*RDS, error) {
	r := &RDS{endpoint: endpoint, ended: make(chan struct{})}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	address := &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	r.cmd = exec.CommandContext(context.WithoutCancel(ctx), "python3", "-m", "moto.server", "-H", "127.0.0.1", "-p", strconv.Itoa(port)) //nolint:gosec // the arguments are ours
	said := &bytes.Buffer{}
	r.cmd.Stdout, r.cmd.Stderr = said, said
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start moto: %w", err)
	}
	go func() {
		defer close(r.ended)
		_ = r.cmd.Wait() // it is killed
	}()
	err = r.ready(ctx, address.String())
	if err == nil {
		err = subnets(ctx, address.String(), region)
	}
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("start moto: %w: %s", err, said.Bytes())
	}
	forward := httputil.NewSingleHostReverseProxy(address)
	forward.ModifyResponse = r.rewrite
	r.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.note(req)
		forward.ServeHTTP(w, req)
	}))
	r.URL = r.proxy.URL
	return r, nil
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func (r *RDS) ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/moto-api/data.json", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			return res.Body.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-r.ended:
			return errors.New("it has ended")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

var subnet = regexp.MustCompile(`<subnetId>([^<]*)</subnetId>`)

// subnets makes the subnet group that every account of AWS has.
func subnets(ctx context.Context, address, region string) error {
	found, err := ask(ctx, address, region, "ec2", url.Values{"Action": {"DescribeSubnets"}, "Version": {"2016-11-15"}})
	if err != nil {
		return err
	}
	group := url.Values{"Action": {"CreateDBSubnetGroup"}, "Version": {"2014-10-31"}, "DBSubnetGroupName": {"default"}, "DBSubnetGroupDescription": {"default"}}
	for i, id := range subnet.FindAllSubmatch(found, -1) {
		group.Set(fmt.Sprintf("SubnetIds.SubnetIdentifier.%d", i+1), string(id[1]))
	}
	_, err = ask(ctx, address, region, "rds", group)
	return err
}

// ask sends a request, which moto does not want signed, but for the region and the service.
func ask(ctx context.Context, address, region, service string, form url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=id/20260101/"+region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=none")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	err = errors.Join(err, res.Body.Close())
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", form.Get("Action"), res.Status, body)
	}
	return body, err
}

// note keeps the name of what is asked.
func (r *RDS) note(req *http.Request) {
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(req.Body, most))
	if err != nil {
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.actions = append(r.actions, form.Get("Action"))
}

// Actions are the names of all that was asked so far, in order.
func (r *RDS) Actions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.actions...)
}

var (
	instance = regexp.MustCompile(`(?s)<DBInstance>.*?</DBInstance>`)
	name     = regexp.MustCompile(`<DBInstanceIdentifier>([^<]*)</DBInstanceIdentifier>`)
	place    = regexp.MustCompile(`<Endpoint>.*?</Endpoint>`)
)

// rewrite names the endpoints in an answer.
func (r *RDS) rewrite(res *http.Response) error {
	body, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return err
	}
	body = instance.ReplaceAllFunc(body, func(block []byte) []byte {
		id := name.FindSubmatch(block)
		if id == nil {
			return block
		}
		host, port := r.endpoint(string(id[1]))
		return place.ReplaceAllLiteral(block, fmt.Appendf(nil, "<Endpoint><Address>%s</Address><Port>%d</Port></Endpoint>", host, port))
	})
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	res.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// Close ends it.
func (r *RDS) Close() {
	if r.proxy != nil {
		r.proxy.Close()
	}
	_ = r.cmd.Process.Signal(os.Kill) // it may have ended
	<-r.ended
}
