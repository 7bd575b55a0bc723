//go:build e2e

package all_test

import (
	"encoding/json"
	"io/fs"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/all"
)

// rights are those that a location needs.
var rights = []string{"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"}

// session gets keys that have these rights alone.
func session(t *testing.T, s *testserver.S3, bucket string, actions []string) location.Credential {
	t.Helper()
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Action": actions, "Resource": []string{"arn:aws:s3:::" + bucket, "arn:aws:s3:::" + bucket + "/*"},
	}}})
	require.NoError(t, err)
	client := sts.New(sts.Options{
		BaseEndpoint: &s.Endpoint, Region: s.Region, Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	})
	out, err := client.AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::000000000000:role/any"), RoleSessionName: aws.String("test"), Policy: aws.String(string(policy)),
	})
	require.NoError(t, err)
	return location.NewAWS(location.AWSCredential{
		AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken,
	})
}

// With exactly the four rights everything works; without one of them, Check names it.
func TestCheckNamesTheMissingRight(t *testing.T) {
	s := testserver.MinIO(t)
	for _, missing := range append([]string{""}, rights...) {
		bucket := s.Bucket(t)
		has := slices.DeleteFunc(slices.Clone(rights), func(r string) bool { return r == missing })
		loc := &location.Location{Type: location.TypeS3, Bucket: bucket, Endpoint: s.Endpoint, Region: s.Region, Credential: session(t, s, bucket, has)}
		b, err := location.Open(t.Context(), loc, all.Openers(), nil)
		require.NoError(t, err)
		findings, err := location.Check(t.Context(), b)
		if missing == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, fs.ErrPermission, missing)
		require.ErrorContains(t, err, missing)
		failed := 0
		for _, f := range findings {
			if f.Err != nil {
				failed++
			}
		}
		require.Equal(t, 1, failed, "without %s: one right, one finding: %v", missing, err)
		require.NoError(t, b.Close())
	}
}
