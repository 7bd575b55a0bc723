package rds

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

func TestAccess(t *testing.T) {
	secrets := map[string]map[string]function.Secret{"aws": {
		"aws_access_key_id": function.NewSecret("AKIAOTHER\n"), "aws_secret_access_key": function.NewSecret("s"), "role": function.NewSecret("arn:aws:iam::1:role/x"),
		"more": function.NewSecret("x"),
	}, "half": {"aws_access_key_id": function.NewSecret("AKIAOTHER")}}
	const gcs = `{"Location":{"type":"gcs","bucket":"b"}}`
	tests := map[string]struct {
		in      credentials
		profile string
		want    Access
		err     string
	}{
		"profile": {credentials{CredentialsSource: "profile"}, profile,
			Access{Region: "eu-west-1", AccessKeyID: keyID, SecretAccessKey: function.NewSecret(secretKey), SessionToken: function.NewSecret(sessionToken)}, ""},
		"region": {credentials{CredentialsSource: "profile", Region: "us-east-2"}, profile,
			Access{Region: "us-east-2", AccessKeyID: keyID, SecretAccessKey: function.NewSecret(secretKey), SessionToken: function.NewSecret(sessionToken)}, ""},
		"secret": {credentials{CredentialsSource: "secret", CredentialsSecret: "aws"}, profile,
			Access{Region: "eu-west-1", AccessKeyID: "AKIAOTHER", SecretAccessKey: function.NewSecret("s"), Role: "arn:aws:iam::1:role/x", SessionToken: function.NewSecret("")}, ""},
		"secret without a profile": {credentials{CredentialsSource: "secret", CredentialsSecret: "aws", Region: "r"}, "",
			Access{Region: "r", AccessKeyID: "AKIAOTHER", SecretAccessKey: function.NewSecret("s"), Role: "arn:aws:iam::1:role/x", SessionToken: function.NewSecret("")}, ""},
		"service account":         {credentials{CredentialsSource: "eks_service_account"}, "", Access{}, ""},
		"its other name":          {credentials{CredentialsSource: "serviceaccount", Region: "r"}, gcs, Access{Region: "r"}, ""},
		"no profile":              {credentials{CredentialsSource: "profile"}, "", Access{}, "the action has no profile"},
		"another store's profile": {credentials{CredentialsSource: "profile"}, gcs, Access{}, "type gcs"},
		"no such secret":          {credentials{CredentialsSource: "secret", CredentialsSecret: "nil"}, "", Access{}, `secret "nil" of argument credentialsSecret is neither`},
		"half a key pair":         {credentials{CredentialsSource: "secret", CredentialsSecret: "half"}, "", Access{}, "aws_secret_access_key"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			call, _ := newCall()
			call.Secrets, call.Profile = secrets, function.Secret{}
			if tc.profile != "" {
				call.Profile = function.NewSecret(tc.profile)
			}
			got, err := tc.in.access(call)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				require.True(t, function.IsPermanent(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", got, got, got), secretKey)
		})
	}
}

// The session token goes along with every request, over a real connection.
func TestSessionTokenIsSent(t *testing.T) {
	w := withInstance()
	call, _ := newCall()
	access, err := credentials{CredentialsSource: "profile"}.access(call)
	require.NoError(t, err)
	client, err := NewClient(t.Context(), access, &ClientOptions{Endpoint: w.serve(t)})
	require.NoError(t, err)
	s := &session{deps: newDeps(Deps{}), call: call, client: client, hide: access.hidden()}
	i, err := s.instance(t.Context(), "db")
	require.NoError(t, err)
	require.Equal(t, "db", *i.DBInstanceIdentifier)
	require.Equal(t, sessionToken, w.headers[0].Get("X-Amz-Security-Token"))
	require.Contains(t, w.headers[0].Get("Authorization"), "Credential="+keyID+"/")
	require.Contains(t, w.headers[0].Get("Authorization"), "/eu-west-1/rds/")
}

func TestNoRegion(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	_, err := NewClient(t.Context(), Access{}, nil)
	require.ErrorContains(t, err, "no AWS region is known")
	require.True(t, function.IsPermanent(err))
}

// What AWS answers may repeat the request, and what fails on the way may hold it.
func TestAnswersHoldNoCredential(t *testing.T) {
	for name, transport := range map[string]http.RoundTripper{
		"answer": &world{fault: func(string, string, int) (string, bool) { return "SignatureDoesNotMatch", false }},
		"fault":  failing{errors.New("proxy says " + secretKey + " " + keyID)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newHost(transport, Waits{Instance: 1, Snapshot: 1, Appear: 1, CleanUp: 1, Interval: 1, Cluster: 1}).run(t, "CreateRDSSnapshot", map[string]any{"instanceID": "db"})
			require.Error(t, err)
			require.Contains(t, err.Error(), "[masked]")
		})
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// Tags hold more words than one value has room for, and what is left of older ones does not count.
func TestWordTags(t *testing.T) {
	var f former
	for i := range 20 {
		f.members = append(f.members, member{id: strings.Repeat("m", 40) + fmt.Sprint(i), class: "db.r6g.large", tier: int32(i), public: i%2 == 0,
			settings: map[string]string{"maintenance": "sun:05:00-sun:05:30", "monitoring": "60/arn:aws:iam::1:role/a,b"}})
	}
	f.members[3].tags = []types.Tag{{Key: aws.String("a:b"), Value: aws.String("")}}
	f.settings = map[string]string{"storage": "gp3/3000/125", "odd": "=x y=3A:"}
	f.tags = []types.Tag{{Key: aws.String("cost:center"), Value: aws.String("größe = 1: 2")}, {Key: aws.String("team"), Value: aws.String(" ")}}
	f.groups, f.scaling = []string{"sg-1"}, []string{"0.5", "8"}
	tags := wordTags(restoreTags, "me", f.words())
	require.Greater(t, len(tags), 4)
	for _, tag := range tags {
		require.LessOrEqual(t, len(*tag.Value), tagSize)
		require.Regexp(t, `^[A-Za-z0-9 _.:/=+@-]+$`, *tag.Value)
	}
	owner, words := notedWords(tags, restoreTags)
	require.Equal(t, "me", owner)
	require.Equal(t, f, readFormer(words))
	short := wordTags(restoreTags, "me", []string{"group:sg-2"})
	_, words = notedWords(append(short, tags[len(short):]...), restoreTags)
	require.Equal(t, former{groups: []string{"sg-2"}, settings: map[string]string{}}, readFormer(words))
	for _, hostile := range []string{"me", "me x", "me -1", "me 99999999", "", "a b c"} {
		tags[0].Value = &hostile
		_, words := notedWords(tags, restoreTags)
		require.Empty(t, words)
	}
	require.Equal(t, former{settings: map[string]string{}}, readFormer([]string{"member:a:b", "+0:class:x", "+x:y:z", "+-1:a:b", "member:a--b:c:1:true", "member:a:b:x:true", "scaling:", "nonsense",
		"tag:", "tag:aws=3Ax:y", "tag:davit.io/owner:me", "mtag:0:b:c", "mtag:x:b:c", "+:"}))
}

func TestDerivedIdentifiers(t *testing.T) {
	call, _ := newCall()
	s := &session{call: call, owner: call.Name("rds")}
	for _, id := range []string{"db", "DB", strings.Repeat("a", 63), strings.Repeat("a", 49) + "-" + strings.Repeat("b", 13)} {
		got := s.derived(id)
		require.NoError(t, checkIdentifier("", got), got)
		require.Equal(t, strings.ToLower(got), got)
	}
	other := &session{call: call, owner: "other"}
	require.NotEqual(t, s.derived("db"), other.derived("db"))
}

// TestFunctions runs the suite that every function passes.
func TestFunctions(t *testing.T) {
	several := func() *world {
		w := withInstance()
		for n := range 3 {
			id := strconv.Itoa(n)
			w.put(&thing{kind: instanceKind, id: "db" + id, status: "available", engine: "postgres", version: "15.4", subnet: "default", groups: []string{"sg-1"}})
			w.put(&thing{kind: snapshotKind, id: "snap" + id, status: "available", engine: "postgres", version: "15.4", of: "db"})
		}
		return w
	}
	for name, args := range map[string]map[string]any{
		"CreateRDSSnapshot": {"instanceID": "db"}, "DeleteRDSSnapshot": {"snapshotID": "snap"}, "ExportRDSSnapshotToLocation": exportArgs(),
		"RestoreRDSSnapshot": {"instanceID": "db", "snapshotID": "snap"},
		"dump":               {"instanceID": "db", "dbEngine": "PostgreSQL", "backupArtifactPrefix": "p", "backupID": "i", "username": "u", "password": password, "namespace": "n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, check := range functiontest.Checks() {
				t.Run(check.Name, func(t *testing.T) {
					require.NoError(t, check.Run(t.Context(), functiontest.Subject{
						New: func() functiontest.Function {
							return newHost(several(), quick).funcs[strings.Replace(name, "dump", "RestoreRDSSnapshot", 1)]
						},
						Args: func(n int) map[string]any {
							own := map[string]any{}
							for k, v := range args {
								if v == "db" || v == "snap" {
									v = v.(string) + strconv.Itoa(n)
								}
								own[k] = v
							}
							return own
						},
						Call: func(c *function.Call) { c.Profile = function.NewSecret(profile) },
					}))
				})
			}
		})
	}
}
