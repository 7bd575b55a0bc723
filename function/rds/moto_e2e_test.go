//go:build e2e

package rds_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function/rds"
)

const region = "eu-west-1"

// account is a running moto with a subnet group.
type account struct {
	url string
	// admin makes what the tests work on.
	admin  *sdk.Client
	subnet string
}

// moto starts a server that has RDS, EC2 and STS, and knows every key.
func moto(t *testing.T) *account {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	cmd := exec.CommandContext(context.Background(), "python3", "-m", "moto.server", "-H", "127.0.0.1", "-p", fmt.Sprint(port))
	said := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = nil, said
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	a := &account{url: fmt.Sprintf("http://127.0.0.1:%d", port), subnet: "app-subnets"}
	require.Eventually(t, func() bool {
		resp, err := http.Get(a.url + "/moto-api/")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	}, 60*time.Second, 100*time.Millisecond, "moto does not start: pip install 'moto[server]'")
	a.admin = sdk.New(sdk.Options{Region: region, BaseEndpoint: &a.url, Credentials: credentials.NewStaticCredentialsProvider("admin", "admin", "")})
	_, err = a.admin.CreateDBSubnetGroup(t.Context(), &sdk.CreateDBSubnetGroupInput{
		DBSubnetGroupName: &a.subnet, DBSubnetGroupDescription: aws.String("tests"), SubnetIds: a.subnets(t)})
	require.NoError(t, err)
	return a
}

// subnets asks EC2 for those of the default network.
func (a *account) subnets(t *testing.T) []string {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url, strings.NewReader("Action=DescribeSubnets&Version=2016-11-15"))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=admin/20250101/"+region+"/ec2/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var ids []string
	for _, m := range regexp.MustCompile(`<subnetId>(subnet-[0-9a-f]+)</subnetId>`).FindAllSubmatch(body, -1) {
		ids = append(ids, string(m[1]))
	}
	require.NotEmpty(t, ids, string(body))
	return ids
}

func (a *account) instance(t *testing.T, id string) {
	t.Helper()
	_, err := a.admin.CreateDBInstance(t.Context(), &sdk.CreateDBInstanceInput{DBInstanceIdentifier: &id, DBInstanceClass: aws.String("db.m5.large"),
		Engine: aws.String("postgres"), EngineVersion: aws.String("15.4"), AllocatedStorage: aws.Int32(20), MasterUsername: aws.String("u"), MasterUserPassword: aws.String("password-1"),
		DBSubnetGroupName: &a.subnet, VpcSecurityGroupIds: []string{"sg-11111111"}})
	require.NoError(t, err)
}

func (a *account) cluster(t *testing.T, id string, members ...string) {
	t.Helper()
	_, err := a.admin.CreateDBCluster(t.Context(), &sdk.CreateDBClusterInput{DBClusterIdentifier: &id, Engine: aws.String("aurora-mysql"),
		MasterUsername: aws.String("u"), MasterUserPassword: aws.String("password-1"), DBSubnetGroupName: &a.subnet, VpcSecurityGroupIds: []string{"sg-22222222"}})
	require.NoError(t, err)
	for _, m := range members {
		_, err := a.admin.CreateDBInstance(t.Context(), &sdk.CreateDBInstanceInput{DBInstanceIdentifier: &m, DBInstanceClass: aws.String("db.r6g.large"),
			Engine: aws.String("aurora-mysql"), DBClusterIdentifier: &id})
		require.NoError(t, err)
	}
}

func (a *account) seeInstance(t *testing.T, id string) types.DBInstance {
	t.Helper()
	out, err := a.admin.DescribeDBInstances(t.Context(), &sdk.DescribeDBInstancesInput{DBInstanceIdentifier: &id})
	require.NoError(t, err)
	return out.DBInstances[0]
}

func (a *account) seeCluster(t *testing.T, id string) types.DBCluster {
	t.Helper()
	out, err := a.admin.DescribeDBClusters(t.Context(), &sdk.DescribeDBClustersInput{DBClusterIdentifier: &id})
	require.NoError(t, err)
	return out.DBClusters[0]
}

// snapshots are the identifiers of the snapshots of an instance or a cluster.
func (a *account) snapshots(t *testing.T, of string, cluster bool) []string {
	t.Helper()
	var ids []string
	if cluster {
		out, err := a.admin.DescribeDBClusterSnapshots(t.Context(), &sdk.DescribeDBClusterSnapshotsInput{SnapshotType: aws.String("manual")})
		require.NoError(t, err)
		for _, s := range out.DBClusterSnapshots {
			if *s.DBClusterIdentifier == of {
				ids = append(ids, *s.DBClusterSnapshotIdentifier)
			}
		}
		return ids
	}
	out, err := a.admin.DescribeDBSnapshots(t.Context(), &sdk.DescribeDBSnapshotsInput{SnapshotType: aws.String("manual")})
	require.NoError(t, err)
	for _, s := range out.DBSnapshots {
		if *s.DBInstanceIdentifier == of {
			ids = append(ids, *s.DBSnapshotIdentifier)
		}
	}
	return ids
}

// deps are those of a host whose RDS is at an address.
func deps(at string) rds.Deps {
	return rds.Deps{
		NewClient: func(ctx context.Context, access rds.Access) (rds.Client, error) {
			return rds.NewClient(ctx, access, &rds.ClientOptions{Endpoint: at, MaxBackoff: 5 * time.Millisecond})
		},
		Waits: rds.Waits{Instance: time.Minute, Snapshot: time.Minute, Cluster: time.Minute, Appear: 10 * time.Second, CleanUp: 10 * time.Second, Interval: 5 * time.Millisecond},
	}
}

// slow stands in front of moto and does what moto does not: states take some looks, requests are throttled, answers are lost.
type slow struct {
	to string
	// endpoint replaces the host and the port of every instance; empty leaves them.
	host, port string
	mu         sync.Mutex
	seen       map[string]int
	// pending is for how many looks something is still being made, and gone what is seen for how many of something that is being deleted.
	pending map[string]int
	last    map[string][]byte
	gone    map[string]int
	actions map[string]int
}

func (a *account) slow(t *testing.T) *slow {
	s := &slow{to: a.url, seen: map[string]int{}, pending: map[string]int{}, last: map[string][]byte{}, gone: map[string]int{}, actions: map[string]int{}}
	return s
}

func (s *slow) serve(t *testing.T) string {
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL
}

const looks = 3

func (s *slow) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	form, _ := url.ParseQuery(string(body))
	action := form.Get("Action")
	key := object(form)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actions[action]++
	s.seen[action+key]++
	n := s.seen[action+key]
	describes := strings.HasPrefix(action, "Describe")
	if n == 1 && action != "AssumeRole" {
		refuse(rw, "Throttling")
		return
	}
	if describes && s.gone[key] > 0 {
		s.gone[key]--
		_, _ = rw.Write(bytes.ReplaceAll(s.last[key], []byte(">available<"), []byte(">deleting<")))
		return
	}
	status, answer := s.forward(req, body)
	if status == http.StatusOK && n == 2 && !describes { // it is done, and the answer is lost
		s.note(action, key)
		http.Error(rw, "bad gateway", http.StatusBadGateway)
		return
	}
	if status == http.StatusOK {
		s.note(action, key)
	}
	if describes && status == http.StatusOK {
		s.last[key] = answer
		if s.pending[key] > 0 {
			s.pending[key]--
			answer = bytes.ReplaceAll(answer, []byte(">available<"), []byte(">creating<"))
		}
	}
	rw.WriteHeader(status)
	_, _ = rw.Write(answer)
}

// note remembers what takes its time from now on.
func (s *slow) note(action, key string) {
	switch {
	case strings.HasPrefix(action, "Create"), strings.HasPrefix(action, "Restore"):
		s.pending[key] = looks
	case strings.HasPrefix(action, "Delete"):
		s.gone[key] = looks
	}
}

func refuse(rw http.ResponseWriter, code string) {
	rw.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(rw, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>scripted</Message></Error></ErrorResponse>", code)
}

// object is what a request is about: its kind and identifier.
func object(form url.Values) string {
	action := form.Get("Action")
	for _, kind := range []string{"DBClusterSnapshot", "DBSnapshot", "DBCluster", "DBInstance"} {
		if strings.Contains(strings.Replace(action, "From", "", 1), kind) && !strings.HasPrefix(action, "Restore") {
			return kind + form.Get(kind+"Identifier")
		}
	}
	if strings.HasPrefix(action, "RestoreDBInstance") {
		return "DBInstance" + form.Get("DBInstanceIdentifier")
	}
	return "DBCluster" + form.Get("DBClusterIdentifier")
}

var (
	address = regexp.MustCompile(`<Address>[^<]*</Address>`)
	port    = regexp.MustCompile(`(<Address>[^<]*</Address>\s*)<Port>[^<]*</Port>`)
)

func (s *slow) forward(req *http.Request, body []byte) (int, []byte) {
	out, err := http.NewRequestWithContext(req.Context(), req.Method, s.to, bytes.NewReader(body))
	if err != nil {
		return http.StatusBadGateway, nil
	}
	out.Header = req.Header.Clone()
	resp, err := http.DefaultClient.Do(out)
	if err != nil {
		return http.StatusBadGateway, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return http.StatusBadGateway, nil
	}
	if s.host != "" {
		answer = port.ReplaceAll(answer, []byte("${1}<Port>"+s.port+"</Port>"))
		answer = address.ReplaceAll(answer, []byte("<Address>"+s.host+"</Address>"))
	}
	return resp.StatusCode, answer
}

// corpus returns a blueprint of the public collection, which lies beside a checkout: DAVIT_CORPUS names another place.
func corpus(t *testing.T, name string) []byte {
	t.Helper()
	root := os.Getenv("DAVIT_CORPUS")
	if root == "" {
		root = "../../../shared/corpus/kanister-blueprints"
	}
	data, err := os.ReadFile(root + "/" + name)
	require.NoError(t, err)
	return data
}
